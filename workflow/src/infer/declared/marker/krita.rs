//! `ETN_Parameter` of Krita's external tooling nodes, and the nodes that stand for Krita itself.

use super::{claim, out_of_reach, target_definition, target_options, text, type_of};
use crate::{
    endpoint::ParamType,
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
};

const SIGNAL: &str = "a Krita parameter";
/// Nodes that only Krita can fill.
const STAND_INS: &[&str] = &[
    "ETN_KritaCanvas",
    "ETN_KritaSelection",
    "ETN_KritaImageLayer",
    "ETN_KritaMaskLayer",
    "ETN_KritaStyle",
    "ETN_KritaStyleAndPrompt",
];

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    if STAND_INS.contains(&node.class_type.as_str()) {
        let why = "this node stands for something in Krita, and has nothing of its own to give";
        out_of_reach(board, node, why, "replace it by the node it stands for, such as Load Image");
        return true;
    }
    if node.class_type != "ETN_Parameter" {
        return false;
    }
    let chosen = text(node, "type").unwrap_or("auto");
    let fed = target_definition(board, node).and_then(type_of);
    let ty = match chosen {
        "number" => ParamType::Number,
        "number (integer)" => ParamType::Integer,
        "toggle" => ParamType::Boolean,
        "auto" => fed.filter(|ty| *ty != ParamType::Seed).unwrap_or(ParamType::String),
        _ => ParamType::String,
    };
    // The node itself turns its text into a number only where its type says so.
    let mistaken = ty == ParamType::Boolean
        || (chosen == "auto" && matches!(ty, ParamType::Integer | ParamType::Number));
    if mistaken {
        let why = "outside Krita this node hands its value on as text, which is not what it feeds";
        let instead =
            "choose `number` or `number (integer)` as its type, or use a Primitive node of ComfyUI's own";
        out_of_reach(board, node, why, instead);
    }
    let mut declared = Claim::new("default", SIGNAL).named(text(node, "name"));
    if ty == ParamType::Boolean {
        declared.value = text(node, "default").map(super::super::claim::from_text);
    }
    declared.ty = Some(ty);
    if matches!(ty, ParamType::Integer | ParamType::Number) {
        declared.range = Range::of_node(node, "min", "max", 1e10);
    }
    if matches!(chosen, "choice" | "auto") && ty == ParamType::String {
        declared.options = target_options(board, node);
    }
    claim(board, node, declared);
    true
}
