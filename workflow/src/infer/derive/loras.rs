//! `loras`: a list that grows and shrinks, instead of a fixed chain of loaders or the places of one node.
//!
//! What callers list takes the place of all that the workflow has. LoRAs that make a model need few steps stay out of
//! it: the workflow's steps and guidance are made for them, and a caller who lists another must not lose them.

use super::{Deriving, field};
use crate::{
    catalog::Catalog,
    endpoint::{Binding, Derived, Endpoint, Param, ParamType, Tier},
    graph::{Graph, Node, NodeId},
    json::{Number, Object, Value},
    loras::{Chain, LoraList, LoraPlace, OwnLora, Stack},
    rules::Rule,
};

mod chains;
mod names;

/// More lists than this nobody tells apart.
const MOST_LISTS: usize = 4;

/// A place for a list.
pub(super) struct Offered {
    pub(super) list: LoraList,
    /// The nodes that a switch must leave in place for it.
    pub(super) needs: Vec<NodeId>,
}

/// The places for lists: of several, those that words tell apart. Nothing where a chain and a stack could both be meant.
pub(super) fn find(graph: &Graph, catalog: &Catalog) -> Vec<Offered> {
    let places = places(graph).unwrap_or_default();
    let names = match places.len() {
        0 | 1 => Some(vec!["loras".to_owned(); places.len()]),
        2..=MOST_LISTS => {
            let all: Vec<LoraPlace> = places.iter().map(|(place, _)| place.clone()).collect();
            names::tell_apart(graph, catalog, &all)
        }
        _ => None,
    };
    let named = names.unwrap_or_default().into_iter().zip(places);
    named.map(|(field, (place, needs))| Offered { list: LoraList { field, place }, needs }).collect()
}

/// Where lists can go, and which nodes a switch must leave in place for each.
fn places(graph: &Graph) -> Option<Vec<(LoraPlace, Vec<NodeId>)>> {
    let chains = chains::find(graph)?;
    let stacks: Vec<&Node> =
        graph.nodes.values().filter(|node| Stack::is_class(&node.class_type)).take(MOST_LISTS + 1).collect();
    if stacks.is_empty() {
        let place = |found: chains::Found| (LoraPlace::Chain(found.chain), found.needs);
        return Some(chains.into_iter().map(place).collect());
    }
    let place = |node: &&Node| Some((LoraPlace::Stack(Stack::of(node)?), vec![node.id.clone()]));
    let alone = chains.iter().all(|found| found.chain.nodes.is_empty());
    if alone { stacks.iter().map(place).collect() } else { None }
}

/// The field, with the workflow's own list as its default.
fn param(endpoint: &Endpoint, list: &LoraList) -> Option<Param> {
    let (own, signal, range) = match &list.place {
        LoraPlace::Chain(chain) if chain.nodes.is_empty() => {
            (Vec::new(), "a LoRA that stays, and room before it", (-100, 100))
        }
        LoraPlace::Chain(chain) => (of_chain(endpoint, chain)?, "a chain of LoRA loaders", (-100, 100)),
        LoraPlace::Stack(stack) => (stack.own.clone(), "a node that holds several LoRAs", stack.range),
    };
    let item = |own: &OwnLora| {
        let mut item = Object::new();
        item.insert("name".to_owned(), Value::from(own.name.replace('\\', "/")));
        item.insert("strength".to_owned(), own.strength.clone());
        if let Some(strength) = &own.strength_clip {
            item.insert("strength_clip".to_owned(), strength.clone());
        }
        Value::Object(item)
    };
    let mut param = field(&list.field, Derived::Loras, ParamType::Loras, &bindings(endpoint, &list.place));
    param.role = Some("loras".to_owned());
    param.default = Some(Value::Array(own.iter().map(item).collect()));
    param.folder = Some("loras".to_owned());
    param.loras = Some(list.place.shape());
    param.min = Some(Number::from_i128(range.0.into()));
    param.max = Some(Number::from_i128(range.1.into()));
    param.description = Some(
        "LoRAs in the order in which they are applied; the list takes the place of the workflow's own."
            .to_owned(),
    );
    signal.clone_into(&mut param.signal);
    Some(param)
}

fn of_chain(endpoint: &Endpoint, chain: &Chain) -> Option<Vec<OwnLora>> {
    let own = |id: &NodeId| {
        let node = endpoint.graph.node(id)?;
        // One that changes the model alone leaves the text encoder as it is.
        let none = Value::from(0);
        let clip = node.literal("strength_clip").unwrap_or(&none);
        Some(OwnLora {
            name: node.literal("lora_name")?.as_str()?.to_owned(),
            strength: node.literal("strength_model")?.clone(),
            strength_clip: chain.clip.then(|| clip.clone()),
        })
    };
    chain.nodes.iter().map(own).collect()
}

/// The inputs that name files, or the one that the list is put before.
fn bindings(endpoint: &Endpoint, place: &LoraPlace) -> Vec<Binding> {
    let binding = |node: &Node, input: &str| Binding {
        node: node.id.clone(),
        input: input.to_owned(),
        class_type: node.class_type.clone(),
    };
    match place {
        LoraPlace::Chain(chain) => {
            let own = chain.nodes.iter().filter_map(|id| endpoint.graph.node(id));
            let before = chain.before.iter().filter_map(|id| endpoint.graph.node(id));
            own.map(|node| binding(node, "lora_name"))
                .chain(before.map(|node| binding(node, "model")))
                .collect()
        }
        LoraPlace::Stack(stack) => {
            let node = endpoint.graph.node(&stack.node);
            let names = |node| stack.names(node).into_iter().map(move |name| binding(node, name));
            node.into_iter().flat_map(names).collect()
        }
    }
}

/// Callers list LoRAs or set the loaders' own values, not both.
pub(super) fn exclude_raw(endpoint: &mut Endpoint, list: &LoraList) {
    let is_decided = |binding: &Binding| match &list.place {
        LoraPlace::Chain(chain) => chain.nodes.contains(&binding.node),
        LoraPlace::Stack(stack) => {
            stack.node == binding.node && stack.decides().any(|name| *name == binding.input)
        }
    };
    let rules: Vec<Rule> = endpoint
        .params
        .iter()
        .filter(|param| matches!(param.tier, Tier::Primary | Tier::Advanced))
        .flat_map(Param::sets)
        .filter(|binding| is_decided(binding))
        .map(|binding| Rule::Either { field: list.field.clone(), input: binding.clone() })
        .collect();
    endpoint.rules.extend(rules);
}

/// A list for callers to give, under the name that it got.
pub(super) fn offer(endpoint: &mut Endpoint, with: &Deriving<'_>, list: &LoraList) -> Option<String> {
    let param = param(endpoint, list)?;
    with.offer(endpoint, param)
}
