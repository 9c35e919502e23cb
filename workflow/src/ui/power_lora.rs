//! A loader whose LoRAs are rows that the editor adds: its definition knows none of them.

use super::document::{Node, Values};
use crate::json::Value;

/// The class.
pub(super) const CLASS: &str = "Power Lora Loader (rgthree)";

/// Rows are submitted as `lora_1`, `lora_2`…; headers and buttons are saved beside them.
pub(super) fn values(node: &Node) -> Vec<(String, Value)> {
    let Values::Listed(items) = &node.values else { return Vec::new() };
    let rows = items.iter().filter(|item| item.get("lora").is_some());
    rows.enumerate().map(|(index, row)| (format!("lora_{}", index + 1), row.clone())).collect()
}
