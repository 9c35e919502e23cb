//! Group nodes of older editors, turned into subgraphs of their own.
//!
//! A group node is saved as one node with the widgets of all nodes in it, one after the other, and inputs whose names
//! are made unique with titles. The nodes themselves stand under `extra.groupNodes`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    EXPORT, MOST_NODES, MOST_SLOTS,
    document::{self, Document, Graph, INPUTS, Link, Node, OUTPUTS, Port, Values},
    slots::{self, Slot, defined_ty},
    widgets::{assign, controls, has_widget},
};
use crate::{
    catalog::{Catalog, NodeDef},
    diagnostic::{Diagnostic, printable},
    json::{Object, Value},
};

/// Gives each group node of the outermost graph a subgraph of its own.
pub(super) fn unfold(
    value: &Value,
    document: &mut Document,
    catalog: &Catalog,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let groups = value.get("extra").and_then(|extra| extra.get("groupNodes")).and_then(Value::as_object);
    let Some(groups) = groups.filter(|groups| !groups.is_empty()) else { return };
    let mut made: Vec<(String, Graph)> = Vec::new();
    let mut nodes = 0;
    let Some(outermost) = document.graphs.first_mut() else { return };
    for node in outermost.nodes.values_mut() {
        let name = node.class.strip_prefix("workflow/").or_else(|| node.class.strip_prefix("workflow>"));
        let Some(group) = name.and_then(|name| groups.get(name)) else { continue };
        let count = |key: &str| group.get(key).and_then(Value::as_array).unwrap_or_default().len();
        nodes += count("nodes") + count("links") + count("external");
        if count("nodes") > MOST_SLOTS || nodes > MOST_NODES {
            diagnostics.push(too_large().at_node(&node.id, node.title.as_deref()));
            return;
        }
        match Unfolding::new(group, catalog, node).run() {
            Ok(graph) => {
                // No class of a file can be called like this.
                node.class = format!("\u{0}group {}", node.id);
                node.values = Values::default();
                made.push((node.class.clone(), graph));
            }
            Err(found) => diagnostics.push(found.at_node(&node.id, node.title.as_deref()).help(EXPORT)),
        }
    }
    for (class, graph) in made {
        document.definitions.insert(class, document.graphs.len());
        document.graphs.push(graph);
    }
}

struct Unfolding<'u> {
    group: &'u Value,
    catalog: &'u Catalog,
    /// Values of the group node that are not given out yet.
    values: std::vec::IntoIter<Value>,
    graph: Graph,
    /// Outputs that something inside takes, by node and slot.
    used: BTreeSet<(usize, usize)>,
    /// Outputs that something outside takes too.
    outside: BTreeSet<(usize, usize)>,
    /// Names that are taken, and how often.
    seen: BTreeMap<String, usize>,
    /// Inputs of widgets that were made sockets; they come after all others.
    converted: Vec<(usize, String, String)>,
}

impl<'u> Unfolding<'u> {
    fn new(group: &'u Value, catalog: &'u Catalog, host: &Node) -> Self {
        let values = match &host.values {
            Values::Listed(items) => items.clone(),
            Values::Named(_) => Vec::new(),
        };
        Self {
            group,
            catalog,
            values: values.into_iter(),
            graph: Graph::default(),
            used: BTreeSet::new(),
            outside: BTreeSet::new(),
            seen: BTreeMap::new(),
            converted: Vec::new(),
        }
    }

    fn list(&self, key: &str) -> &'u [Value] {
        self.group.get(key).and_then(Value::as_array).unwrap_or_default()
    }

    fn run(mut self) -> Result<Graph, Diagnostic> {
        for (index, value) in self.list("nodes").iter().enumerate() {
            let mut with_id = value.as_object().cloned().unwrap_or_default();
            with_id.insert("id".to_owned(), Value::from(index.to_string()));
            let mut node = document::node(&Value::Object(with_id))?;
            node.slots.iter_mut().for_each(|slot| slot.link = None);
            self.graph.nodes.insert(node.id.clone(), node);
        }
        self.inner_links();
        let outside = self.list("external").iter();
        self.outside.extend(outside.filter_map(|value| Some((part(value, 0)?, part(value, 1)?))));
        for index in 0..self.graph.nodes.len() {
            match self.graph.nodes[index].class.as_str() {
                "Reroute" => self.reroute(index),
                "PrimitiveNode" => self.primitive(index),
                class => match self.catalog.get(class) {
                    Some(definition) => self.known(index, definition),
                    None if super::virtual_nodes::of(class).is_some() => {}
                    None => return Err(unknown(class)),
                },
            }
        }
        for (index, input, ty) in std::mem::take(&mut self.converted) {
            let name = self.name(index, &input);
            self.expose_input(index, &input, name, &ty);
        }
        Ok(self.graph)
    }

    /// `[source, slot, target, slot, …]`; a link from outside has no source.
    fn inner_links(&mut self) {
        for (number, value) in self.list("links").iter().enumerate() {
            let place = |index: usize| part(value, index);
            let (Some(origin), Some(origin_slot)) = (place(0), place(1)) else { continue };
            let (Some(target), Some(target_slot)) = (place(2), place(3)) else { continue };
            let slot =
                self.graph.nodes.get_index_mut(target).and_then(|(_, node)| node.slots.get_mut(target_slot));
            self.used.insert((origin, origin_slot));
            if let Some(slot) = slot {
                slot.link = Some(number.to_string());
                let link =
                    Link { origin: origin.to_string(), origin_slot, target: target.to_string(), target_slot };
                self.graph.links.insert(number.to_string(), link);
            }
        }
    }

    fn known(&mut self, index: usize, definition: &NodeDef) {
        let own = assign(definition, &self.graph.nodes[index]);
        let mut values: Object = own.values.into_iter().collect();
        for input in definition.inputs.iter().filter(|input| has_widget(input)) {
            let slots = &self.graph.nodes[index].slots;
            if slots.iter().any(|slot| slot.name == input.name && slot.widget.is_some()) {
                self.converted.push((index, input.name.clone(), defined_ty(input)));
                continue;
            }
            self.name(index, &input.name);
            if let Some(value) = self.values.next() {
                values.insert(input.name.clone(), value);
            }
            (0..controls(input, &input.name)).for_each(|_| drop(self.values.next()));
        }
        self.graph.nodes[index].values = Values::Named(values);
        for input in definition.inputs.iter().filter(|input| !has_widget(input)) {
            if self.is_linked(index, &input.name) {
                continue;
            }
            let name = self.name(index, &input.name);
            if self.visible(index, "input", &input.name) != Some(false) {
                self.expose_input(index, &input.name, name, &defined_ty(input));
            }
        }
        for (slot, output) in definition.outputs.iter().enumerate() {
            self.expose_output(index, slot, &output.ty);
        }
    }

    fn primitive(&mut self, index: usize) {
        if !self.used.contains(&(index, 0)) {
            return;
        }
        self.name(index, "value");
        if let Some(value) = self.values.next() {
            self.graph.nodes[index].values = Values::Listed(vec![value]);
        }
        let ty = self.graph.nodes[index].outputs.first().cloned().unwrap_or_default();
        let controls = match ty.as_str() {
            "INT" | "FLOAT" => 1,
            "COMBO" => 2,
            _ => 0,
        };
        (0..controls).for_each(|_| drop(self.values.next()));
        self.expose_output(index, 0, &ty);
    }

    fn reroute(&mut self, index: usize) {
        let node = &self.graph.nodes[index];
        let ty = node.outputs.first().cloned().unwrap_or_else(|| "*".to_owned());
        let input = node.slots.first().map(|slot| slot.name.clone()).unwrap_or_default();
        if !self.is_linked(index, &input) {
            let name = self.name(index, &ty);
            self.expose_input(index, &input, name, &ty);
        }
        self.expose_output(index, 0, &ty);
    }

    fn is_linked(&self, index: usize, input: &str) -> bool {
        self.graph.nodes[index].slots.iter().any(|slot| slot.name == input && slot.link.is_some())
    }

    /// What the author set for an input or an output of one of the nodes.
    fn config(&self, index: usize, side: &str, name: &str) -> Option<&'u Value> {
        self.group.get("config")?.get(&index.to_string())?.get(side)?.get(name)
    }

    fn visible(&self, index: usize, side: &str, name: &str) -> Option<bool> {
        self.config(index, side, name)?.get("visible")?.as_bool()
    }

    /// The name on the group node. One that is taken gets the node's title in front, and a number after that.
    fn name(&mut self, index: usize, input: &str) -> String {
        let custom =
            self.config(index, "input", input).and_then(|config| config.get("name")).and_then(Value::as_str);
        let node = &self.graph.nodes[index];
        let label = node.slots.iter().find(|slot| slot.name == input).and_then(|slot| slot.label.as_deref());
        let mut name = custom.or(label).unwrap_or(input).to_owned();
        let mut key = name.clone();
        let titled = node.class == "PrimitiveNode" && node.title.is_some();
        if titled || self.seen.contains_key(&name) {
            let prefix = node.title.as_ref().unwrap_or(&node.class);
            key = format!("{prefix} {input}");
            name.clone_from(&key);
            if let Some(count) = self.seen.get(&name) {
                name = format!("{prefix} {count} {input}");
            }
        }
        *self.seen.entry(key).or_insert(1) += 1;
        name
    }

    fn expose_input(&mut self, index: usize, input: &str, name: String, ty: &str) {
        let (id, port) = (format!("in{}", self.graph.inputs.len()), self.graph.inputs.len());
        let slots = &mut self.graph.nodes[index].slots;
        let slot = slots.iter().position(|slot| slot.name == input).unwrap_or_else(|| {
            slots.push(Slot { name: input.to_owned(), ty: ty.to_owned(), ..Slot::default() });
            slots.len() - 1
        });
        if slots[slot].link.is_some() {
            return;
        }
        slots[slot].link = Some(id.clone());
        let link = Link {
            origin: INPUTS.to_owned(),
            origin_slot: port,
            target: index.to_string(),
            target_slot: slot,
        };
        self.graph.links.insert(id.clone(), link);
        self.graph.inputs.push(Port {
            name,
            label: None,
            ty: slots::ty(Some(&Value::from(ty))),
            links: vec![id],
        });
    }

    /// Outputs that are used inside are hidden, unless they are used outside too.
    fn expose_output(&mut self, index: usize, slot: usize, ty: &str) {
        let hidden = self.used.contains(&(index, slot)) && !self.outside.contains(&(index, slot));
        let visible = self.visible(index, "output", &slot.to_string()).unwrap_or(!hidden);
        if !visible {
            return;
        }
        let port = self.graph.outputs.len();
        let id = format!("out{port}");
        let link = Link {
            origin: index.to_string(),
            origin_slot: slot,
            target: OUTPUTS.to_owned(),
            target_slot: port,
        };
        self.graph.links.insert(id.clone(), link);
        self.graph.outputs.push(Port {
            name: ty.to_owned(),
            label: None,
            ty: ty.to_owned(),
            links: vec![id],
        });
    }
}

/// A number in a list.
fn part(value: &Value, index: usize) -> Option<usize> {
    value.as_array()?.get(index)?.as_u64().and_then(|part| usize::try_from(part).ok())
}

fn too_large() -> Diagnostic {
    Diagnostic::error("too-large", "the group nodes of this workflow contain too many nodes").help(EXPORT)
}

fn unknown(class: &str) -> Diagnostic {
    let message = format!("the group node contains `{}`, a class that is not known", printable(class));
    Diagnostic::error("unknown-node", message)
}
