//! Inputs of nodes, and which types go together.

use super::document::id_text;
use crate::{
    catalog::{InputDef, InputKind},
    json::Value,
};

/// One input of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) ty: String,
    pub(super) link: Option<String>,
    /// The widget that the input stands for.
    pub(super) widget: Option<String>,
}

/// Inputs as they were saved.
pub(super) fn read(value: Option<&Value>) -> Vec<Slot> {
    let saved = value.and_then(Value::as_array).unwrap_or_default();
    saved.iter().map(slot).collect()
}

fn slot(value: &Value) -> Slot {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Slot {
        name: text("name").unwrap_or_default(),
        label: text("label"),
        ty: ty(value.get("type")),
        link: value.get("link").and_then(id_text),
        widget: value
            .get("widget")
            .and_then(|widget| widget.get("name"))
            .and_then(Value::as_str)
            .map(str::to_owned),
    }
}

/// A type is a text, a list of options in old files, or 0 for any.
pub(super) fn ty(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Array(_)) => "COMBO".to_owned(),
        _ => "*".to_owned(),
    }
}

/// The type of an input by its definition.
pub(super) fn defined_ty(input: &InputDef) -> String {
    match &input.kind {
        InputKind::Int => "INT".to_owned(),
        InputKind::Float => "FLOAT".to_owned(),
        InputKind::Text => "STRING".to_owned(),
        InputKind::Boolean => "BOOLEAN".to_owned(),
        InputKind::Combo => "COMBO".to_owned(),
        InputKind::Socket(types) => types.join(","),
    }
}

/// Inputs in the order of the definition with the links that were saved, then inputs that only the file knows.
pub(super) fn merge(defined: Vec<Slot>, saved: &[Slot]) -> Vec<Slot> {
    let mut merged = defined;
    let own = merged.len();
    for slot in saved {
        match merged[..own].iter_mut().find(|known| known.name == slot.name) {
            Some(known) => {
                known.link.clone_from(&slot.link);
                known.label.clone_from(&slot.label);
            }
            None => merged.push(slot.clone()),
        }
    }
    merged
}

/// Whether the editor lets an output of one type feed an input of another.
pub(super) fn fit(left: &str, right: &str) -> bool {
    if left == "*" || right == "*" || left.eq_ignore_ascii_case(right) {
        return true;
    }
    left.split(',').any(|left| {
        right.split(',').any(|right| {
            left.trim() == "*" || right.trim() == "*" || left.trim().eq_ignore_ascii_case(right.trim())
        })
    })
}
