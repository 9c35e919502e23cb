//! The events of one prompt, and who gets them.

use std::time::{SystemTime, UNIX_EPOCH};

use comfyport_workflow::json::{Object, Value};
use indexmap::IndexMap;

use crate::{
    faults::Fault,
    hub::To,
    python,
    shared::{Engine, event},
};

/// How far a node is, already written as JSON.
type States = IndexMap<String, String>;

/// Sends the events of one prompt.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    engine: &'a Engine,
    prompt_id: String,
    /// The id the prompt was submitted with.
    client: Option<String>,
    fault: Option<Fault>,
    states: States,
    /// An event that is overtaken by the next one.
    held: Option<(String, bool)>,
    /// `(event, data)` as the history keeps them.
    messages: Vec<Value>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        prompt_id: &str,
        client: Option<String>,
        fault: Option<Fault>,
    ) -> Self {
        Self {
            engine,
            prompt_id: prompt_id.to_owned(),
            client,
            fault,
            states: States::new(),
            held: None,
            messages: Vec::new(),
        }
    }

    /// Who gets events: the submitter, or everybody for the kinds that go to all if there is none.
    fn to(&self, broadcast: bool) -> Option<To<'_>> {
        if self.fault == Some(Fault::SilentWebsocket) || self.engine.faults.silences() {
            return None;
        }
        match &self.client {
            Some(client) => Some(To::Client(client)),
            None if broadcast => Some(To::All),
            None => None,
        }
        .filter(|to| self.engine.hub.reaches(*to))
    }

    fn send(&mut self, text: String, broadcast: bool) {
        if self.to(broadcast).is_none() {
            return;
        }
        match self.fault {
            Some(Fault::DuplicateEvents) => {
                self.put(text.clone(), broadcast);
                self.put(text, broadcast);
            }
            Some(Fault::OutOfOrder) => match self.held.take() {
                None => self.held = Some((text, broadcast)),
                Some((held, held_broadcast)) => {
                    self.put(text, broadcast);
                    self.put(held, held_broadcast);
                }
            },
            _ => self.put(text, broadcast),
        }
    }

    fn put(&self, text: String, broadcast: bool) {
        if let Some(to) = self.to(broadcast) {
            self.engine.hub.text(text, to);
        }
    }

    /// An event that the history keeps.
    pub(crate) fn message(&mut self, kind: &str, data: Value, broadcast: bool) {
        let mut data = data;
        if let Value::Object(members) = &mut data {
            members.insert("timestamp".to_owned(), python::integer(now()));
        }
        self.messages.push(Value::Array(vec![Value::from(kind), data.clone()]));
        self.send(event(kind, data), broadcast);
    }

    /// `{"prompt_id": …}`, for more members to be added.
    pub(crate) fn data<const N: usize>(&self, members: [(&str, Value); N]) -> Value {
        let mut data = Object::new();
        data.insert("prompt_id".to_owned(), Value::from(self.prompt_id.as_str()));
        data.extend(members.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Value::Object(data)
    }

    pub(crate) fn cached(&mut self, nodes: Value) {
        let data = python::object([("nodes", nodes), ("prompt_id", Value::from(self.prompt_id.as_str()))]);
        self.message("execution_cached", data, false);
    }

    /// A node begins.
    pub(crate) fn executing(&mut self, node: &str) {
        self.state(node, "0.0", "1.0", "running");
        if let Some(client) = &self.client {
            let mut at_work = self.engine.at_work.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *at_work = Some((client.clone(), node.to_owned()));
        }
        if self.to(false).is_some() {
            let data = python::object([
                ("node", Value::from(node)),
                ("display_node", Value::from(node)),
                ("prompt_id", Value::from(self.prompt_id.as_str())),
            ]);
            self.send(event("executing", data), false);
        }
    }

    /// A node has something to show.
    pub(crate) fn executed(&mut self, node: &str, output: Value) {
        if self.to(false).is_some() {
            let data = python::object([
                ("node", Value::from(node)),
                ("display_node", Value::from(node)),
                ("output", output),
                ("prompt_id", Value::from(self.prompt_id.as_str())),
            ]);
            self.send(event("executed", data), false);
        }
    }

    /// A node is at a step, perhaps with a picture of it: `(bytes, "image/jpeg")`.
    pub(crate) fn progress(&mut self, node: &str, value: u64, max: u64, preview: Option<(&[u8], &str)>) {
        let nan = self.fault == Some(Fault::Nan);
        self.state(
            node,
            &if nan { "NaN".to_owned() } else { value.to_string() },
            &max.to_string(),
            "running",
        );
        let metadata_first = self.to(true).is_some_and(|to| self.engine.hub.wants_metadata(to));
        if let (true, Some((data, kind))) = (metadata_first, preview) {
            self.preview_with_metadata(node, data, kind);
        }
        let number = if nan {
            Value::Number(comfyport_workflow::json::Number::from_f64(f64::NAN))
        } else {
            python::integer(value)
        };
        let data = python::object([
            ("value", number),
            ("max", python::integer(max)),
            ("prompt_id", Value::from(self.prompt_id.as_str())),
            ("node", Value::from(node)),
        ]);
        self.send(event("progress", data), true);
        if let (false, Some((data, kind)), Some(to)) = (metadata_first, preview, self.to(true)) {
            let format = if kind == "image/png" { 2 } else { 1 };
            let frame = [&word(1)[..], &word(format), data].concat();
            self.engine.hub.binary(frame.into(), to);
        }
    }

    fn preview_with_metadata(&self, node: &str, data: &[u8], kind: &str) {
        let Some(to) = self.to(true) else { return };
        let metadata = python::dumps(&python::object([
            ("node_id", Value::from(node)),
            ("prompt_id", Value::from(self.prompt_id.as_str())),
            ("display_node_id", Value::from(node)),
            ("parent_node_id", Value::Null),
            ("real_node_id", Value::from(node)),
            ("image_type", Value::from(kind)),
        ]));
        let frame = [&word(4)[..], &word(metadata.len()), metadata.as_bytes(), data].concat();
        self.engine.hub.binary(frame.into(), to);
    }

    /// A node is done.
    pub(crate) fn finished(&mut self, node: &str, steps: Option<u64>) {
        match steps {
            None => self.state(node, "1.0", "1.0", "finished"),
            Some(steps) => self.state(node, &steps.to_string(), &steps.to_string(), "finished"),
        }
    }

    fn state(&mut self, node: &str, value: &str, max: &str, state: &str) {
        let (mut node_json, mut prompt_json) = (String::new(), String::new());
        python::dump_text(node, &mut node_json);
        python::dump_text(&self.prompt_id, &mut prompt_json);
        let written = format!(
            "{node_json}: {{\"value\": {value}, \"max\": {max}, \"state\": \"{state}\", \"node_id\": {node_json}, \
             \"prompt_id\": {prompt_json}, \"display_node_id\": {node_json}, \"parent_node_id\": null, \
             \"real_node_id\": {node_json}}}"
        );
        self.states.insert(node.to_owned(), written);
        // The snapshot grows with the prompt, so it is only written for somebody.
        if self.to(true).is_some() {
            let length: usize = self.states.values().map(|state| state.len() + 2).sum();
            let mut text = String::with_capacity(length + 128);
            text.push_str("{\"type\": \"progress_state\", \"data\": {\"prompt_id\": ");
            text.push_str(&prompt_json);
            text.push_str(", \"nodes\": {");
            for (index, state) in self.states.values().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                text.push_str(state);
            }
            text.push_str("}}}");
            self.send(text, true);
        }
    }

    /// `[event, data]` of what the history keeps.
    pub(crate) fn messages(&mut self) -> Value {
        Value::Array(std::mem::take(&mut self.messages))
    }

    /// Ends the prompt: the change of the queue, then the last event.
    pub(crate) fn finish(mut self, send_status: impl FnOnce()) {
        if let Some((held, broadcast)) = self.held.take() {
            self.put(held, broadcast);
        }
        self.engine.nothing_at_work();
        send_status();
        let data =
            python::object([("node", Value::Null), ("prompt_id", Value::from(self.prompt_id.as_str()))]);
        self.send(event("executing", data), false);
        if let Some((held, broadcast)) = self.held.take() {
            self.put(held, broadcast);
        }
    }
}

/// A number as binary frames write it.
fn word(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes()
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
