//! Nodes that are parameters: custom nodes that other tools set before they queue a workflow.
//!
//! The nodes stay in the graph as they are. Only the inputs are set that the nodes themselves read when they run.

use super::{board::Board, claim::Claim};
use crate::{
    catalog::{InputDef, InputKind},
    diagnostic::Diagnostic,
    endpoint::ParamType,
    graph::Node,
    json::Value,
};

mod blender;
mod comfy_pack;
mod deploy;
mod krita;
mod request;
mod serving;
mod swarm;
mod visionatrix;

/// Each takes a node of its tool, declares what it declares, and says whether it was one.
const TOOLS: &[fn(&mut Board<'_, '_>, &Node) -> bool] = &[
    comfy_pack::declare,
    deploy::declare,
    swarm::declare,
    serving::declare,
    blender::declare,
    krita::declare,
    request::declare,
    visionatrix::declare,
];

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    let ours = TOOLS.iter().any(|tool| tool(board, node));
    if ours {
        board.hide_rest(node, "a setting of a parameter node");
    }
    ours
}

/// A text that says something.
fn text<'n>(node: &'n Node, input: &str) -> Option<&'n str> {
    node.literal(input).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

fn is_on(node: &Node, input: &str) -> bool {
    node.literal(input).and_then(Value::as_bool) == Some(true)
}

/// The author's title, else the input that the node feeds, where all it feeds are called the same.
fn title_or_target(board: &Board<'_, '_>, node: &Node) -> Option<String> {
    let title = board.context.graph.node(&node.id).and_then(|node| board.context.custom_title(node));
    title.map(str::to_owned).or_else(|| target(board, node))
}

fn target(board: &Board<'_, '_>, node: &Node) -> Option<String> {
    let mut inputs = board.context.fed_by(&node.id).iter().map(|consumer| consumer.input);
    // Such a name says less than what inference finds out.
    let first = inputs.next().filter(|input| !matches!(*input, "text" | "value" | "string" | "input"))?;
    inputs.all(|input| input == first).then(|| first.to_owned())
}

/// The definition of an input that the node feeds.
fn target_definition<'a>(board: &Board<'_, 'a>, node: &Node) -> Option<&'a InputDef> {
    let context = board.context;
    context.fed_by(&node.id).iter().find_map(|consumer| context.input(consumer.node, consumer.input))
}

fn type_of(definition: &InputDef) -> Option<ParamType> {
    match &definition.kind {
        InputKind::Int if definition.control_after_generate == Some(true) => Some(ParamType::Seed),
        InputKind::Int => Some(ParamType::Integer),
        InputKind::Float => Some(ParamType::Number),
        InputKind::Boolean => Some(ParamType::Boolean),
        InputKind::Text | InputKind::Combo => Some(ParamType::String),
        InputKind::Socket(_) => None,
    }
}

/// The options of what the node feeds, unless those are files.
fn target_options(board: &Board<'_, '_>, node: &Node) -> Vec<Value> {
    target_definition(board, node)
        .filter(|definition| definition.listing.is_none())
        .map_or_else(Vec::new, |definition| definition.options.clone())
}

/// Options that are typed into one text.
fn listed(text: Option<&str>, separator: char) -> Vec<Value> {
    let items = text.into_iter().flat_map(|text| text.split(separator)).map(str::trim);
    items.filter(|item| !item.is_empty()).map(Value::from).collect()
}

/// Claims a value, or says that the node has none that could be set.
fn claim(board: &mut Board<'_, '_>, node: &Node, claim: Claim) {
    let input = claim.inputs.first().cloned().unwrap_or_default();
    if node.link(&input).is_none() && !board.claim(node, claim) {
        board.report(
            node,
            Diagnostic::warning(
                "marker-without-value",
                format!("this node has no `{input}` that could be set"),
            )
            .help("export the workflow again with the node pack installed"),
        );
    }
}

/// A node whose value callers cannot bring: it is left as the workflow has it.
fn out_of_reach(board: &mut Board<'_, '_>, node: &Node, why: &str, instead: &str) {
    board.report(node, Diagnostic::warning("marker-out-of-reach", why).help(instead));
}
