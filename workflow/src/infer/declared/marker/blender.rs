//! `BlenderInput*` of ComfyUI-Blender: the name is the title, the value `value` or that of the node it extends.

use super::{claim, listed, target_options, text, title_or_target};
use crate::{
    endpoint::ParamType,
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
};

const SIGNAL: &str = "a ComfyUI-Blender input";

/// `(class without its prefix, input, type; none where the node it extends says it)`.
const KINDS: &[(&str, &str, Option<ParamType>)] = &[
    ("Boolean", "value", Some(ParamType::Boolean)),
    ("Combo", "value", Some(ParamType::String)),
    ("Float", "value", Some(ParamType::Number)),
    ("Int", "value", Some(ParamType::Integer)),
    ("Seed", "value", Some(ParamType::Seed)),
    ("String", "value", Some(ParamType::String)),
    ("StringMultiline", "value", Some(ParamType::String)),
    ("LoadImage", "image", Some(ParamType::Image)),
    ("LoadMask", "image", Some(ParamType::Mask)),
    ("Load3D", "model_file", Some(ParamType::Model3d)),
    ("LoadCheckpoint", "ckpt_name", None),
    ("LoadDiffusionModel", "unet_name", None),
    ("LoadLora", "lora_name", None),
    ("Sampler", "sampler_name", None),
];

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    let Some(kind) = node.class_type.strip_prefix("BlenderInput") else { return false };
    if kind == "Group" {
        return true;
    }
    let Some((_, input, ty)) = KINDS.iter().find(|(known, _, _)| *known == kind) else { return false };
    let own = matches!(kind, "LoadImage" | "LoadMask" | "Load3D").then_some(ty).and_then(|ty| *ty);
    let name = title_or_target(board, node).or_else(|| own.map(|ty| ty.as_str().to_owned()));
    let mut declared = Claim::new(input, SIGNAL).suggesting(name.or_else(|| Some((*input).to_owned())));
    declared.ty = *ty;
    if matches!(kind, "Int" | "Float" | "Seed") {
        declared.range = Range::of_node(node, "min", "max", 2_147_483_647.0);
    }
    if kind == "Combo" {
        declared.options = match text(node, "list") {
            Some(list) => listed(Some(list), '\n'),
            None => target_options(board, node),
        };
    }
    claim(board, node, declared);
    true
}
