//! `loras`: a list that grows and shrinks, instead of a fixed chain of loaders.
//!
//! Holds where the graph has exactly one chain of `LoraLoader` or of `LoraLoaderModelOnly`, each loader feeding the next
//! and nothing else. What callers list takes the place of the whole chain. LoRAs that make a model need few steps stay
//! out of it: the workflow's steps and guidance are made for them, and a caller who lists another must not lose them.

use super::{Deriving, field};
use crate::{
    endpoint::{Binding, Derived, Endpoint, Param, ParamType, Tier},
    graph::{Graph, Node},
    json::{Number, Object, Value},
    rules::{Chain, Rule},
};

const WITH_CLIP: &str = "LoraLoader";
const MODEL_ONLY: &str = "LoraLoaderModelOnly";

/// Words in the names of LoRAs that make a model need few steps.
const ACCELERATORS: &[&str] = &[
    "lcm",
    "lightning",
    "turbo",
    "hyper",
    "distill",
    "lightx2v",
    "causvid",
    "accvid",
    "dmd",
    "fastwan",
    "phantom",
    "4step",
    "4_step",
    "4-step",
    "8step",
    "8_step",
    "8-step",
];

fn is_accelerator(node: &Node) -> bool {
    let file = node.literal("lora_name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    ACCELERATORS.iter().any(|word| file.contains(word))
}

/// The chain, if there is one.
pub(super) fn chain(graph: &Graph) -> Option<Chain> {
    let loaders: Vec<&Node> = graph
        .nodes
        .values()
        .filter(|node| [WITH_CLIP, MODEL_ONLY].contains(&node.class_type.as_str()) && !is_accelerator(node))
        .collect();
    let class = &loaders.first()?.class_type;
    let clip = class == WITH_CLIP;
    let is_loader = |id: &str| loaders.iter().any(|node| node.id == id);
    let mut firsts =
        loaders.iter().filter(|node| node.link("model").is_some_and(|link| !is_loader(&link.node)));
    let mut at = *firsts.next()?;
    if firsts.next().is_some()
        || loaders.iter().any(|node| node.class_type != *class || !is_plain(node, clip))
    {
        return None;
    }
    let consumers = graph.consumers();
    let mut nodes = vec![at.id.clone()];
    while nodes.len() < loaders.len() {
        let fed = consumers.get(at.id.as_str())?;
        let next = loaders.iter().find(|node| node.link("model").is_some_and(|link| link.node == at.id))?;
        let only = fed.iter().all(|consumer| consumer.node.id == next.id);
        let goes_on = |input: &str, slot: u32| {
            next.link(input).is_some_and(|link| link.node == at.id && link.slot == slot)
        };
        if !only || !goes_on("model", 0) || (clip && !goes_on("clip", 1)) || nodes.contains(&next.id) {
            return None;
        }
        nodes.push(next.id.clone());
        at = *next;
    }
    Some(Chain { field: "loras".to_owned(), nodes, clip })
}

/// Whether everything that the list says stands in the loader itself.
fn is_plain(node: &Node, clip: bool) -> bool {
    let number = |input: &str| node.literal(input).and_then(Value::as_f64).is_some();
    node.literal("lora_name").and_then(Value::as_str).is_some()
        && number("strength_model")
        && (!clip || (number("strength_clip") && node.link("clip").is_some()))
}

/// The field, with the workflow's own list as its default.
pub(super) fn param(endpoint: &Endpoint, chain: &Chain) -> Option<Param> {
    let loaders: Vec<&Node> = chain.nodes.iter().filter_map(|id| endpoint.graph.node(id)).collect();
    let bindings: Vec<Binding> = loaders
        .iter()
        .map(|node| Binding {
            node: node.id.clone(),
            input: "lora_name".to_owned(),
            class_type: node.class_type.clone(),
        })
        .collect();
    let item = |node: &&Node| {
        let mut item = Object::new();
        let name = node.literal("lora_name")?.as_str()?.replace('\\', "/");
        item.insert("name".to_owned(), Value::from(name.as_str()));
        item.insert("strength".to_owned(), node.literal("strength_model")?.clone());
        if chain.clip {
            item.insert("strength_clip".to_owned(), node.literal("strength_clip")?.clone());
        }
        Some(Value::Object(item))
    };
    let mut param = field("loras", Derived::Loras, ParamType::Loras, &bindings);
    param.default = Some(Value::Array(loaders.iter().map(item).collect::<Option<_>>()?));
    param.folder = Some("loras".to_owned());
    param.min = Some(Number::from_i128(-100));
    param.max = Some(Number::from_i128(100));
    param.description = Some(
        "LoRAs in the order in which they are applied; the list takes the place of the workflow's own."
            .to_owned(),
    );
    "a chain of LoRA loaders".clone_into(&mut param.signal);
    Some(param)
}

/// Callers list LoRAs or set the loaders' own values, not both.
pub(super) fn exclude_raw(endpoint: &mut Endpoint, chain: &Chain) {
    let rules: Vec<Rule> = endpoint
        .params
        .iter()
        .filter(|param| matches!(param.tier, Tier::Primary | Tier::Advanced))
        .flat_map(Param::sets)
        .filter(|binding| chain.nodes.contains(&binding.node))
        .map(|binding| Rule::Either { field: chain.field.clone(), input: binding.clone() })
        .collect();
    endpoint.rules.extend(rules);
}

/// A chain that callers may replace.
pub(super) fn offer(endpoint: &mut Endpoint, with: &Deriving<'_>, chain: &Chain) -> Option<String> {
    let param = param(endpoint, chain)?;
    with.offer(endpoint, param)
}
