//! `VixUi*` of Visionatrix: the name is in `custom_id` or `display_name`.

use super::{claim, is_on, text};
use crate::{
    endpoint::{ParamType, Tier},
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
    json::{self, Value},
};

const SIGNAL: &str = "a Visionatrix input";

/// `(class without its prefix, input, type)`.
const KINDS: &[(&str, &str, Option<ParamType>)] = &[
    ("AspectRatioSelector", "aspect_ratio", None),
    ("Checkbox", "state", Some(ParamType::Boolean)),
    ("CheckboxLogic", "state", Some(ParamType::Boolean)),
    ("RangeFloat", "value", Some(ParamType::Number)),
    ("RangeScaleFloat", "value", Some(ParamType::Number)),
    ("RangeInt", "value", Some(ParamType::Integer)),
    ("List", "default_value", Some(ParamType::String)),
    ("ListLogic", "default_value", Some(ParamType::String)),
    ("Prompt", "text", Some(ParamType::String)),
];

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    let Some(kind) = node.class_type.strip_prefix("VixUi") else { return false };
    let Some((_, input, ty)) = KINDS.iter().find(|(known, _, _)| *known == kind) else { return false };
    if is_on(node, "hidden") {
        return true;
    }
    let name = text(node, "custom_id").or_else(|| text(node, "display_name"));
    let mut declared = Claim::new(input, SIGNAL).named(name);
    declared.ty = *ty;
    declared.tier = if is_on(node, "advanced") { Tier::Advanced } else { Tier::Primary };
    declared.required = Some(kind == "Prompt" && !is_on(node, "optional"));
    if kind.starts_with("Range") {
        declared.range = Range::of_node(node, "min", "max", f64::INFINITY);
    }
    if kind.starts_with("List") {
        declared.options = options(text(node, "possible_values"));
    }
    claim(board, node, declared);
    true
}

/// A list in JSON, or an object whose keys are the options.
fn options(text: Option<&str>) -> Vec<Value> {
    let Some(parsed) = text.and_then(|text| json::parse(text.as_bytes()).ok()) else { return Vec::new() };
    match parsed.value {
        Value::Array(items) => items.into_iter().filter(|item| item.as_str().is_some()).collect(),
        Value::Object(members) => members.into_iter().map(|(key, _)| Value::from(key)).collect(),
        _ => Vec::new(),
    }
}
