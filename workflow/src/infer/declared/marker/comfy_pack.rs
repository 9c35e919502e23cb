//! `CPackInput*` of comfy-pack. Its exports carry the settings of the widget beside the title.

use super::{claim, target_definition, title_or_target, type_of};
use crate::{
    diagnostic::Diagnostic,
    endpoint::ParamType,
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
    json::{Number, Object, Value},
};

const SIGNAL: &str = "a comfy-pack input";

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    if node.class_type.starts_with("CPackOutput") {
        silent_output(board, node);
    }
    let Some(kind) = node.class_type.strip_prefix("CPackInput") else { return false };
    let name = title_or_target(board, node).unwrap_or_else(|| kind.to_lowercase());
    let declared = match kind {
        "Image" => Claim::new("image", SIGNAL).typed(ParamType::Image),
        "File" => file(board, node),
        "String" => Claim::new("value", SIGNAL).typed(ParamType::String),
        "Int" => {
            let mut int = Claim::new("value", SIGNAL).typed(ParamType::Integer);
            int.range = Range::of_node(node, "min", "max", 1e15);
            int
        }
        _ => any(board, node),
    };
    claim(board, node, declared.suggesting(Some(name)));
    true
}

/// A path on the engine, except where what it feeds looks names up among the uploaded files.
fn file(board: &Board<'_, '_>, node: &Node) -> Claim {
    let input = node.literals().next().map_or("path", |(input, _)| input);
    let upload = target_definition(board, node).and_then(|definition| definition.upload);
    let mut claim = Claim::new(input, SIGNAL);
    claim.encoding = Some(if upload.is_some() { "upload_name" } else { "path" });
    claim.typed(match upload {
        Some(crate::catalog::Upload::Image) => ParamType::Image,
        Some(crate::catalog::Upload::Video) => ParamType::Video,
        Some(crate::catalog::Upload::Audio) => ParamType::Audio,
        _ => ParamType::File,
    })
}

/// It takes on the widget that it is connected to.
fn any(board: &Board<'_, '_>, node: &Node) -> Claim {
    let input = node.literals().next().map_or("input", |(input, _)| input);
    let mut claim = Claim::new(input, SIGNAL);
    let settings = board.context.graph.widget_options.get(&node.id);
    let definition = target_definition(board, node);
    claim.ty = definition.and_then(type_of).or_else(|| by_widget(settings?, node.literal(input)?));
    if let Some(settings) = settings {
        let number =
            |key: &str| settings.get(key).and_then(Value::as_number).filter(|number| number.is_finite());
        let bound = |key: &str| number(key).filter(|number| number.as_f64().abs() < 1e15).cloned();
        claim.range = Range { min: bound("min"), max: bound("max"), step: None };
        let values = settings.get("values").and_then(Value::as_array).unwrap_or_default();
        claim.options = values.iter().filter(|value| value.as_str().is_some()).cloned().collect();
    }
    if !claim.options.is_empty() || !matches!(claim.ty, Some(ParamType::Integer | ParamType::Number)) {
        claim.range = Range::default();
    }
    claim
}

/// The editor rounds whole numbers to 1 and counts their steps in tens.
fn by_widget(settings: &Object, value: &Value) -> Option<ParamType> {
    let number = value.as_number()?;
    let coarse = |key: &str| settings.get(key).and_then(Value::as_number).map(Number::as_f64);
    let step = coarse("round").or_else(|| coarse("step"));
    let whole = step.is_some_and(|step| step >= 1.0) && number.is_integer();
    Some(if whole { ParamType::Integer } else { ParamType::Number })
}

/// Only the picture nodes tell ComfyUI what they saved.
fn silent_output(board: &mut Board<'_, '_>, node: &Node) {
    if matches!(node.class_type.as_str(), "CPackOutputImage" | "CPackOutputZipSwitch") {
        return;
    }
    let message =
        format!("{} saves files without telling ComfyUI, so no result can be fetched", node.class_type);
    board.report(
        node,
        Diagnostic::warning("silent-output", message)
            .help("put a node of ComfyUI's own beside it, such as Save Video"),
    );
}
