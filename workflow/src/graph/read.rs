//! From JSON in API format to a graph, saying what is wrong with it.

use super::{Graph, Input, Link, Node};
use crate::{
    diagnostic::{Diagnostic, printable},
    json::{Object, Value},
};

/// At least one member, and at least half of the members that are objects, look like nodes.
pub(crate) fn looks_like_graph(members: &Object) -> bool {
    let objects = members.values().filter_map(Value::as_object);
    let (nodes, all) =
        objects.fold((0, 0), |(nodes, all), member| (nodes + usize::from(is_node(member)), all + 1));
    nodes > 0 && nodes * 2 >= all
}

fn is_node(member: &Object) -> bool {
    let inputs = member.get("inputs").is_none_or(|inputs| inputs.is_null() || inputs.as_object().is_some());
    inputs && member.get("class_type").is_some_and(|class| class.as_str().is_some())
}

pub(crate) fn graph(members: &Object, diagnostics: &mut Vec<Diagnostic>) -> Graph {
    let mut graph = Graph::default();
    for (id, member) in members {
        let Some(member) = member.as_object() else { continue };
        if is_node(member) {
            graph.nodes.insert(id.clone(), node(id, member, members, diagnostics));
            let options = member.get("_meta").and_then(|meta| meta.get("options")).and_then(Value::as_object);
            if let Some(options) = options {
                graph.widget_options.insert(id.clone(), options.clone());
            }
        } else if member.get("inputs").is_some_and(|inputs| inputs.as_object().is_some()) {
            diagnostics.push(without_class(id, member));
        }
    }
    graph
}

fn title(member: &Object) -> Option<&str> {
    member.get("_meta").and_then(|meta| meta.get("title")).and_then(Value::as_str)
}

fn without_class(id: &str, member: &Object) -> Diagnostic {
    Diagnostic::error("missing-class", format!("node {} has no `class_type`", printable(id)))
        .at_node(id, title(member))
        .help("the node's pack was not installed when the workflow was exported: install it in ComfyUI and export again")
}

fn node(id: &str, member: &Object, all: &Object, diagnostics: &mut Vec<Diagnostic>) -> Node {
    let class_type = member.get("class_type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let title = title(member).map(str::to_owned);
    let mut node = Node { id: id.to_owned(), class_type, title, inputs: indexmap::IndexMap::new() };
    for (name, value) in member.get("inputs").and_then(Value::as_object).into_iter().flatten() {
        let input = input(value, all).unwrap_or_else(|odd| {
            diagnostics.push(odd.at_node(id, node.title.as_deref()).at_input(name));
            Input::Literal(value.clone())
        });
        if let (Input::Link(_), Some([Value::Number(_), _])) = (&input, value.as_array()) {
            diagnostics.push(
                Diagnostic::warning("odd-link", "a link names its node by a number instead of a string")
                    .at_node(id, node.title.as_deref())
                    .at_input(name)
                    .help("read as a link to that node; ComfyUI itself would refuse it"),
            );
        }
        node.inputs.insert(name.clone(), input);
    }
    node
}

/// A list of a node and a slot is a link; any other list is one that ComfyUI refuses.
fn input(value: &Value, all: &Object) -> Result<Input, Diagnostic> {
    let Some(items) = value.as_array() else { return Ok(Input::Literal(value.clone())) };
    match items {
        [Value::String(node), Value::Number(slot)] => {
            match slot.as_i128().and_then(|slot| u32::try_from(slot).ok()) {
                Some(slot) => Ok(Input::Link(Link { node: node.clone(), slot })),
                None => Err(Diagnostic::error("odd-link", format!("`{slot}` is not an output slot"))),
            }
        }
        [Value::Number(node), Value::Number(slot)] if all.contains_key(node.as_str()) => {
            let slot = slot.as_i128().and_then(|slot| u32::try_from(slot).ok());
            let slot =
                slot.ok_or_else(|| Diagnostic::error("odd-link", "the output slot is not a small number"))?;
            Ok(Input::Link(Link { node: node.as_str().to_owned(), slot }))
        }
        _ => Err(Diagnostic::warning("odd-list", "a bare list is not a value that ComfyUI accepts")
            .help("write a literal list as {\"__value__\": [...]}")),
    }
}

pub(crate) fn check_links(graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    for node in graph.nodes.values() {
        for (input, link) in node.links() {
            if !graph.nodes.contains_key(&link.node) {
                let message = format!(
                    "`{}` is linked to node {}, which is not in the file",
                    printable(input),
                    printable(&link.node)
                );
                diagnostics.push(
                    Diagnostic::error("dangling-link", message)
                        .at_node(&node.id, node.title.as_deref())
                        .at_input(input)
                        .help("reconnect the input in ComfyUI and export the workflow again"),
                );
            }
        }
    }
    let cyclic = graph.cyclic();
    if let Some(first) = cyclic.first() {
        let shown: Vec<&str> = cyclic.iter().copied().take(12).collect();
        let more = if cyclic.len() > shown.len() { ", …" } else { "" };
        let message = format!("nodes {}{more} depend on themselves", printable(&shown.join(", ")));
        diagnostics.push(
            Diagnostic::error("cycle", message)
                .at_node(first, graph.nodes[*first].title.as_deref())
                .help("a workflow must be free of loops; remove one of the links"),
        );
    }
}
