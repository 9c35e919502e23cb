//! Groups that are bypassed or muted in the file: parts that an author switches on now and then.
//!
//! The editor submits a graph without them, and so does comfyport where nobody asks for more. A group may be offered as
//! a switch if taking its nodes out of the graph that has them gives the graph that the editor submits, node by node.

use std::collections::BTreeSet;

use super::{
    Converted, Group, convert_document,
    document::{Document, Mode},
    groups::{self, Frame},
    layout::{Kind, Layout},
};
use crate::{
    catalog::Catalog,
    cut::Cut,
    diagnostic::Diagnostic,
    graph::{Graph, read},
    json::Value,
};

/// More groups are not woken: each of them takes one more conversion.
const MOST: usize = 5;
/// Groups of larger files are left asleep.
const LARGEST: usize = 3000;

/// The groups that can be woken, by their place among the groups of the file.
pub(super) fn find(
    value: &Value,
    document: &Document,
    layouts: &[Vec<Layout>],
    submitted: &Converted,
    catalog: &Catalog,
) -> Vec<usize> {
    if submitted.graph.len() > LARGEST || submitted.diagnostics.iter().any(Diagnostic::is_error) {
        return Vec::new();
    }
    let frames = groups::frames(value);
    let asleep = frames.iter().enumerate().filter(|(_, frame)| {
        groups::is_optional(&frame.title) && is_asleep(frame, document, layouts.first())
    });
    let submitted = read::graph(&submitted.graph, &mut Vec::new());
    let mut woken = Vec::new();
    for (index, _) in asleep.take(MOST) {
        let mut more = woken.clone();
        more.push(index);
        if is_sound(&submitted, &wake(value, catalog, &more), catalog) {
            woken = more;
        }
    }
    woken
}

/// The graph with some groups awake.
pub(super) fn wake(value: &Value, catalog: &Catalog, groups: &[usize]) -> Converted {
    let frames = groups::frames(value);
    let nodes: BTreeSet<&String> =
        groups.iter().filter_map(|group| frames.get(*group)).flat_map(|frame| &frame.nodes).collect();
    let wake = |document: &mut Document| {
        for node in document.graphs.iter_mut().take(1).flat_map(|graph| graph.nodes.values_mut()) {
            if nodes.contains(&node.id) {
                node.mode = Mode::Active;
            }
        }
    };
    let (mut converted, ..) = convert_document(value, catalog, &wake);
    for group in &mut converted.facts.groups {
        group.asleep = groups.contains(&group.place);
    }
    converted
}

/// Whether it has nodes that are executed, and none of them takes part.
fn is_asleep(frame: &Frame, document: &Document, layouts: Option<&Vec<Layout>>) -> bool {
    let Some((graph, layouts)) = document.graphs.first().zip(layouts) else { return false };
    let inside = graph.nodes.values().zip(layouts).filter(|(node, _)| frame.nodes.contains(&node.id));
    let mut executed = inside
        .filter(|(_, layout)| !matches!(layout.kind, Kind::Virtual(_)))
        .map(|(node, _)| node.mode)
        .peekable();
    executed.peek().is_some() && executed.all(|mode| mode != Mode::Active)
}

fn is_sound(submitted: &Graph, awake: &Converted, catalog: &Catalog) -> bool {
    if awake.graph.len() > LARGEST || awake.diagnostics.iter().any(Diagnostic::is_error) {
        return false;
    }
    let graph = read::graph(&awake.graph, &mut Vec::new());
    let groups: Vec<&Group> = awake.facts.groups.iter().filter(|group| group.asleep).collect();
    let passed = groups.iter().flat_map(|group| &group.nodes).map(String::as_str).collect();
    let fed = submitted.consumers();
    let ends: Vec<&str> =
        submitted.nodes.keys().map(String::as_str).filter(|id| !fed.contains_key(id)).collect();
    let left = Cut { passed, ..Cut::default() }.apply(&graph, catalog, &ends);
    left.is_some_and(|left| left.nodes == submitted.nodes)
}
