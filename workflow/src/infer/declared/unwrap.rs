//! Values that SwarmUI saves inside placeholders of its own: `${key:20}`, with numbers in a further shell.
//!
//! They are opened in the graph itself, because a run needs the value where callers leave it out.

use super::claim::from_text;
use crate::{
    graph::{Graph, Input},
    json::Value,
};

/// Around numbers, so that the file stays JSON.
const SHELL: (&str, &str) = ("%%_COMFYFIXME_", "_ENDFIXME_%%");
/// Keys that SwarmUI makes up by itself, which name nothing that an author chose.
const MADE_UP: &str = "comfyrawworkflowinput";

/// The graph with plain values.
pub(in crate::infer) fn apply(mut graph: Graph) -> Graph {
    for node in graph.nodes.values_mut() {
        let theirs = node.class_type.strip_prefix("SwarmInput");
        let typed = matches!(theirs, Some("Integer" | "Float" | "Boolean"));
        for input in node.inputs.values_mut() {
            let Input::Literal(Value::String(text)) = input else { continue };
            if let Some(value) = open(text.trim(), theirs.is_some(), typed) {
                *input = Input::Literal(value);
            }
        }
    }
    graph
}

fn open(text: &str, theirs: bool, typed: bool) -> Option<Value> {
    if let Some(inner) = text.strip_prefix(SHELL.0).and_then(|rest| rest.strip_suffix(SHELL.1)) {
        return placeholder(inner).map(|(_, value)| from_text(value));
    }
    let (key, value) = placeholder(text)?;
    if !theirs && !key.starts_with(MADE_UP) {
        return None;
    }
    Some(if typed { from_text(value) } else { Value::from(value) })
}

fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.strip_prefix("${")?.strip_suffix('}')?.split_once(':')?;
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte));
    plain.then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_swarms_own_placeholders_are_opened() {
        let opened = |text| open(text, false, false).map(|value| value.to_json());
        assert_eq!(
            opened("%%_COMFYFIXME_${comfyrawworkflowinputintegerx:20}_ENDFIXME_%%").as_deref(),
            Some("20")
        );
        assert_eq!(opened("${comfyrawworkflowinputtextx:}").as_deref(), Some("\"\""));
        assert_eq!(opened("${prompt:a cat}"), None);
        assert_eq!(open("${prompt:a: cat}", true, false), Some(Value::from("a: cat")));
        assert_eq!(open("${steps:20}", true, true).unwrap().as_u64(), Some(20));
    }
}
