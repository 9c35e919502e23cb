//! `!bypass` in a title: the node is for the editor only, and runs go past it.

use indexmap::IndexMap;

use super::title::{connect, head};
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
    let marked = |node: &Node| node.title.as_deref().is_some_and(|title| connect::bypasses(head(title)));
    if !graph.nodes.values().any(marked) {
        return graph;
    }
    let (bypassed, kept): (IndexMap<NodeId, Node>, IndexMap<NodeId, Node>) =
        graph.nodes.into_iter().partition(|(_, node)| marked(node));
    graph.nodes = kept;
    for consumer in graph.nodes.values_mut() {
        reconnect(consumer, &bypassed, catalog, diagnostics);
    }
    graph
}

fn reconnect(
    consumer: &mut Node,
    bypassed: &IndexMap<NodeId, Node>,
    catalog: &Catalog,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let affected: Vec<(String, Link)> = consumer
        .links()
        .filter(|(_, link)| bypassed.contains_key(&link.node))
        .map(|(input, link)| (input.to_owned(), link.clone()))
        .collect();
    for (input, link) in affected {
        if let Some(source) = past(&link, &input, bypassed, catalog) {
            consumer.inputs.insert(input, Input::Link(source));
            continue;
        }
        consumer.inputs.shift_remove(&input);
        let message = format!(
            "nothing takes the place of node {}, which `!bypass` leaves out: `{}` is not connected any more",
            printable(&link.node),
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

/// What stands before the bypassed nodes that a link leads to.
fn past(link: &Link, input: &str, bypassed: &IndexMap<NodeId, Node>, catalog: &Catalog) -> Option<Link> {
    // More in a row than anybody marks.
    const FARTHEST: usize = 100;
    let mut link = link.clone();
    for _ in 0..FARTHEST {
        let Some(node) = bypassed.get(&link.node) else { return Some(link) };
        link = source(node, link.slot, input, catalog)?;
    }
    None
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
