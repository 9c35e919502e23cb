use comfyport_workflow::json::{Object, Value};
use serde::Serialize;

use crate::{NodeId, sanitise};

/// Why ComfyUI refused a prompt, or part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejection {
    /// The fault of the whole prompt.
    pub error: PromptError,
    /// Faults by node, in the order ComfyUI gave them.
    pub node_errors: Vec<NodeError>,
}

/// The fault of a whole prompt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PromptError {
    /// ComfyUI's word for it, such as `prompt_outputs_failed_validation`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// More, often empty.
    pub details: String,
    /// The node at fault, if named.
    pub node_id: Option<NodeId>,
    /// The class that is not installed, if named.
    pub class_type: Option<String>,
}

/// The faults of one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeError {
    /// The node.
    pub node_id: NodeId,
    /// Its class.
    pub class_type: String,
    /// Output nodes that cannot run because of it.
    pub dependent_outputs: Vec<NodeId>,
    /// One or more faults.
    pub errors: Vec<InputError>,
}

/// The fault of one input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputError {
    /// ComfyUI's word for it, such as `value_not_in_list`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// More, such as the input's name or the list.
    pub details: String,
    /// The input, if the fault is one input's.
    pub input_name: Option<String>,
    /// What was sent, if ComfyUI says.
    pub received: Option<Value>,
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).map(sanitise::message).unwrap_or_default()
}

impl Rejection {
    /// Reads the body of a refusal. `None` if it is not one.
    pub(crate) fn read(body: &Value) -> Option<Self> {
        let error = body.get("error")?;
        let error = match error {
            Value::Object(_) => PromptError {
                kind: text(error.get("type")),
                message: text(error.get("message")),
                details: text(error.get("details")),
                node_id: extra(error, "node_id").or_else(|| quoted_node(error)),
                class_type: extra(error, "class_type"),
            },
            other => PromptError {
                kind: "invalid_prompt".to_owned(),
                message: text(Some(other)),
                details: String::new(),
                node_id: None,
                class_type: None,
            },
        };
        Some(Self { error, node_errors: node_errors(body) })
    }

    /// What a prompt that was accepted only in part stands for.
    pub(crate) fn partial(node_errors: Vec<NodeError>) -> Self {
        Self {
            error: PromptError {
                kind: "prompt_outputs_failed_validation".to_owned(),
                message: "Some outputs failed validation".to_owned(),
                details: String::new(),
                node_id: None,
                class_type: None,
            },
            node_errors,
        }
    }
}

fn extra(error: &Value, key: &str) -> Option<String> {
    error.get("extra_info")?.get(key)?.as_str().map(str::to_owned)
}

/// Older releases name the node only in words: `Node ID '#1'`.
fn quoted_node(error: &Value) -> Option<String> {
    let details = error.get("details")?.as_str()?;
    let id = details.strip_prefix("Node ID '#")?.strip_suffix('\'')?;
    Some(id.to_owned())
}

/// The `node_errors` of an answer; an empty list if there are none.
pub(crate) fn node_errors(body: &Value) -> Vec<NodeError> {
    let none = Object::new();
    let nodes = body.get("node_errors").and_then(Value::as_object).unwrap_or(&none);
    nodes.iter().map(|(id, node)| node_error(id, node)).collect()
}

fn node_error(id: &str, node: &Value) -> NodeError {
    let list = |key| node.get(key).and_then(Value::as_array).unwrap_or_default();
    NodeError {
        node_id: id.to_owned(),
        class_type: node.get("class_type").and_then(Value::as_str).unwrap_or_default().to_owned(),
        dependent_outputs: list("dependent_outputs")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        errors: list("errors").iter().map(input_error).collect(),
    }
}

fn input_error(error: &Value) -> InputError {
    let info = error.get("extra_info");
    InputError {
        kind: text(error.get("type")),
        message: text(error.get("message")),
        details: text(error.get("details")),
        input_name: info.and_then(|info| info.get("input_name")?.as_str().map(str::to_owned)),
        received: info
            .and_then(|info| info.get("received_value").or_else(|| info.get("received_type")))
            .cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Rejection> {
        Rejection::read(&comfyport_workflow::json::parse(text.as_bytes()).unwrap().value)
    }

    #[test]
    fn input_faults() {
        let rejection = read(
            r#"{"error":{"type":"prompt_outputs_failed_validation","message":"m","details":"","extra_info":{}},
            "node_errors":{"1":{"errors":[{"type":"value_smaller_than_min","message":"Value 0 smaller than min of 1",
            "details":"width","extra_info":{"input_name":"width","input_config":["INT",{"min":NaN}],"received_value":0}},
            {"type":"exception_during_inner_validation","message":"x","details":"/srv/a.py",
            "extra_info":{"traceback":["File /srv"]}}],"dependent_outputs":["2"],"class_type":"EmptyImage"}}}"#,
        )
        .unwrap();
        let node = &rejection.node_errors[0];
        assert_eq!((node.node_id.as_str(), node.class_type.as_str()), ("1", "EmptyImage"));
        assert_eq!(node.dependent_outputs, ["2"]);
        assert_eq!(node.errors[0].input_name.as_deref(), Some("width"));
        assert_eq!(node.errors[0].received.as_ref().and_then(Value::as_u64), Some(0));
        assert_eq!(node.errors[1].details, "a.py");
    }

    #[test]
    fn missing_class() {
        let old = read(
            r#"{"error":{"type":"invalid_prompt","message":"m","details":"Node ID '#57:1'"},"node_errors":{}}"#,
        );
        assert_eq!(old.unwrap().error.node_id.as_deref(), Some("57:1"));
        let new =
            read(r#"{"error":{"type":"missing_node_type","extra_info":{"node_id":"4","class_type":"Foo"}}}"#);
        assert_eq!(new.unwrap().error.class_type.as_deref(), Some("Foo"));
        assert!(read("[]").is_none());
    }
}
