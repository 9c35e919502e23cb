//! A graph that a caller sent, for what has no endpoint yet.

use std::{collections::BTreeSet, sync::Arc};

use comfyport_endpoint::MediaEncoding;
use comfyport_workflow::{
    Diagnostic,
    graph::{Graph, Input},
    json::{Value, write_text},
};

use super::{collect::Expected, request::File};
use crate::intake::Taken;

/// A graph without dead nodes.
#[derive(Debug)]
pub struct GraphPlan {
    graph: Graph,
    outputs: Vec<String>,
    pub(super) nodes: Arc<Vec<(String, String, Option<String>)>>,
    /// Files of the request, by position in `inputs`.
    pub(super) files: Vec<File>,
    /// The node and the input that take each of them.
    inputs: Vec<(String, String)>,
}

impl GraphPlan {
    /// Reads an API-format graph and drops what none of its outputs needs. `is_output` tells output nodes by class.
    pub fn read(bytes: &[u8], is_output: impl Fn(&str) -> bool) -> Result<Self, Vec<Diagnostic>> {
        let mut graph = comfyport_workflow::read(bytes)?.graph;
        let outputs: Vec<String> = graph
            .nodes
            .values()
            .filter(|node| is_output(&node.class_type))
            .map(|node| node.id.clone())
            .collect();
        if outputs.is_empty() {
            let fault = Diagnostic::error("no-output", "no node of this graph yields a result");
            return Err(vec![fault.help("add an output node such as SaveImage or PreviewImage")]);
        }
        let live = graph.ancestors(outputs.iter().map(String::as_str));
        graph.nodes.retain(|id, _| live.contains(id) || outputs.contains(id));
        let nodes = graph
            .nodes
            .values()
            .map(|node| (node.id.clone(), node.class_type.clone(), node.title.clone()))
            .collect();
        Ok(Self { graph, outputs, nodes: Arc::new(nodes), files: Vec::new(), inputs: Vec::new() })
    }

    /// Adds a file for an input. Nodes that no output needs take none.
    pub(super) fn bring(&mut self, node: &str, input: &str, taken: Taken) {
        let takes = self.graph.nodes.get(node).is_some_and(|node| node.inputs.contains_key(input));
        if !takes {
            return;
        }
        let Taken { name, format, size } = taken;
        let (position, encoding) = (self.inputs.len(), MediaEncoding::UploadName);
        self.inputs.push((node.to_owned(), input.to_owned()));
        self.files.push(File { position, name, format, size, encoding });
    }

    /// Sets the input that takes a file to what the engine calls it.
    pub(super) fn settle(&mut self, position: usize, value: &str) {
        let Some((node, input)) = self.inputs.get(position) else { return };
        let value = Input::Literal(Value::String(value.to_owned()));
        if let Some(input) = self.graph.nodes.get_mut(node).and_then(|node| node.inputs.get_mut(input)) {
            *input = value;
        }
    }

    /// The node classes it needs.
    pub fn classes(&self) -> BTreeSet<String> {
        self.graph.nodes.values().map(|node| node.class_type.clone()).collect()
    }

    /// Every output node, under its id. Some report nothing even when all is well.
    pub(super) fn expected(&self) -> Vec<Expected> {
        let expected = |id: &String| Expected { name: id.clone(), node: id.clone(), required: false };
        self.outputs.iter().map(expected).collect()
    }

    /// The graph as JSON, its output nodes writing below `prefix`.
    pub(super) fn prompt(&self, prefix: &str) -> Vec<u8> {
        let mut out = String::from("{");
        for (position, node) in self.graph.nodes.values().enumerate() {
            if position > 0 {
                out.push(',');
            }
            write_text(&node.id, &mut out);
            out.push_str(":{\"class_type\":");
            write_text(&node.class_type, &mut out);
            out.push_str(",\"inputs\":{");
            for (position, (name, input)) in node.inputs.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_text(name, &mut out);
                out.push(':');
                match input {
                    Input::Link(link) => {
                        out.push('[');
                        write_text(&link.node, &mut out);
                        out.push(',');
                        out.push_str(&link.slot.to_string());
                        out.push(']');
                    }
                    // Links are how ComfyUI reads lists; a list that is meant as one is wrapped.
                    Input::Literal(Value::Array(items)) => {
                        out.push_str("{\"__value__\":");
                        Value::Array(items.clone()).write(&mut out);
                        out.push('}');
                    }
                    Input::Literal(_) if name == "filename_prefix" && self.outputs.contains(&node.id) => {
                        write_text(&format!("{prefix}/{}", plain(&node.id)), &mut out);
                    }
                    Input::Literal(value) => value.write(&mut out),
                }
            }
            out.push_str("}}");
        }
        out.push('}');
        out.into_bytes()
    }
}

/// Node ids become part of file names.
fn plain(id: &str) -> String {
    id.chars().take(64).map(|one| if one.is_ascii_alphanumeric() || one == '-' { one } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_nodes_go_and_prefixes_are_ours() {
        let graph = br#"{"_meta_": 1,
            "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "list": {"__value__": [1]}}},
            "57:2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "../x"}},
            "3": {"class_type": "Dead", "inputs": {}}}"#;
        let plan = GraphPlan::read(graph, |class| class == "SaveImage").unwrap();
        let prompt: serde_json::Value = serde_json::from_slice(&plan.prompt("comfyport/run")).unwrap();
        assert_eq!(prompt["57:2"]["inputs"]["filename_prefix"], "comfyport/run/57_2");
        assert_eq!(prompt["57:2"]["inputs"]["images"], serde_json::json!(["1", 0]));
        assert_eq!(prompt["1"]["inputs"]["width"], 8);
        assert!(prompt.get("3").is_none() && prompt.get("_meta_").is_none());
        assert_eq!(plan.classes().len(), 2);
        assert!(GraphPlan::read(graph, |_| false).is_err());
    }
}
