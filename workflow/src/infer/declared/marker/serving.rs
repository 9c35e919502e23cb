//! `ServingInput*` of the Serving Toolkit: the name is in `argument`, the value in `default`.

use super::{claim, out_of_reach, text};
use crate::{
    diagnostic::Diagnostic,
    endpoint::ParamType,
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
};

const SIGNAL: &str = "a Serving Toolkit input";

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    if waits(board, node) {
        return true;
    }
    let Some(kind) = node.class_type.strip_prefix("ServingInput") else { return false };
    let declared = match kind {
        "Text" => Claim::new("default", SIGNAL).typed(ParamType::String),
        "TextImage" => Claim::new("default_prompt", SIGNAL).typed(ParamType::String),
        "Number" => {
            let mut number = Claim::new("default", SIGNAL).typed(ParamType::Number);
            number.range = Range::of_node(node, "min_value", "max_value", 999_999.0);
            number
        }
        _ => {
            let why = "this node takes its picture from the toolkit's own channel";
            out_of_reach(board, node, why, "replace it by Load Image");
            return true;
        }
    };
    claim(board, node, declared.named(text(node, "argument")));
    true
}

/// The toolkit's servers hold a run until a message of their own arrives.
fn waits(board: &mut Board<'_, '_>, node: &Node) -> bool {
    let serves = board.context.fed_by(&node.id).iter().any(|consumer| consumer.input == "serving_config");
    if serves {
        let why = format!("{} holds every run until a message of its own arrives", node.class_type);
        let instead =
            "replace the toolkit's nodes by plain ones, such as String, and mark those in their titles";
        board.report(node, Diagnostic::warning("marker-blocks", why).help(instead));
    }
    serves
}
