//! `*RequestParameter` of the ComfyUI distribution that describes itself in OpenAPI.

use super::{claim, target_options, text, title_or_target};
use crate::{
    endpoint::ParamType,
    graph::Node,
    infer::declared::{board::Board, claim::Claim},
};

const SIGNAL: &str = "a request parameter node";

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    let Some(kind) = node.class_type.strip_suffix("RequestParameter") else { return false };
    let mut declared = Claim::new("value", SIGNAL);
    declared.ty = match kind {
        "Int" if text(node, "name").is_some_and(|name| name == "seed" || name.ends_with("_seed")) => {
            Some(ParamType::Seed)
        }
        "Int" => Some(ParamType::Integer),
        "Float" => Some(ParamType::Number),
        "Boolean" => Some(ParamType::Boolean),
        "String" | "StringEnum" => Some(ParamType::String),
        "Image" => Some(ParamType::Image),
        "Video" => Some(ParamType::Video),
        "Audio" => Some(ParamType::Audio),
        _ => None,
    };
    // Its value is an address, and an address may hold the file itself.
    declared.encoding = matches!(kind, "Image" | "Video" | "Audio").then_some("data_url");
    if kind == "StringEnum" {
        declared.options = target_options(board, node);
    }
    declared.description = text(node, "description").map(str::to_owned);
    declared.name = text(node, "name").or_else(|| text(node, "title")).map(str::to_owned);
    let media = declared.ty.filter(|ty| ty.is_media()).map(|ty| ty.as_str().to_owned());
    declared.suggested = media.or_else(|| title_or_target(board, node));
    claim(board, node, declared);
    true
}
