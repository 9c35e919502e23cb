//! The queue and the history, behind one lock as in ComfyUI: a prompt is never in neither.

use std::cmp::Ordering;

use comfyport_workflow::json::{Object, Value};
use indexmap::IndexMap;

use crate::python;

/// The history keeps one more than this many prompts.
const MAX_HISTORY: usize = 10_000;

/// A prompt as it is queued.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Its place: lower runs first.
    pub number: f64,
    /// `number` as it is written.
    pub number_value: Value,
    pub prompt_id: String,
    pub prompt: Object,
    pub extra_data: Value,
    /// The output nodes that will run.
    pub outputs: Vec<String>,
    /// How often the engine had been restarted by then.
    pub generation: u64,
}

impl Item {
    /// The list that ComfyUI shows in queue and history.
    pub(crate) fn to_value(&self) -> Value {
        Value::Array(vec![
            self.number_value.clone(),
            Value::from(self.prompt_id.as_str()),
            Value::Object(self.prompt.clone()),
            self.extra_data.clone(),
            python::texts(self.outputs.iter().map(String::as_str)),
        ])
    }

    fn order(&self, other: &Self) -> Ordering {
        self.number.total_cmp(&other.number).then_with(|| self.prompt_id.cmp(&other.prompt_id))
    }

    /// Whether Python can tell which comes first: objects it can only compare for equality.
    fn comparable(&self, other: &Self) -> bool {
        self.order(other) != Ordering::Equal
            || (self.prompt == other.prompt && self.extra_data == other.extra_data)
    }
}

/// Prompts that wait, the one that runs, those that ended.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// A heap in the layout of Python's `heapq`, because clients see the array.
    pending: Vec<Item>,
    running: Option<Item>,
    /// Finished prompts as JSON, oldest first.
    history: IndexMap<String, String>,
    /// The next prompt's default number.
    pub counter: i64,
}

impl Queue {
    /// Adds a prompt. Says no if Python could not order it: then it is queued all the same.
    pub(crate) fn push(&mut self, item: Item) -> bool {
        let orderable = self.pending.iter().all(|other| other.comparable(&item));
        self.pending.push(item);
        self.sift_down(self.pending.len() - 1);
        orderable
    }

    /// Takes the prompt that is due and makes it the running one.
    pub(crate) fn start(&mut self) -> Option<Item> {
        let last = self.pending.pop()?;
        let item = if self.pending.is_empty() {
            last
        } else {
            let first = std::mem::replace(&mut self.pending[0], last);
            self.sift_up(0);
            first
        };
        self.running = Some(item.clone());
        Some(item)
    }

    /// Ends the running prompt and keeps its entry.
    pub(crate) fn finish(&mut self, prompt_id: &str, entry: String) {
        self.running = None;
        if self.history.len() > MAX_HISTORY {
            self.history.shift_remove_index(0);
        }
        // A prompt id that is used again keeps its place, as in a Python dictionary.
        self.history.insert(prompt_id.to_owned(), entry);
    }

    /// Running and pending prompts.
    pub(crate) fn remaining(&self) -> usize {
        self.pending.len() + usize::from(self.running.is_some())
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The id of the running prompt.
    pub(crate) fn running(&self) -> Option<&str> {
        self.running.as_ref().map(|item| item.prompt_id.as_str())
    }

    /// What `GET /queue` answers.
    pub(crate) fn to_value(&self) -> Value {
        let running = self.running.iter().map(Item::to_value).collect();
        let pending = self.pending.iter().map(Item::to_value).collect();
        python::object([("queue_running", Value::Array(running)), ("queue_pending", Value::Array(pending))])
    }

    /// Removes pending prompts with this id, one as ComfyUI does.
    pub(crate) fn delete(&mut self, prompt_id: &str) -> bool {
        let Some(index) = self.pending.iter().position(|item| item.prompt_id == prompt_id) else {
            return false;
        };
        self.pending.remove(index);
        self.heapify();
        true
    }

    /// Removes all pending prompts.
    pub(crate) fn clear(&mut self) -> Vec<String> {
        self.pending.drain(..).map(|item| item.prompt_id).collect()
    }

    /// `{id: entry}`, or `{}`.
    pub(crate) fn history_entry(&self, prompt_id: &str) -> String {
        let mut out = String::from("{");
        if let Some(entry) = self.history.get(prompt_id) {
            python::dump_text(prompt_id, &mut out);
            out.push_str(": ");
            out.push_str(entry);
        }
        out.push('}');
        out
    }

    /// What `GET /history` answers.
    pub(crate) fn history(&self, max_items: Option<i64>, offset: i64) -> String {
        let count = i64::try_from(self.history.len()).unwrap_or(i64::MAX);
        let offset = match max_items {
            Some(max) if offset < 0 => count - max,
            _ => offset,
        };
        let mut out = String::from("{");
        let mut shown = 0;
        for (index, (prompt_id, entry)) in (0_i64..).zip(&self.history) {
            if index < offset {
                continue;
            }
            if shown > 0 {
                out.push_str(", ");
            }
            python::dump_text(prompt_id, &mut out);
            out.push_str(": ");
            out.push_str(entry);
            shown += 1;
            if max_items.is_some_and(|max| shown >= max) {
                break;
            }
        }
        out.push('}');
        out
    }

    pub(crate) fn delete_history(&mut self, prompt_id: &str) -> bool {
        self.history.shift_remove(prompt_id).is_some()
    }

    pub(crate) fn clear_history(&mut self) {
        self.history.clear();
    }

    /// What is left after a restart: nothing.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    // `heapq` by its own names: what moves down goes towards the root.
    fn sift_down(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.pending[at].order(&self.pending[parent]) != Ordering::Less {
                break;
            }
            self.pending.swap(at, parent);
            at = parent;
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        let end = self.pending.len();
        loop {
            let mut child = 2 * at + 1;
            if child >= end {
                break;
            }
            if child + 1 < end && self.pending[child].order(&self.pending[child + 1]) != Ordering::Less {
                child += 1;
            }
            self.pending.swap(at, child);
            at = child;
        }
        self.sift_down(at);
    }

    fn heapify(&mut self) {
        for at in (0..self.pending.len() / 2).rev() {
            self.sift_up(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: f64, id: &str) -> Item {
        Item {
            number,
            number_value: Value::Null,
            prompt_id: id.to_owned(),
            prompt: Object::new(),
            extra_data: Value::Null,
            outputs: Vec::new(),
            generation: 0,
        }
    }

    fn pending(queue: &Queue) -> Vec<f64> {
        queue.pending.iter().map(|item| item.number).collect()
    }

    #[test]
    fn the_array_is_pythons() {
        // Numbers as ComfyUI listed them, after deleting 22 and submitting two in front and one at 0.5.
        let mut queue = Queue::default();
        for number in [21.0, 22.0, 23.0, 24.0] {
            assert!(queue.push(item(number, &number.to_string())));
        }
        assert!(queue.delete("22"));
        for number in [-25.0, -26.0, 0.5] {
            queue.push(item(number, "x"));
        }
        assert_eq!(pending(&queue), [-26.0, -25.0, 0.5, 23.0, 21.0, 24.0]);
        let order: Vec<f64> = std::iter::from_fn(|| queue.start()).map(|item| item.number).collect();
        assert_eq!(order, [-26.0, -25.0, 0.5, 21.0, 23.0, 24.0]);
    }

    #[test]
    fn what_python_cannot_order_is_queued_all_the_same() {
        let mut queue = Queue::default();
        assert!(queue.push(item(5.0, "a")));
        let mut other = item(5.0, "a");
        other.extra_data = Value::Bool(true);
        assert!(!queue.push(other));
        assert_eq!(queue.remaining(), 2);
        // Of what is equal throughout, either may come first.
        let mut queue = Queue::default();
        assert!(queue.push(item(5.0, "a")) && queue.push(item(5.0, "a")));
    }

    #[test]
    fn history_pages_like_comfyui() {
        let mut queue = Queue::default();
        for id in ["a", "b", "c"] {
            queue.finish(id, "1".to_owned());
        }
        assert_eq!(queue.history(Some(1), -1), r#"{"c": 1}"#);
        assert_eq!(queue.history(Some(1), 0), r#"{"a": 1}"#);
        assert_eq!(queue.history(Some(0), -1), "{}");
        assert_eq!(queue.history(None, -1), r#"{"a": 1, "b": 1, "c": 1}"#);
        assert_eq!(queue.history_entry("x"), "{}");
    }
}
