//! Nodes that describe themselves: newer editors save an input for each widget.

use super::{
    document::{Node, Values},
    slots::Slot,
    widgets::fits_number,
};
use crate::json::Value;

/// What the editor writes after a value that it may change by itself.
const CONTROLS: &[&str] = &["fixed", "increment", "decrement", "randomize", "increment-wrap"];
/// Members of saved values that are pictures on the screen.
const SHOWN_ONLY: &[&str] = &["videopreview", "control_after_generate", "control_filter_list"];

/// Whether an input is there for people only: a player, or the button that uploads a file.
pub(super) fn is_for_people(slot: &Slot) -> bool {
    is_button(slot) || slot.ty == "AUDIO_UI"
}

fn is_button(slot: &Slot) -> bool {
    matches!(slot.ty.as_str(), "IMAGEUPLOAD" | "AUDIOUPLOAD")
}

/// The values of the widgets that the node itself names, if each has exactly one.
pub(super) fn values(node: &Node) -> Option<Vec<(String, Value)>> {
    let shown = |slot: &&Slot| slot.widget.is_some() && slot.ty != "AUDIO_UI";
    let widgets: Vec<&Slot> = node.slots.iter().filter(shown).collect();
    let mut values = match &node.values {
        Values::Named(members) => members
            .iter()
            .filter(|(name, _)| !is_shown_only(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Values::Listed(items) => {
            let listed = in_order(items, &widgets);
            listed.filter(|values| agrees(values, node)).or_else(|| by_name(node))?
        }
    };
    values.retain(|(name, _)| !widgets.iter().any(|slot| slot.name == *name && is_button(slot)));
    let fits = |slot: &&Slot| {
        let value = values.iter().find(|(name, _)| *name == slot.name).map(|(_, value)| value);
        !matches!(slot.ty.as_str(), "INT" | "FLOAT") || slot.link.is_some() || value.is_none_or(fits_number)
    };
    widgets.iter().all(fits).then_some(values)
}

/// The editor reads the list. Names beside it tell whether the list was read right: after a slip most would differ,
/// after a change by hand only few.
fn agrees(values: &[(String, Value)], node: &Node) -> bool {
    let named = |(name, value): &&(String, Value)| node.named.get(name).is_none_or(|named| named == value);
    values.iter().filter(named).count() * 2 >= values.len()
}

fn by_name(node: &Node) -> Option<Vec<(String, Value)>> {
    let shown = node.named.iter().filter(|(name, _)| !is_shown_only(name));
    (!node.named.is_empty()).then(|| shown.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Newer editors put a name before those of the widgets that control another.
fn is_shown_only(name: &str) -> bool {
    SHOWN_ONLY.iter().any(|shown| name.ends_with(shown))
}

/// One value for each widget; more values than widgets are those that control them, or buttons at the end.
fn in_order(items: &[Value], widgets: &[&Slot]) -> Option<Vec<(String, Value)>> {
    let mut surplus = items.len().checked_sub(widgets.len())?;
    let mut items = items.iter().peekable();
    let mut values = Vec::with_capacity(widgets.len());
    for slot in widgets {
        values.push((slot.name.clone(), items.next()?.clone()));
        let control =
            items.peek().and_then(|value| value.as_str()).is_some_and(|text| CONTROLS.contains(&text));
        if surplus > 0 && control && matches!(slot.ty.as_str(), "INT" | "FLOAT" | "COMBO") {
            surplus -= 1;
            items.next();
        }
    }
    let button = |value: &Value| value.is_null() || matches!(value.as_str(), Some("" | "image"));
    items.all(button).then_some(values)
}
