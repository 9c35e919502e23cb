//! The prompt of a workflow, cut at the places that requests fill in.

use std::collections::BTreeMap;

use comfyport_workflow::{
    Endpoint, Tier,
    graph::{Input, compare_ids},
    json::write_text,
};
use proc_macro2::TokenStream;
use quote::quote;

#[derive(Clone, Copy)]
enum Hole {
    Field(u16),
    Advanced(u16),
    Prefix,
}

/// The pieces of the template, in order.
pub(super) fn pieces(endpoint: &Endpoint) -> Vec<TokenStream> {
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
                    let constant = std::mem::take(&mut text);
                    pieces.push(quote!(Piece::Text(#constant)));
                    pieces.push(piece(*hole, &node.id));
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
    pieces.push(quote!(Piece::Text(#text)));
    pieces
}

fn piece(hole: Hole, node: &str) -> TokenStream {
    match hole {
        Hole::Field(index) => {
            let index = proc_macro2::Literal::u16_unsuffixed(index);
            quote!(Piece::Field(#index))
        }
        Hole::Advanced(index) => {
            let index = proc_macro2::Literal::u16_unsuffixed(index);
            quote!(Piece::Advanced(#index))
        }
        Hole::Prefix => quote!(Piece::Prefix(#node)),
    }
}

fn holes(endpoint: &Endpoint) -> BTreeMap<(&str, &str), Hole> {
    let mut holes = BTreeMap::new();
    for binding in &endpoint.prefix_inputs {
        holes.insert((binding.node.as_str(), binding.input.as_str()), Hole::Prefix);
    }
    for (tier, hole) in [(Tier::Primary, Hole::Field as fn(u16) -> Hole), (Tier::Advanced, Hole::Advanced)] {
        for (index, param) in (0_u16..).zip(endpoint.tier(tier)) {
            for binding in &param.bindings {
                holes.entry((binding.node.as_str(), binding.input.as_str())).or_insert_with(|| hole(index));
            }
        }
    }
    holes
}
