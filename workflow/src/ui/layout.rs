//! What the editor makes of each node when it opens the file.

use super::{
    custom_combo, described,
    document::{Document, Graph, Node, Port},
    power_lora,
    slots::{self, Slot},
    virtual_nodes::{self, Virtual},
    widgets,
};
use crate::{
    catalog::{Catalog, NodeDef},
    json::Value,
};

/// A node as it stands on the screen.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) kind: Kind,
    pub(super) slots: Vec<Slot>,
    /// Values of widgets, in their order.
    pub(super) values: Vec<(String, Value)>,
    pub(super) outputs: Vec<String>,
    /// Widgets whose text is settled before it is submitted.
    pub(super) dynamic_prompts: Vec<String>,
    /// Why the values cannot be trusted.
    pub(super) fault: Option<Fault>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is executed.
    Real,
    /// It exists in the editor only.
    Virtual(Virtual),
    /// It stands for a subgraph, by its place in the document.
    Host(usize),
}

/// Why the values of a node cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody knows its class, and the file does not say enough.
    Unknown,
    /// These widgets got values that are not meant for them.
    Misfits(Vec<String>),
    /// So many values belong to no widget.
    Surplus(usize),
}

/// Layouts of all nodes, by graph and in the order of its nodes.
pub(super) fn all(document: &Document, catalog: &Catalog) -> Vec<Vec<Layout>> {
    let graphs = document.graphs.iter();
    graphs
        .map(|graph: &Graph| graph.nodes.values().map(|node| layout(node, document, catalog)).collect())
        .collect()
}

fn layout(node: &Node, document: &Document, catalog: &Catalog) -> Layout {
    if let Some(graph) = document.definitions.get(&node.class) {
        return host(node, *graph, &document.graphs[*graph]);
    }
    if let Some(does) = virtual_nodes::of(&node.class) {
        return Layout { kind: Kind::Virtual(does), ..as_saved(node, Vec::new()) };
    }
    if node.class == custom_combo::CLASS
        && let Some(values) = custom_combo::values(node)
    {
        return as_saved(node, values);
    }
    if node.class == power_lora::CLASS {
        return as_saved(node, power_lora::values(node));
    }
    match catalog.get(&node.class) {
        Some(definition) => known(node, definition),
        None => match described::values(node) {
            Some(values) => as_saved(node, values),
            None => Layout { fault: Some(Fault::Unknown), ..as_saved(node, Vec::new()) },
        },
    }
}

fn as_saved(node: &Node, values: Vec<(String, Value)>) -> Layout {
    Layout {
        kind: Kind::Real,
        slots: node.slots.clone(),
        values,
        outputs: node.outputs.clone(),
        dynamic_prompts: Vec::new(),
        fault: None,
    }
}

/// The definition decides. Where the file names widgets that the definition does not have, it was saved by another
/// release, and what it says about itself is nearer to the truth.
fn known(node: &Node, definition: &NodeDef) -> Layout {
    let assigned = widgets::assign(definition, node);
    let foreign = node.slots.iter().any(|slot| {
        slot.widget.is_some()
            && !described::is_for_people(slot)
            && assigned.slots.iter().all(|known| known.name != slot.name)
            && !slot.name.contains('.')
    });
    let unlinked = |name: &String| node.slots.iter().all(|slot| slot.name != *name || slot.link.is_none());
    let misfits: Vec<String> = assigned.misfits.into_iter().filter(unlinked).collect();
    let doubtful = foreign || assigned.opaque || assigned.surplus > 0 || !misfits.is_empty();
    let own = if doubtful { described::values(node).filter(|own| !own.is_empty()) } else { None };
    let fault = match own {
        Some(_) => None,
        None if assigned.opaque => Some(Fault::Unknown),
        None if !misfits.is_empty() => Some(Fault::Misfits(misfits)),
        None => (assigned.surplus > 0).then_some(Fault::Surplus(assigned.surplus)),
    };
    let mut outputs: Vec<String> = definition.outputs.iter().map(|output| any(&output.ty)).collect();
    outputs.extend(node.outputs.iter().skip(outputs.len()).cloned());
    Layout {
        kind: Kind::Real,
        slots: slots::merge(assigned.slots, &node.slots),
        values: own.unwrap_or(assigned.values),
        outputs,
        dynamic_prompts: assigned.dynamic_prompts,
        fault,
    }
}

/// An output whose type follows from the inputs fits everything.
fn any(ty: &str) -> String {
    if ty == "COMFY_MATCHTYPE_V3" { "*".to_owned() } else { ty.to_owned() }
}

/// A node that stands for a subgraph has the inputs of its definition, with the links that were saved for them.
fn host(node: &Node, graph: usize, definition: &Graph) -> Layout {
    let mut taken = vec![false; node.slots.len()];
    let mut take = |port: &Port| {
        let free = |index: &usize| !taken[*index] && node.slots[*index].name == port.name;
        let same = (0..node.slots.len()).filter(free).find(|index| node.slots[*index].ty == port.ty);
        let index = same.or_else(|| (0..node.slots.len()).find(free))?;
        taken[index] = true;
        Some(&node.slots[index])
    };
    let slots = definition.inputs.iter().map(|port| {
        let saved = take(port);
        Slot {
            name: port.name.clone(),
            label: saved.and_then(|slot| slot.label.clone()).or_else(|| port.label.clone()),
            ty: port.ty.clone(),
            link: saved.and_then(|slot| slot.link.clone()),
            widget: None,
        }
    });
    Layout {
        kind: Kind::Host(graph),
        slots: slots.collect(),
        values: Vec::new(),
        outputs: definition.outputs.iter().map(|port| port.ty.clone()).collect(),
        dynamic_prompts: Vec::new(),
        fault: None,
    }
}
