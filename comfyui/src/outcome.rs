use std::{collections::BTreeMap, time::Duration};

use comfyport_workflow::json::Value;

use crate::{ClientError, NodeId, NodeOutput, output, sanitise};

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// It ran to its end.
    Succeeded {
        /// What its nodes showed and saved, by node.
        outputs: BTreeMap<NodeId, NodeOutput>,
        /// Nodes that send their pictures over the socket and whose pictures did not all arrive.
        missing: Vec<NodeId>,
        /// When, by ComfyUI's clock.
        timing: Timing,
    },
    /// A node raised an exception.
    Failed(ExecutionError),
    /// It was interrupted, or taken out of the queue by [`crate::Client::cancel`].
    Cancelled,
    /// ComfyUI does not know it any more, most likely because it restarted. It may be submitted again.
    Lost,
    /// ComfyUI answers, but neither its queue nor its socket moved for the configured time.
    Stalled,
    /// ComfyUI did not answer for the configured time. The prompt may still be running.
    Unreachable(ClientError),
}

/// Start and end in milliseconds since 1970, by ComfyUI's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// When execution began.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub finished_ms: Option<u64>,
}

/// The exception that ended a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{node_type} (node {node_id}) failed: {message}")]
pub struct ExecutionError {
    /// The node; empty if ComfyUI did not say.
    pub node_id: NodeId,
    /// Its class.
    pub node_type: String,
    /// The Python exception.
    pub exception_type: String,
    /// What it said, without traceback or paths, at most 500 characters.
    pub message: String,
    /// Whether memory ran out.
    pub oom: bool,
}

impl Timing {
    /// From start to end, where both are told and in order.
    pub fn took(&self) -> Option<Duration> {
        let milliseconds = self.finished_ms?.checked_sub(self.started_ms?)?;
        Some(Duration::from_millis(milliseconds))
    }
}

impl Outcome {
    /// Reads a history entry. Messages come before `status_str`, which can be another prompt's.
    pub(crate) fn read(entry: &Value) -> Self {
        let status = entry.get("status");
        let messages = status.and_then(|status| status.get("messages")?.as_array()).unwrap_or_default();
        let messages: Vec<(&str, &Value)> = messages.iter().filter_map(message).collect();
        let find = |name: &str| messages.iter().rev().find(|(kind, _)| *kind == name).map(|(_, data)| *data);
        let blocked = |data: &Value| text(data, "exception_type") == "ExecutionBlocked";
        if let Some(data) = find("execution_error").filter(|data| !blocked(data)) {
            return Self::Failed(execution_error(entry, data));
        }
        if find("execution_interrupted").is_some() {
            return Self::Cancelled;
        }
        let said = status.map(|status| text(status, "status_str")).unwrap_or_default();
        if find("execution_success").is_none() && said == "error" {
            return Self::Failed(execution_error(entry, &Value::Null));
        }
        let time = |name| find(name).and_then(|data| data.get("timestamp")?.as_u64());
        let timing = Timing { started_ms: time("execution_start"), finished_ms: time("execution_success") };
        Self::Succeeded { outputs: output::read(entry), missing: Vec::new(), timing }
    }
}

fn message(value: &Value) -> Option<(&str, &Value)> {
    let parts = value.as_array()?;
    Some((parts.first()?.as_str()?, parts.get(1)?))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn execution_error(entry: &Value, data: &Value) -> ExecutionError {
    let exception = text(data, "exception_type");
    let said = text(data, "exception_message");
    let lower = said.to_ascii_lowercase();
    let oom = exception.contains("OutOfMemory")
        || exception == "MemoryError"
        || lower.contains("out of memory")
        || lower.contains("allocation on device");
    let message = sanitise::message(said);
    ExecutionError {
        node_id: output::display(entry, text(data, "node_id")),
        node_type: text(data, "node_type").to_owned(),
        exception_type: sanitise::message(exception),
        message: if message.is_empty() {
            "ComfyUI reported an error without a message".to_owned()
        } else {
            message
        },
        oom,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: &str) -> Outcome {
        let text = format!("{{\"outputs\":{{}},\"status\":{status}}}");
        Outcome::read(&comfyport_workflow::json::parse(text.as_bytes()).unwrap().value)
    }

    #[test]
    fn messages_decide() {
        let blocked = r#"["execution_error",{"exception_type":"ExecutionBlocked"}]"#;
        let done = r#"["execution_success",{"timestamp":7}]"#;
        let good = outcome(&format!(r#"{{"status_str":"error","messages":[{blocked},{done}]}}"#));
        assert!(
            matches!(good, Outcome::Succeeded { timing: Timing { finished_ms: Some(7), .. }, .. }),
            "{good:?}"
        );
        let stop =
            outcome(r#"{"status_str":"error","completed":false,"messages":[["execution_interrupted",{}]]}"#);
        assert!(matches!(stop, Outcome::Cancelled));
        assert!(matches!(outcome(r#"{"status_str":"error"}"#), Outcome::Failed(_)));
        assert!(matches!(outcome("null"), Outcome::Succeeded { .. }));
    }

    #[test]
    fn errors_are_clean() {
        let bad = outcome(
            r#"{"status_str":"success","messages":[["execution_error",{"node_id":"3","node_type":"TOom",
            "exception_type":"torch.OutOfMemoryError","exception_message":"boom at /srv/ComfyUI/nodes.py\n",
            "traceback":["File /srv"],"current_inputs":{"x":[NaN]}}]]}"#,
        );
        let Outcome::Failed(error) = bad else { panic!("{bad:?}") };
        assert_eq!(
            (error.node_id.as_str(), error.message.as_str(), error.oom),
            ("3", "boom at nodes.py", true)
        );
    }
}
