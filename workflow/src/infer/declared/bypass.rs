//! `!bypass` in a title: the node is for the editor only, and runs go past it.

use super::title::connect;
use crate::{
    catalog::Catalog,
    diagnostic::{Diagnostic, printable},
    graph::{Graph, Input, Link, Node, NodeId},
};

/// The graph without such nodes: what they fed takes what they took.
pub(in crate::infer) fn apply(
    mut graph: Graph,
    catalog: &Catalog,
    diagnostics: &mut Vec<Diagnostic>,
) -> Graph {
    let marked = |node: &&Node| node.title.as_deref().is_some_and(connect::bypasses);
    let bypassed: Vec<NodeId> = graph.nodes.values().filter(marked).map(|node| node.id.clone()).collect();
    for id in bypassed {
        let Some(node) = graph.nodes.shift_remove(&id) else { continue };
        for consumer in graph.nodes.values_mut() {
            reconnect(consumer, &node, catalog, diagnostics);
        }
    }
    graph
}

fn reconnect(consumer: &mut Node, node: &Node, catalog: &Catalog, diagnostics: &mut Vec<Diagnostic>) {
    let taken = |input: &Input| matches!(input, Input::Link(link) if link.node == node.id);
    let inputs: Vec<String> =
        consumer.inputs.iter().filter(|(_, input)| taken(input)).map(|(name, _)| name.clone()).collect();
    for input in inputs {
        let Some(slot) = consumer.link(&input).map(|link| link.slot) else { continue };
        if let Some(source) = source(node, slot, &input, catalog) {
            consumer.inputs.insert(input, Input::Link(source));
            continue;
        }
        consumer.inputs.shift_remove(&input);
        let message = format!(
            "nothing takes the place of node {}, which `!bypass` leaves out: `{}` is not connected any more",
            printable(&node.id),
            printable(&input)
        );
        diagnostics.push(
            Diagnostic::warning("bypass", message)
                .at_node(&consumer.id, consumer.title.as_deref())
                .at_input(&input)
                .help("remove `!bypass` from the title, or give the node an input of the same type"),
        );
    }
}

/// By type where the class is known, else by the name of the input, singular or plural.
fn source(node: &Node, slot: u32, wanted: &str, catalog: &Catalog) -> Option<Link> {
    let definition = catalog.get(&node.class_type);
    let ty = definition.and_then(|definition| definition.outputs.get(slot as usize)).map(|output| &output.ty);
    if let (Some(definition), Some(ty)) = (definition, ty) {
        let fits = |input: &str| {
            definition.input(input).is_some_and(|input| match &input.kind {
                crate::catalog::InputKind::Socket(types) => types.contains(ty),
                _ => false,
            })
        };
        return node.links().find(|(input, _)| fits(input)).map(|(_, link)| link.clone());
    }
    let singular = |name: &str| name.to_lowercase().trim_end_matches('s').to_owned();
    node.links().find(|(input, _)| singular(input) == singular(wanted)).map(|(_, link)| link.clone())
}
