//! The combo whose options are written on the node itself.
//!
//! The editor shows a text for each option and submits, beside the choice, which one it is.

use super::document::{Node, Values};
use crate::json::{Number, Object, Value};

/// The class.
pub(super) const CLASS: &str = "CustomCombo";

/// Its values are the choice, its place, and the options.
pub(super) fn values(node: &Node) -> Option<Vec<(String, Value)>> {
    let Values::Listed(items) = &node.values else { return None };
    let names = ["choice".to_owned(), "index".to_owned()].into_iter();
    let names = names.chain((1..).map(|number| format!("option{number}")));
    (!items.is_empty()).then(|| names.zip(items.iter().cloned()).collect())
}

/// The place of the choice among the options, once it is known where the choice comes from.
pub(super) fn place(inputs: &mut Object) {
    let Some(choice) = inputs.get("choice").filter(|choice| choice.as_array().is_none()) else { return };
    let mut options = (1..).map_while(|number| inputs.get(&format!("option{number}")));
    let place = options.position(|option| option == choice).and_then(|place| i128::try_from(place).ok());
    inputs.insert("index".to_owned(), Value::Number(Number::from_i128(place.unwrap_or(-1))));
}
