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
    if matches!(node.class_type.as_str(), "ServingOutput" | "ServingTextOutput" | "ServingMultiImageOutput") {
        board.report(
            node,
            Diagnostic::warning(
                "silent-output",
                "this node answers the toolkit's own channel and gives ComfyUI nothing",
            )
            .help("put a node beside it that saves, such as Save Image"),
        );
        return true;
    }
    let Some(kind) = node.class_type.strip_prefix("ServingInput") else { return false };
    waits(board, node);
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

/// The node at the other end of `serving_config` blocks until a request of its own arrives.
fn waits(board: &mut Board<'_, '_>, node: &Node) {
    let Some(server) = node.link("serving_config").and_then(|link| board.context.graph.node(&link.node))
    else {
        return;
    };
    let message = format!(
        "node {} ({}) waits for a message of its own before it lets a run go on",
        server.id, server.class_type
    );
    board.report(
        node,
        Diagnostic::warning("marker-blocks", message).help(
            "replace the toolkit's nodes by plain ones, such as String, and mark those in their titles",
        ),
    );
}
