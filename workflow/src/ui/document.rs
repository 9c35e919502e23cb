//! Reading the editor's format: nodes, links, and the definitions of subgraphs.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::{
    EXPORT, LONGEST_ID, MOST_SLOTS, renumber,
    slots::{self, Slot},
};
use crate::{
    diagnostic::{Diagnostic, printable},
    json::{Object, Value},
};

/// The node that stands for the inputs of a subgraph inside it.
pub(super) const INPUTS: &str = "-10";
/// The node that stands for the outputs of a subgraph inside it.
pub(super) const OUTPUTS: &str = "-20";

/// A whole file. The first graph is the outermost one.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) graphs: Vec<Graph>,
    /// Subgraphs by the class of the nodes that stand for them.
    pub(super) definitions: BTreeMap<String, usize>,
}

/// One graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: IndexMap<String, Node>,
    /// Links by id, in the order of the file.
    pub(super) links: IndexMap<String, Link>,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
}

/// One link.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) origin: String,
    pub(super) origin_slot: usize,
    pub(super) target: String,
    pub(super) target_slot: usize,
}

/// An input or output of a subgraph.
#[derive(Debug, Clone, Default)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) ty: String,
    /// Links inside the subgraph.
    pub(super) links: Vec<String>,
}

/// One node as it was saved.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) class: String,
    pub(super) title: Option<String>,
    pub(super) mode: Mode,
    pub(super) slots: Vec<Slot>,
    pub(super) outputs: Vec<String>,
    pub(super) values: Values,
    /// Values by name, which newer editors write beside the list.
    pub(super) named: Object,
    pub(super) properties: Object,
    /// Inner widgets that a node that stands for a subgraph shows, by node and name.
    pub(super) borrowed: Vec<(String, String)>,
}

/// Whether a node takes part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Active,
    /// It is left out, and nothing comes out of it.
    Muted,
    /// It is left out, and what goes in comes out.
    Bypassed,
}

/// The values of widgets.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// In the order of the screen.
    Listed(Vec<Value>),
    /// By name, as some node packs save them.
    Named(Object),
}

impl Default for Values {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Graph {
    /// The link that ends at a slot of a node.
    pub(super) fn link(&self, slot: &Slot) -> Option<&Link> {
        self.links.get(slot.link.as_deref()?)
    }
}

/// Reads the outermost graph and every subgraph's definition.
pub(super) fn read(value: &Value, diagnostics: &mut Vec<Diagnostic>) -> Document {
    let mut document = Document { graphs: vec![graph(value, diagnostics)], ..Document::default() };
    definitions(value, &mut document, diagnostics);
    renumber::renumber(value, &mut document);
    document
}

/// The parser bounds how deep definitions can be nested in definitions.
fn definitions(value: &Value, document: &mut Document, diagnostics: &mut Vec<Diagnostic>) {
    let defined = value.get("definitions").and_then(|all| all.get("subgraphs")).and_then(Value::as_array);
    for definition in defined.unwrap_or_default() {
        if let Some(id) = definition.get("id").and_then(Value::as_str)
            && !document.definitions.contains_key(id)
        {
            document.definitions.insert(id.to_owned(), document.graphs.len());
            document.graphs.push(graph(definition, diagnostics));
        }
        definitions(definition, document, diagnostics);
    }
}

fn graph(value: &Value, diagnostics: &mut Vec<Diagnostic>) -> Graph {
    let list = |key: &str| value.get(key).and_then(Value::as_array).unwrap_or_default();
    let links: IndexMap<String, Link> = list("links").iter().filter_map(link).collect();
    let inputs = list("inputs").iter().take(MOST_SLOTS).enumerate().map(|(index, value)| {
        let inside = |link: &Link| link.origin == INPUTS && link.origin_slot == index;
        Port { links: listed_links(value, &links, &inside), ..port(value) }
    });
    // Of several links to one output the first in the file counts, whatever the output itself lists.
    let outputs = list("outputs").iter().take(MOST_SLOTS).enumerate().map(|(index, value)| {
        let inside = |link: &Link| link.target == OUTPUTS && link.target_slot == index;
        Port { links: own_links(&links, &inside), ..port(value) }
    });
    let (inputs, outputs) = (inputs.collect(), outputs.collect());
    let mut nodes = IndexMap::new();
    for value in list("nodes") {
        match node(value) {
            Ok(node) if nodes.contains_key(&node.id) => diagnostics.push(
                Diagnostic::error("duplicate-node", format!("node {} is there twice", printable(&node.id)))
                    .at_node(&node.id, node.title.as_deref())
                    .help("open the workflow in ComfyUI and save it again"),
            ),
            Ok(node) => drop(nodes.insert(node.id.clone(), node)),
            Err(found) => diagnostics.push(found),
        }
    }
    Graph { nodes, links, inputs, outputs }
}

/// Links are lists in version 0.4, objects in version 1 and in subgraphs.
fn link(value: &Value) -> Option<(String, Link)> {
    let listed = |index: usize| value.as_array().and_then(|items| items.get(index));
    let part = |index: usize, key: &str| listed(index).or_else(|| value.get(key));
    let slot = |value: &Value| value.as_u64().and_then(|slot| usize::try_from(slot).ok());
    let link = Link {
        origin: id_text(part(1, "origin_id")?)?,
        origin_slot: slot(part(2, "origin_slot")?)?,
        target: id_text(part(3, "target_id")?)?,
        target_slot: slot(part(4, "target_slot")?)?,
    };
    Some((id_text(part(0, "id")?)?, link))
}

fn port(value: &Value) -> Port {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Port {
        name: text("name").unwrap_or_default(),
        label: text("label"),
        ty: slots::ty(value.get("type")),
        links: Vec::new(),
    }
}

/// The links in the order in which an input of a subgraph lists them.
fn listed_links(
    value: &Value,
    links: &IndexMap<String, Link>,
    inside: &dyn Fn(&Link) -> bool,
) -> Vec<String> {
    let listed = value.get("linkIds").and_then(Value::as_array).unwrap_or_default();
    let listed = listed.iter().filter_map(id_text);
    let listed: Vec<String> = listed.filter(|id| links.get(id).is_some_and(inside)).collect();
    if listed.is_empty() { own_links(links, inside) } else { listed }
}

fn own_links(links: &IndexMap<String, Link>, inside: &dyn Fn(&Link) -> bool) -> Vec<String> {
    links.iter().filter(|(_, link)| inside(link)).map(|(id, _)| id.clone()).collect()
}

pub(super) fn node(value: &Value) -> Result<Node, Diagnostic> {
    let id = value.get("id").and_then(id_text).filter(|id| id.len() <= LONGEST_ID);
    let class = value.get("type").and_then(Value::as_str);
    let (Some(id), Some(class)) = (id, class) else {
        return Err(Diagnostic::error("odd-node", "a node of the workflow has no `id` or no `type`")
            .help("open the workflow in ComfyUI and save it again"));
    };
    let object = |key: &str| value.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let title = value.get("title").and_then(Value::as_str).filter(|title| !title.is_empty());
    let outputs = value.get("outputs").and_then(Value::as_array).unwrap_or_default();
    let slots = slots::read(value.get("inputs"));
    let listed = value.get("inputs").is_none_or(|inputs| inputs.is_null() || inputs.as_array().is_some());
    if !listed || slots.len() > MOST_SLOTS {
        return Err(Diagnostic::error("odd-node", "the inputs of a node are no list, or very many")
            .at_node(&id, title)
            .help(EXPORT));
    }
    Ok(Node {
        class: class.to_owned(),
        title: title.map(str::to_owned),
        mode: match value.get("mode").and_then(Value::as_i64) {
            Some(2) => Mode::Muted,
            Some(4) => Mode::Bypassed,
            _ => Mode::Active,
        },
        slots,
        outputs: outputs.iter().map(|output| slots::ty(output.get("type"))).collect(),
        values: match value.get("widgets_values") {
            Some(Value::Array(items)) => Values::Listed(items.clone()),
            Some(Value::Object(members)) => Values::Named(members.clone()),
            _ => Values::default(),
        },
        named: object("widgets_values_named"),
        properties: object("properties"),
        borrowed: renumber::borrowed(value.get("properties"), MOST_SLOTS),
        id,
    })
}

/// Ids are numbers in older files and texts in newer ones; both mean the same.
pub(super) fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_i128().map(|id| id.to_string()),
        _ => None,
    }
}
