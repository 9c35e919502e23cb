//! Files that may be left out, and parts of the graph that may be switched off.
//!
//! What goes is decided here, for every combination, with [`Cut`]; a switch is offered only if each combination with
//! the others yields every result. Later files are tried before earlier ones, because of several the first one is what
//! the workflow is about.

use std::collections::BTreeSet;

use super::{
    Deriving, field, is_decided,
    loras::{self, Offered},
};
use crate::{
    cut::Cut,
    diagnostic::{Diagnostic, printable},
    endpoint::{Binding, Derived, Endpoint, Param, ParamType, Stage, Tier},
    graph::{Graph, Node, NodeId},
    infer::{declared, names::slug},
    json::Value,
    loras::LoraPlace,
    ui::is_optional,
};

/// Every state of all switches is a graph of its own.
const MOST: usize = 5;
/// Files that are tried: of so many, the first ones that fit fill the switches up.
const MOST_TRIED: usize = 16;
/// Nodes of the largest graph that is looked at: people draw hundreds.
const LARGEST: usize = 3000;
/// A part of the graph under one name.
struct Part {
    name: String,
    nodes: Vec<NodeId>,
    on: bool,
    /// Whether an author asked for it, so that silence would be wrong.
    asked: bool,
    description: Option<String>,
    signal: &'static str,
}

/// What takes nodes out when it is off.
#[derive(Clone)]
struct Switch {
    param: String,
    nodes: Vec<NodeId>,
    /// Whether the nodes pass on what they take.
    passes: bool,
}

pub(super) fn offer(endpoint: &mut Endpoint, with: &Deriving<'_>) {
    if endpoint.graph.nodes.len() > LARGEST {
        return;
    }
    let mut found =
        Found { accepted: Vec::new(), variants: vec![endpoint.graph.clone()], listed: Vec::new() };
    for part in asked(endpoint, with) {
        offer_part(endpoint, with, part, &mut found);
    }
    for offered in loras::find(&endpoint.graph, with.catalog) {
        loras(endpoint, with, offered, &mut found);
    }
    files(endpoint, with, &mut found);
    for part in guessed(endpoint, with) {
        offer_part(endpoint, with, part, &mut found);
    }
    if !found.accepted.is_empty() {
        endpoint.switches = found.accepted.into_iter().map(|switch| switch.param).collect();
        endpoint.variants = found.variants;
    }
}

/// The switches so far, and the graph for each of their states.
struct Found {
    accepted: Vec<Switch>,
    variants: Vec<Graph>,
    /// The nodes that a list of LoRAs needs in place.
    listed: Vec<NodeId>,
}

impl Found {
    /// The graphs with one switch more, if all of them yield every result.
    fn with(&self, switch: &Switch, endpoint: &Endpoint, with: &Deriving<'_>) -> Option<Self> {
        if self.accepted.len() == MOST || switch.nodes.iter().any(|node| self.listed.contains(node)) {
            return None;
        }
        let mut accepted = self.accepted.clone();
        accepted.push(switch.clone());
        // Previews may go with what they show.
        let kept = endpoint.outputs.iter().filter(|output| output.stage != Stage::Preview);
        let results: Vec<&str> = kept.map(|output| output.node.as_str()).collect();
        let previews: Vec<&str> = endpoint.outputs.iter().map(|output| output.node.as_str()).collect();
        let results = if results.is_empty() { previews } else { results };
        let off = |state: usize| {
            let mut cut = Cut::default();
            for (_, switch) in accepted.iter().enumerate().filter(|(bit, _)| state >> bit & 1 == 1) {
                let nodes = switch.nodes.iter().map(String::as_str);
                if switch.passes { cut.passed.extend(nodes) } else { cut.gone.extend(nodes) }
            }
            cut.apply(&endpoint.graph, with.catalog, &results)
        };
        let mut variants = self.variants.clone();
        for state in self.variants.len()..self.variants.len() * 2 {
            variants.push(off(state)?);
        }
        Some(Self { accepted, variants, listed: self.listed.clone() })
    }
}

/// A list of LoRAs; an empty one takes the loaders out.
fn loras(
    endpoint: &mut Endpoint,
    with: &Deriving<'_>,
    Offered { mut list, needs }: Offered,
    found: &mut Found,
) -> Option<()> {
    if found.accepted.iter().any(|switch| switch.nodes.iter().any(|node| needs.contains(node))) {
        return None;
    }
    // What an author offers by itself is not offered once more.
    let is_named = |param: &Param| {
        param.tier == Tier::Primary
            && is_decided(param)
            && param.bindings.iter().any(|one| needs.contains(&one.node))
    };
    if endpoint.params.iter().any(is_named) {
        return None;
    }
    let nodes = match &list.place {
        LoraPlace::Chain(chain) => chain.nodes.clone(),
        LoraPlace::Stack(_) => Vec::new(),
    };
    if nodes.is_empty() {
        list.field = loras::offer(endpoint, with, &list)?;
    } else {
        let switch = Switch { param: list.field.clone(), nodes, passes: true };
        let mut more = found.with(&switch, endpoint, with)?;
        list.field = loras::offer(endpoint, with, &list)?;
        more.accepted.last_mut()?.param.clone_from(&list.field);
        *found = more;
    }
    found.listed.extend(needs);
    loras::exclude_raw(endpoint, &list);
    endpoint.lora_lists.push(list);
    Some(())
}

/// Files that may be left out.
fn files(endpoint: &mut Endpoint, with: &Deriving<'_>, found: &mut Found) {
    let is_file = |param: &&Param| {
        param.tier == Tier::Primary
            && param.ty.is_media()
            && param.insisted != Some(true)
            && !(param.required && param.signal == "sidecar file" && is_required_by(with, param))
            && !param
                .bindings
                .iter()
                .any(|binding| with.held.is_some_and(|held| held.requires(binding)) && param.required)
    };
    let mut names: Vec<(Wish, String)> =
        endpoint.params.iter().filter(is_file).map(|param| (Wish::of(param), param.name.clone())).collect();
    names.reverse();
    // What the author wants to be optional comes first.
    names.sort_by_key(|(wish, _)| *wish);
    for (wish, name) in names.into_iter().take(MOST_TRIED) {
        let Some(param) =
            endpoint.params.iter().find(|param| param.tier == Tier::Primary && param.name == name)
        else {
            continue;
        };
        let loaders: Vec<&Node> =
            param.bindings.iter().filter_map(|binding| endpoint.graph.node(&binding.node)).collect();
        let only_loads = loaders.iter().all(|node| node.links().next().is_none());
        let nodes = loaders.iter().map(|node| node.id.clone()).collect();
        let switch = Switch { param: name.clone(), nodes, passes: false };
        let more = if only_loads { found.with(&switch, endpoint, with) } else { None };
        let is_possible = more.is_some();
        if let Some(more) = more {
            *found = more;
        } else {
            endpoint.diagnostics.extend(wish.failed(&name));
        }
        if let Some(param) =
            endpoint.params.iter_mut().find(|param| param.tier == Tier::Primary && param.name == name)
        {
            param.required = !is_possible;
            if is_possible {
                param.signal.push_str("; left out, its branch of the graph goes");
            }
        }
    }
}

/// Whether an author wants a file to be optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// Without it the declared contract would not hold.
    Settled,
    /// Another tool would run the graph with the file that is in it.
    Marked,
    None,
}

impl Wish {
    fn of(param: &Param) -> Self {
        if !param.required {
            Self::Settled
        } else if param.insisted == Some(false) {
            Self::Marked
        } else {
            Self::None
        }
    }

    /// What to say where the rest of the graph needs the file.
    fn failed(self, name: &str) -> Option<Diagnostic> {
        match self {
            Self::Settled => Some(
                Diagnostic::error(
                    "not-optional",
                    format!("`{name}` cannot be left out: the rest of the graph needs it"),
                )
                .help("remove `required = false`; `comfyport check` lists the files that may be left out"),
            ),
            Self::Marked => Some(
                Diagnostic::warning(
                    "not-optional",
                    format!(
                        "`{name}` is marked as optional, but is required: the rest of the graph needs it"
                    ),
                )
                .help("remove the mark, or let the graph end without the nodes that take the file"),
            ),
            Self::None => None,
        }
    }
}

fn is_required_by(with: &Deriving<'_>, param: &Param) -> bool {
    let Some(sidecar) = with.sidecar else { return false };
    let places = param.bindings.iter().map(|binding| format!("{}.{}", binding.node, binding.input));
    places
        .chain([param.name.clone()])
        .any(|key| sidecar.params.get(&key).is_some_and(|rule| rule.required == Some(true)))
}

fn offer_part(endpoint: &mut Endpoint, with: &Deriving<'_>, part: Part, found: &mut Found) {
    let nodes: BTreeSet<&NodeId> =
        part.nodes.iter().filter(|id| endpoint.graph.nodes.contains_key(*id)).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().cloned().collect();
    if nodes.is_empty() {
        return;
    }
    let switch = Switch { param: part.name.clone(), nodes: nodes.clone(), passes: true };
    let Some(more) = found.with(&switch, endpoint, with) else {
        if part.asked {
            let message = if found.accepted.len() == MOST {
                format!("`{}` is one switch too many: a workflow has at most {MOST}", part.name)
            } else {
                format!("`{}` cannot be switched off: a result would be lost", part.name)
            };
            let help = "switch off only nodes that yield what they take, such as an upscaler between two pictures; \
                        their classes must be known: see `object_info.json`";
            endpoint.diagnostics.push(Diagnostic::error("bad-switch", message).help(help));
        }
        return;
    };
    let bindings: Vec<Binding> = nodes
        .iter()
        .filter_map(|id| endpoint.graph.node(id))
        .map(|node| Binding {
            node: node.id.clone(),
            input: String::new(),
            class_type: node.class_type.clone(),
        })
        .collect();
    let mut param = field(&part.name, Derived::Switch, ParamType::Boolean, &bindings);
    param.default = Some(Value::Bool(part.on));
    param.settled = part.asked;
    let classes: BTreeSet<&str> = bindings.iter().map(|binding| binding.class_type.as_str()).collect();
    let classes = classes.into_iter().take(5).collect::<Vec<_>>().join(", ");
    param.description = part
        .description
        .or_else(|| Some(format!("Whether this part of the workflow takes part: {}.", printable(&classes))));
    part.signal.clone_into(&mut param.signal);
    if let Some(name) = with.offer(endpoint, param) {
        *found = more;
        if let Some(last) = found.accepted.last_mut() {
            last.param = name;
        }
    }
}

/// Parts that an author named: in the sidecar file, or with tags in titles.
fn asked(endpoint: &mut Endpoint, with: &Deriving<'_>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (name, rule) in with.sidecar.iter().flat_map(|sidecar| &sidecar.switches) {
        let nodes =
            with.held.and_then(|held| held.switched(name, &rule.nodes)).unwrap_or_else(|| rule.nodes.clone());
        let unknown: Vec<&String> = nodes.iter().filter(|id| endpoint.graph.node(id).is_none()).collect();
        if let Some(id) = unknown.first() {
            let message =
                format!("[switches.{name}]: no node that a result needs has the id {}", printable(id));
            endpoint.diagnostics.push(Diagnostic::error("sidecar", message));
            continue;
        }
        parts.push(Part {
            name: name.clone(),
            nodes,
            on: rule.default.unwrap_or(true),
            asked: true,
            description: rule.description.clone(),
            signal: "sidecar file",
        });
    }
    for node in endpoint.graph.nodes.values() {
        for (name, on) in declared::switches(node) {
            match parts.iter_mut().find(|part| part.name == name) {
                Some(part) => {
                    part.nodes.push(node.id.clone());
                    part.on &= on;
                }
                None => parts.push(Part {
                    name: name.to_owned(),
                    nodes: vec![node.id.clone()],
                    on,
                    asked: true,
                    description: None,
                    signal: "a tag in the node's title",
                }),
            }
        }
    }
    parts
}

/// Parts that are known to be optional: groups of the editor whose title says so, and an upscaler behind a sampler.
fn guessed(endpoint: &Endpoint, with: &Deriving<'_>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let in_use = |id: &NodeId| endpoint.switches.contains(id);
    for group in with.groups {
        let Some(name) = slug(&group.title).filter(|_| is_optional(&group.title)) else { continue };
        // A group that makes or ends the result is not an option.
        let essential = group.nodes.iter().filter_map(|id| endpoint.graph.node(id)).any(|node| {
            endpoint.outputs.iter().any(|output| output.node == node.id && output.stage != Stage::Preview)
                || endpoint.params.iter().any(|param| {
                    param.tier == Tier::Primary
                        && (param.ty.is_media() || param.role.as_deref() == Some("prompt"))
                        && param.sets().iter().any(|binding| binding.node == node.id)
                })
        });
        if !essential && is_name(&name) && !parts.iter().any(|part| part.name == name) {
            let nodes = group.nodes.iter().filter(|id| !in_use(id)).cloned().collect();
            parts.push(Part {
                name,
                nodes,
                on: !group.asleep,
                asked: false,
                description: None,
                signal: if group.asleep {
                    "a group that is bypassed or muted in the file"
                } else {
                    "a group whose title says that it is optional"
                },
            });
        }
    }
    let upscalers: Vec<&Node> = endpoint
        .graph
        .nodes
        .values()
        .filter(|node| node.class_type == "ImageUpscaleWithModel" && follows_a_sampler(&endpoint.graph, node))
        .collect();
    let grouped = parts.iter().any(|part| upscalers.iter().any(|node| part.nodes.contains(&node.id)));
    if !upscalers.is_empty() && !grouped {
        parts.push(Part {
            name: "upscale".to_owned(),
            nodes: upscalers.iter().map(|node| node.id.clone()).collect(),
            on: true,
            asked: false,
            description: Some("Whether the result is enlarged with the upscaling model.".to_owned()),
            signal: "an upscaler behind a sampler",
        });
    }
    parts
}

fn is_name(name: &str) -> bool {
    crate::sidecar::is_name(name)
}

fn follows_a_sampler(graph: &Graph, node: &Node) -> bool {
    let before = graph.ancestors([node.id.as_str()]);
    before
        .iter()
        .filter_map(|id| graph.node(id))
        .any(|node| node.class_type.to_lowercase().contains("sampler"))
}
