//! The prompt of a workflow, cut at the places that requests fill in.

use std::collections::BTreeMap;

use crate::{
    endpoint::{Endpoint, Tier},
    graph::{Input, NodeId, compare_ids},
    json::write_text,
};

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// JSON text that is the same for every request.
    Text(String),
    /// The value of a primary parameter, by its position among them.
    Field(u16),
    /// The value of an advanced parameter, by its position among them.
    Advanced(u16),
    /// The file name prefix of this output node.
    Prefix(NodeId),
}

/// The pieces of the prompt, in order.
pub fn pieces(endpoint: &Endpoint) -> Vec<Piece> {
    let holes = holes(endpoint);
    let mut pieces = Vec::new();
    let mut text = String::from("{");
    let mut nodes: Vec<_> = endpoint.graph.nodes.values().collect();
    nodes.sort_by(|left, right| compare_ids(&left.id, &right.id));
    for (index, node) in nodes.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_text(&node.id, &mut text);
        text.push_str(":{\"inputs\":{");
        for (index, (name, input)) in node.inputs.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            write_text(name, &mut text);
            text.push(':');
            match (input, holes.get(&(node.id.as_str(), name.as_str()))) {
                (_, Some(hole)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(hole.clone());
                }
                (Input::Literal(value), None) => value.write(&mut text),
                (Input::Link(link), None) => {
                    text.push('[');
                    write_text(&link.node, &mut text);
                    text.push_str(&format!(",{}]", link.slot));
                }
            }
        }
        text.push_str("},\"class_type\":");
        write_text(&node.class_type, &mut text);
        if let Some(title) = &node.title {
            text.push_str(",\"_meta\":{\"title\":");
            write_text(title, &mut text);
            text.push('}');
        }
        text.push('}');
    }
    text.push('}');
    pieces.push(Piece::Text(text));
    pieces
}

/// What fills which input. A prefix of ours goes before a parameter.
fn holes(endpoint: &Endpoint) -> BTreeMap<(&str, &str), Piece> {
    let mut holes = BTreeMap::new();
    for binding in &endpoint.prefix_inputs {
        holes.insert((binding.node.as_str(), binding.input.as_str()), Piece::Prefix(binding.node.clone()));
    }
    for (tier, hole) in [(Tier::Primary, Piece::Field as fn(u16) -> Piece), (Tier::Advanced, Piece::Advanced)]
    {
        for (index, param) in (0_u16..).zip(endpoint.tier(tier)) {
            for binding in &param.bindings {
                holes.entry((binding.node.as_str(), binding.input.as_str())).or_insert_with(|| hole(index));
            }
        }
    }
    holes
}
