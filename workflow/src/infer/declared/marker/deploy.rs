//! `ComfyUIDeployExternal*` of ComfyUI-Deploy. The public name stands in `input_id`, and numbers are read from there
//! before they are read from `default_value`: both are set.

use super::{claim, out_of_reach, text};
use crate::{
    endpoint::ParamType,
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
    json::{self, Value},
};

const SIGNAL: &str = "a ComfyUI Deploy input";

/// `(class without its prefix, type, inputs the node reads)`.
const KINDS: &[(&str, ParamType, &[&str])] = &[
    ("Text", ParamType::String, &["default_value", "input_id"]),
    ("TextAny", ParamType::String, &["default_value", "input_id"]),
    ("TextSingleLine", ParamType::String, &["default_value", "input_id"]),
    ("Number", ParamType::Number, &["default_value", "input_id"]),
    ("NumberSlider", ParamType::Number, &["default_value", "input_id"]),
    ("Slider", ParamType::Number, &["default_value", "input_id"]),
    ("NumberInt", ParamType::Integer, &["default_value", "input_id"]),
    ("NumberSliderInt", ParamType::Integer, &["default_value", "input_id"]),
    ("Boolean", ParamType::Boolean, &["default_value", "input_id"]),
    ("Enum", ParamType::String, &["default_value", "input_id"]),
    ("Seed", ParamType::Seed, &["default_value"]),
    ("Image", ParamType::Image, &["input_id"]),
    ("ImageAlpha", ParamType::Image, &["input_id"]),
    ("Audio", ParamType::Audio, &["audio_file"]),
    ("Video", ParamType::Video, &["default_video"]),
    ("Vid", ParamType::Video, &["default_value"]),
    ("EXR", ParamType::File, &["exr_file"]),
    // A model is chosen among the engine's own: its address would be fetched by whoever asks.
    ("Checkpoint", ParamType::String, &["default_value"]),
    ("Lora", ParamType::String, &["default_lora_name"]),
    ("FaceModel", ParamType::String, &["default_face_model_name"]),
];

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    if node.class_type == "ComfyDeployWebscoketImageInput" {
        let why = "this node waits for a picture on a socket of ComfyUI Deploy's own";
        out_of_reach(board, node, why, "replace it by External Image or Load Image");
        return true;
    }
    let Some(kind) = node.class_type.strip_prefix("ComfyUIDeployExternal") else { return false };
    let known = KINDS.iter().find(|(known, _, _)| *known == kind);
    let (ty, inputs) = match known {
        Some((_, ty, inputs)) => (Some(*ty), *inputs),
        None => (None, ["default_value", "input_id"].as_slice()),
    };
    let only_addresses = matches!(kind, "File" | "ImageBatch")
        || (ty == Some(ParamType::Video) && text(node, inputs[0]).is_none());
    if only_addresses {
        let why = "this node reads an address only, which callers cannot set";
        out_of_reach(
            board,
            node,
            why,
            "replace it by a node that loads an uploaded file, such as Load Image",
        );
        return true;
    }
    let name = text(node, "input_id").or_else(|| text(node, "display_name"));
    let mut declared = Claim::new(inputs[0], SIGNAL).named(name).suggesting(Some(kind));
    declared.ty = ty;
    declared.inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
    declared.range = Range::of_node(node, "min_value", "max_value", 2_147_483_647.0);
    declared.description = text(node, "description").map(str::to_owned).filter(|_| kind != "Seed");
    declared.options = if kind == "Enum" { options(text(node, "options")) } else { Vec::new() };
    declared.encoding = kind.starts_with("Image").then_some("data_url");
    if kind == "Seed" {
        declared.range = Range::of_node(node, "min_value", "max_value", 1e15);
        declared.range.step = None;
    }
    claim(board, node, declared);
    true
}

/// A list in JSON, of texts or of objects with a `value`.
fn options(text: Option<&str>) -> Vec<Value> {
    let parsed = text.and_then(|text| json::parse(text.as_bytes()).ok());
    let items = parsed.as_ref().and_then(|parsed| parsed.value.as_array()).unwrap_or_default();
    let value = |item: &Value| {
        item.as_str()
            .map_or_else(|| item.get("value")?.as_str().map(Value::from), |text| Some(Value::from(text)))
    };
    items.iter().filter_map(value).collect()
}
