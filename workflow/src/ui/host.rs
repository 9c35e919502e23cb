//! Widgets of inner nodes that a subgraph shows on its outside.

use std::collections::BTreeMap;

use super::{
    DEEPEST_SUBGRAPH,
    document::{Document, Node, Values},
    layout::{Kind, Layout},
};
use crate::json::Value;

/// An inner widget, by its graph, its node and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) graph: usize,
    pub(super) node: usize,
    pub(super) widget: String,
}

/// What one node that stands for a subgraph sets inside it.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside {
    /// For each input of the definition, the value that its widget has.
    pub(super) inputs: Vec<Option<Value>>,
    /// Values of inner widgets that no input leads to, by node and name.
    pub(super) widgets: BTreeMap<(String, String), Value>,
}

/// The first widget that each input of each subgraph leads to, however deep.
#[derive(Debug)]
pub(super) struct Targets<'d> {
    document: &'d Document,
    layouts: &'d [Vec<Layout>],
    found: BTreeMap<(usize, usize), Option<Target>>,
}

impl<'d> Targets<'d> {
    pub(super) fn new(document: &'d Document, layouts: &'d [Vec<Layout>]) -> Self {
        Self { document, layouts, found: BTreeMap::new() }
    }

    pub(super) fn of(&mut self, graph: usize, input: usize) -> Option<Target> {
        self.nested(graph, input, 0)
    }

    fn nested(&mut self, graph: usize, input: usize, depth: usize) -> Option<Target> {
        if let Some(known) = self.found.get(&(graph, input)) {
            return known.clone();
        }
        // A subgraph that contains itself finds this instead of going round.
        self.found.insert((graph, input), None);
        let found = if depth > DEEPEST_SUBGRAPH { None } else { self.search(graph, input, depth) };
        self.found.insert((graph, input), found.clone());
        found
    }

    fn search(&mut self, graph: usize, input: usize, depth: usize) -> Option<Target> {
        let inside = self.document.graphs.get(graph)?;
        for id in &inside.inputs.get(input)?.links {
            let Some(node) = inside.links.get(id).and_then(|link| inside.nodes.get_index_of(&link.target))
            else {
                continue;
            };
            let layout = &self.layouts[graph][node];
            let Some(slot) = layout.slots.iter().position(|slot| slot.link.as_ref() == Some(id)) else {
                continue;
            };
            if let Kind::Host(inner) = layout.kind {
                if let Some(found) = self.nested(inner, slot, depth + 1) {
                    return Some(found);
                }
            } else if let Some(widget) = &layout.slots[slot].widget {
                return Some(Target { graph, node, widget: widget.clone() });
            }
        }
        None
    }
}

/// What every node that stands for a subgraph sets, by its graph and its place there.
pub(super) fn outsides(document: &Document, layouts: &[Vec<Layout>]) -> BTreeMap<(usize, usize), Outside> {
    let mut targets = Targets::new(document, layouts);
    let mut outsides = BTreeMap::new();
    for (graph, (inside, layouts)) in document.graphs.iter().zip(layouts).enumerate() {
        for (index, (node, layout)) in inside.nodes.values().zip(layouts).enumerate() {
            if let Kind::Host(definition) = layout.kind {
                outsides.insert((graph, index), outside(&mut targets, node, definition));
            }
        }
    }
    outsides
}

/// What a node that stands for a subgraph sets: its own widgets, and in older files those it borrows by name.
fn outside(all: &mut Targets<'_>, node: &Node, graph: usize) -> Outside {
    let (document, layouts) = (all.document, all.layouts);
    let definition = &document.graphs[graph];
    let saved = match &node.values {
        Values::Listed(items) => items.as_slice(),
        Values::Named(_) => &[],
    };
    let targets: Vec<Option<Target>> =
        (0..definition.inputs.len()).map(|input| all.of(graph, input)).collect();
    let interior = |target: &Target| {
        let values = &layouts[target.graph][target.node].values;
        values.iter().find(|(name, _)| *name == target.widget).map(|(_, value)| value.clone())
    };
    let mut outside = Outside::default();
    let mut listed = saved.iter();
    for target in &targets {
        let value = target.as_ref().and_then(|target| listed.next().cloned().or_else(|| interior(target)));
        outside.inputs.push(value);
    }
    for (index, (id, widget)) in node.borrowed.iter().enumerate() {
        let Some(value) = saved.get(index).cloned() else { continue };
        let direct = definition.inputs.iter().position(|port| id == "-1" && port.name == *widget);
        match direct.or_else(|| leading_to(document, graph, layouts, id, widget)) {
            Some(input) if targets[input].is_some() => outside.inputs[input] = Some(value),
            _ => drop(outside.widgets.insert((id.clone(), widget.clone()), value)),
        }
    }
    outside
}

/// The input of a subgraph that is linked to a widget of one of its nodes.
fn leading_to(
    document: &Document,
    graph: usize,
    layouts: &[Vec<Layout>],
    id: &str,
    widget: &str,
) -> Option<usize> {
    let inside = &document.graphs[graph];
    let node = inside.nodes.get_index_of(id)?;
    let slots = &layouts[graph][node].slots;
    let named =
        |link: &String| slots.iter().any(|slot| slot.link.as_ref() == Some(link) && slot.name == widget);
    inside.inputs.iter().position(|port| port.links.iter().any(named))
}
