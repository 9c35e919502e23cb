//! `SwarmInput*` of SwarmUI: the name is in `raw_id` or `title`, the value in `value`.

use super::{claim, is_on, listed, target_options, text};
use crate::{
    endpoint::{ParamType, Tier},
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
};

const SIGNAL: &str = "a SwarmUI input";

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    let Some(kind) = node.class_type.strip_prefix("SwarmInput") else { return false };
    if kind == "Group" {
        return true;
    }
    let mut declared = match kind {
        "Image" => image(node),
        _ => Claim::new("value", SIGNAL),
    };
    declared.ty = match kind {
        "Integer" if text(node, "view_type") == Some("seed") => Some(ParamType::Seed),
        "Integer" => Some(ParamType::Integer),
        "Float" => Some(ParamType::Number),
        "Text" | "Dropdown" => Some(ParamType::String),
        "Boolean" => Some(ParamType::Boolean),
        "Image" => Some(ParamType::Image),
        _ => None,
    };
    if matches!(kind, "Integer" | "Float") {
        declared.range = Range::of_node(node, "min", "max", 1e18);
    }
    if kind == "Dropdown" {
        declared.options = match text(node, "values") {
            Some(values) => listed(Some(values), ','),
            None => target_options(board, node),
        };
    }
    let group = node.link("group").and_then(|link| board.context.graph.node(&link.node));
    if is_on(node, "is_advanced") || group.is_some_and(|group| is_on(group, "is_advanced")) {
        declared.tier = Tier::Advanced;
    }
    declared.description = text(node, "description").map(str::to_owned);
    declared.name = text(node, "raw_id").or_else(|| text(node, "title")).map(str::to_owned);
    claim(board, node, declared);
    true
}

/// It loads the uploaded file as long as nobody has put a picture into `value`.
fn image(node: &Node) -> Claim {
    let untouched = text(node, "value").is_none_or(|value| value == "(Do Not Set Me)");
    if untouched && node.literal("image").is_some() {
        return Claim::new("image", SIGNAL);
    }
    let mut claim = Claim::new("value", SIGNAL);
    claim.encoding = Some("base64");
    claim
}
