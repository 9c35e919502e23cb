//! In which order ComfyUI executes the nodes of a prompt.

use std::collections::{BTreeSet, HashMap};

use comfyport_workflow::json::{Object, Value};
use indexmap::{IndexMap, IndexSet};

/// Nodes that still have to run, as ComfyUI's `ExecutionList` keeps them.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pending: IndexSet<&'a str>,
    /// How many needs of a node are unmet.
    blocked: HashMap<&'a str, usize>,
    /// Which nodes wait for a node.
    blocking: IndexMap<&'a str, IndexSet<&'a str>>,
}

/// The node that an input links to.
pub(crate) fn link(value: &Value) -> Option<(&str, u32)> {
    match value.as_array()? {
        [Value::String(node), Value::Number(slot)] => {
            Some((node, slot.as_i64().and_then(|slot| u32::try_from(slot.max(0)).ok()).unwrap_or(0)))
        }
        _ => None,
    }
}

/// The inputs of a node.
pub(crate) fn inputs<'a>(prompt: &'a Object, id: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let given = prompt.get(id).and_then(|node| node.get("inputs")).and_then(Value::as_object);
    given.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

impl<'a> Order<'a> {
    pub(crate) fn new(prompt: &'a Object, outputs: &'a [String], cached: &BTreeSet<String>) -> Self {
        let mut order = Self { pending: IndexSet::new(), blocked: HashMap::new(), blocking: IndexMap::new() };
        for output in outputs {
            order.add(prompt, output, cached);
        }
        order
    }

    fn add(&mut self, prompt: &'a Object, output: &'a str, cached: &BTreeSet<String>) {
        let mut todo = vec![output];
        let mut links = Vec::new();
        while let Some(id) = todo.pop() {
            if !self.pending.insert(id) {
                continue;
            }
            self.blocked.entry(id).or_insert(0);
            for (_, value) in inputs(prompt, id) {
                if let Some((from, _)) = link(value)
                    && prompt.contains_key(from)
                    && !cached.contains(from)
                {
                    todo.push(from);
                    links.push((from, id));
                }
            }
        }
        for (from, to) in links {
            if self.blocking.entry(from).or_default().insert(to) {
                *self.blocked.entry(to).or_insert(0) += 1;
            }
        }
    }

    /// The node to run next: an output node, or what leads to one soonest.
    pub(crate) fn next(&self, is_output: impl Fn(&str) -> bool) -> Option<&'a str> {
        let ready: Vec<&'a str> = self.pending.iter().copied().filter(|id| self.blocked[id] == 0).collect();
        let waiting = |id: &str| self.blocking.get(id).into_iter().flatten().copied();
        let near = |id: &&&str| waiting(id).any(&is_output);
        let nearish = |id: &&&str| waiting(id).any(|next| waiting(next).any(&is_output));
        let picked = ready.iter().find(|id| is_output(id));
        picked
            .or_else(|| ready.iter().find(near))
            .or_else(|| ready.iter().find(nearish))
            .or(ready.first())
            .copied()
    }

    pub(crate) fn done(&mut self, id: &str) {
        self.pending.shift_remove(id);
        if let Some(waiting) = self.blocking.shift_remove(id) {
            for next in waiting {
                if let Some(count) = self.blocked.get_mut(next) {
                    *count -= 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_made_in_the_order_of_comfyui() {
        let prompt = r#"{
            "3":{"inputs":{"seed":1,"model":["4",0],"positive":["6",0],"negative":["7",0],"latent_image":["5",0]}},
            "4":{"inputs":{}},"5":{"inputs":{"width":64}},"6":{"inputs":{"clip":["4",1]}},"7":{"inputs":{"clip":["4",1]}},
            "8":{"inputs":{"samples":["3",0],"vae":["4",2]}},"9":{"inputs":{"images":["8",0]}}}"#;
        let prompt = comfyport_workflow::json::parse(prompt.as_bytes()).unwrap().value;
        let prompt = prompt.as_object().unwrap();
        let outputs = ["9".to_owned()];
        let mut order = Order::new(prompt, &outputs, &BTreeSet::new());
        let mut seen = Vec::new();
        while let Some(id) = order.next(|id| id == "9") {
            seen.push(id);
            order.done(id);
        }
        assert_eq!(seen, ["4", "5", "7", "6", "3", "8", "9"]);
    }
}
