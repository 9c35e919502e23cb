//! What only the editor's format knows: what the author declared, where models come from, which packs were used.

use indexmap::IndexSet;

use super::{
    declarations,
    document::id_text,
    groups::{self, Group},
    resolve::{Place, Whole},
};
use crate::{
    graph::NodeId,
    json::{Object, Value},
};

/// Facts beside the graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UiFacts {
    /// Inputs that the author offers to others, in the author's order.
    pub declarations: Vec<Declaration>,
    /// Nodes whose results the author offers, if that was said.
    pub outputs: Vec<NodeId>,
    /// Where models come from.
    pub models: Vec<ModelFact>,
    /// Which node packs the nodes came from.
    pub packs: Vec<PackFact>,
    /// Boxes around nodes.
    pub groups: Vec<Group>,
}

/// An input that the author offers to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// What the author calls it.
    pub name: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// Where the author said so.
    pub wish: Wish,
    /// The node inputs it sets: node and name.
    pub inputs: Vec<(NodeId, String)>,
}

/// Where an author said that an input is for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// In the form that the editor shows instead of the graph.
    App,
    /// On the outside of a subgraph.
    Promoted,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelFact {
    /// The file, as nodes name it.
    pub file: String,
    /// The models folder.
    pub folder: Option<String>,
    /// Where it can be fetched from.
    pub url: Option<String>,
    /// What its content hashes to, if that was said with SHA-256.
    pub sha256: Option<String>,
}

/// Which node pack a class came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackFact {
    /// The class.
    pub class_type: String,
    /// The pack's name in the public registry.
    pub registry_id: Option<String>,
    /// The pack's repository: `owner/name`.
    pub repository: Option<String>,
    /// The version that was installed, or a commit.
    pub version: Option<String>,
}

/// All facts of a file.
pub(super) fn collect(value: &Value, whole: &Whole<'_>, graph: &Object) -> UiFacts {
    let mut facts = UiFacts {
        declarations: declarations::find(value, whole, graph),
        groups: groups::find(value, graph),
        ..UiFacts::default()
    };
    let linear = value.get("extra").and_then(|extra| extra.get("linearData"));
    let outputs =
        linear.and_then(|linear| linear.get("outputs")).and_then(Value::as_array).unwrap_or_default();
    facts.outputs = outputs.iter().filter_map(id_text).filter(|id| graph.contains_key(id)).collect();
    let (mut models, mut packs) = (IndexSet::new(), IndexSet::new());
    for instance in 0..whole.instances.all.len() {
        for node in 0..whole.graph(instance).nodes.len() {
            let place = Place { instance, node };
            if graph.contains_key(&whole.id(place)) {
                let node = whole.node(place);
                let own = node.properties.get("models").and_then(Value::as_array).unwrap_or_default();
                models.extend(own.iter().filter_map(model));
                packs.extend(pack(&node.class, &node.properties));
            }
        }
    }
    let listed = value.get("models").and_then(Value::as_array).unwrap_or_default();
    models.extend(listed.iter().filter_map(model));
    facts.models = models.into_iter().collect();
    facts.packs = packs.into_iter().collect();
    facts
}

fn model(value: &Value) -> Option<ModelFact> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let sha256 = text("hash_type").is_none_or(|kind| kind.eq_ignore_ascii_case("sha256"));
    let hash = text("hash")
        .filter(|hash| sha256 && hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    Some(ModelFact {
        file: text("name")?.replace('\\', "/"),
        folder: text("directory").map(str::to_owned),
        url: text("url").filter(|url| url.starts_with("https://")).map(str::to_owned),
        sha256: hash.map(str::to_ascii_lowercase),
    })
}

fn pack(class: &str, properties: &Object) -> Option<PackFact> {
    let text = |key: &str| {
        let text = properties.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let (registry_id, repository) = (text("cnr_id"), text("aux_id"));
    if registry_id.is_none() && repository.is_none() {
        return None;
    }
    Some(PackFact { class_type: class.to_owned(), registry_id, repository, version: text("ver") })
}
