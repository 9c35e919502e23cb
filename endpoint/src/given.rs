//! Which inputs the prompt gives its nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{Endpoint, List, Piece};

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    inputs: serde_json::Map<String, serde_json::Value>,
}

impl Endpoint {
    /// The names of the inputs that each node of the prompt is given by some request: by id, in order. Loaders that are
    /// made for listed LoRAs are not among them.
    pub fn given_inputs(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut given: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // With everything there is, and with nothing that may be left out.
        for everything in [true, false] {
            let mut text = String::new();
            outline(&self.template.pieces, everything, &mut text);
            let nodes: BTreeMap<String, Node> = serde_json::from_str(&text).unwrap_or_default();
            for (id, node) in nodes {
                given.entry(id).or_default().extend(node.inputs.into_iter().map(|(name, _)| name));
            }
        }
        given
    }
}

/// The prompt with nothing in its holes.
fn outline(pieces: &List<Piece>, everything: bool, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Field(_) | Piece::Advanced(_) | Piece::Prefix(_) | Piece::Lora { .. } => {
                out.push_str("null");
            }
            Piece::When { on: yes, off: no, .. }
            | Piece::Given { yes, no, .. }
            | Piece::Listed { yes, no, .. } => outline(if everything { yes } else { no }, everything, out),
            Piece::Loras { .. } => {}
        }
    }
}
