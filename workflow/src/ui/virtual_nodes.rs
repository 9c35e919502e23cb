//! Nodes that exist in the editor only.

use super::document::{Node, Values};
use crate::json::Value;

/// What a node of the editor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Virtual {
    /// Each output is the input of the same place.
    Passes,
    /// Its value goes into the widgets it is linked to.
    Primitive,
    /// Its input can be had elsewhere by name; its output too.
    Sets,
    /// Its output is the input of the node that set the name.
    Gets,
    /// Nothing: notes, switches of the editor.
    Nothing,
    /// It feeds inputs that no link leads to.
    Everywhere,
}

/// `(class, what it does)`.
const CLASSES: &[(&str, Virtual)] = &[
    ("Reroute", Virtual::Passes),
    ("Reroute (rgthree)", Virtual::Passes),
    ("PrimitiveNode", Virtual::Primitive),
    ("SetNode", Virtual::Sets),
    ("GetNode", Virtual::Gets),
    ("easy setNode", Virtual::Sets),
    ("easy getNode", Virtual::Gets),
    ("Note", Virtual::Nothing),
    ("MarkdownNote", Virtual::Nothing),
    ("Bookmark (rgthree)", Virtual::Nothing),
    ("Label (rgthree)", Virtual::Nothing),
    ("Fast Muter (rgthree)", Virtual::Nothing),
    ("Fast Bypasser (rgthree)", Virtual::Nothing),
    ("Fast Groups Muter (rgthree)", Virtual::Nothing),
    ("Fast Groups Bypasser (rgthree)", Virtual::Nothing),
    ("Fast Actions Button (rgthree)", Virtual::Nothing),
    ("Mute / Bypass Repeater (rgthree)", Virtual::Nothing),
    ("Mute / Bypass Relay (rgthree)", Virtual::Nothing),
    ("Random Unmuter (rgthree)", Virtual::Nothing),
    ("Node Collector (rgthree)", Virtual::Nothing),
    ("Anything Everywhere", Virtual::Everywhere),
    ("Anything Everywhere?", Virtual::Everywhere),
    ("Anything Everywhere3", Virtual::Everywhere),
    ("Prompts Everywhere", Virtual::Everywhere),
    ("Seed Everywhere", Virtual::Everywhere),
];

/// What a class does in the editor, if it exists there only.
pub(super) fn of(class: &str) -> Option<Virtual> {
    CLASSES.iter().find(|(name, _)| *name == class).map(|(_, does)| *does)
}

/// The first value of a node: what a primitive holds, what a set node is called.
pub(super) fn first_value(node: &Node) -> Option<&Value> {
    match &node.values {
        Values::Listed(items) => items.first(),
        Values::Named(members) => members.values().next(),
    }
}
