//! The prompt of a workflow, cut at the places that requests fill in.

use std::collections::BTreeMap;

use crate::{
    endpoint::{Endpoint, Tier},
    graph::{Graph, Input, Link, Node, NodeId, compare_ids},
    json::write_text,
    rules::Chain,
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
    /// What is there only in one state of a switch.
    When {
        /// The switch: a primary parameter, by its position among them. A file is on where it is given.
        switch: u16,
        /// Where it is on.
        on: Vec<Piece>,
        /// Where it is off.
        off: Vec<Piece>,
    },
    /// What is there only where a primary parameter is given, or only where it is left out.
    Given {
        /// Its position.
        field: u16,
        /// Where it is given.
        yes: Vec<Piece>,
        /// Where it is left out.
        no: Vec<Piece>,
    },
    /// A loader for each of the LoRAs that were given, one after the other, each after a comma.
    Loras {
        /// The position of the primary parameter.
        field: u16,
        /// The id of the last loader, which is what the rest of the graph takes its model from.
        last: NodeId,
        /// The class of the loaders.
        class_type: String,
        /// What the first one takes its model from, as JSON.
        model: String,
        /// What the first one takes its text encoder from, as JSON, if the class has one.
        clip: Option<String>,
    },
}

/// The pieces of the prompt, in order.
pub fn pieces(endpoint: &Endpoint) -> Vec<Piece> {
    let only = [endpoint.graph.clone()];
    let graphs: &[Graph] = if endpoint.variants.is_empty() { &only } else { &endpoint.variants };
    let switches = endpoint.placed_switches();
    let mut ids: Vec<&NodeId> = endpoint.graph.nodes.keys().collect();
    ids.sort_by(|left, right| compare_ids(left, right));
    // What is always there comes first: the comma belongs to what follows.
    ids.sort_by_key(|id| graphs.iter().any(|graph| !graph.nodes.contains_key(*id)));

    let chain = endpoint.chain.as_ref().and_then(|chain| Some((endpoint.field(&chain.field)?, chain)));
    let mut writer =
        Writer { holes: holes(endpoint), switches, chain, pieces: Vec::new(), text: String::from("{") };
    for (index, id) in ids.into_iter().enumerate() {
        let states: Vec<Option<&Node>> = graphs.iter().map(|graph| graph.node(id)).collect();
        writer.states(&states, index > 0);
    }
    writer.text.push('}');
    writer.end()
}

struct Writer<'e> {
    holes: BTreeMap<(&'e str, &'e str), Piece>,
    switches: Vec<u16>,
    chain: Option<(u16, &'e Chain)>,
    pieces: Vec<Piece>,
    text: String,
}

impl Writer<'_> {
    /// A node as it is in each state of the switches.
    fn states(&mut self, states: &[Option<&Node>], follows: bool) {
        if states.windows(2).all(|pair| pair[0] == pair[1]) {
            if let Some(Some(node)) = states.first() {
                self.entry(node, follows);
            }
            return;
        }
        // The highest switch halves the list.
        let (on, off) = states.split_at(states.len() / 2);
        if on == off {
            return self.states(on, follows);
        }
        let Some(switch) = self.switches.get(on.len().ilog2() as usize).copied() else { return };
        let mut branch = |states| {
            let (pieces, text) = (std::mem::take(&mut self.pieces), std::mem::take(&mut self.text));
            self.states(states, follows);
            self.flush();
            self.text = text;
            std::mem::replace(&mut self.pieces, pieces)
        };
        let (on, off) = (branch(on), branch(off));
        self.flush();
        self.pieces.push(Piece::When { switch, on, off });
    }

    /// A node, or what takes its place where callers list LoRAs.
    fn entry(&mut self, node: &Node, follows: bool) {
        let chain = self.chain.filter(|(_, chain)| chain.nodes.contains(&node.id));
        let (pieces, text) = if chain.is_some() {
            (std::mem::take(&mut self.pieces), std::mem::take(&mut self.text))
        } else {
            (Vec::new(), String::new())
        };
        if follows {
            self.text.push(',');
        }
        self.node(node);
        let Some((field, chain)) = chain else { return };
        self.flush();
        self.text = text;
        let no = std::mem::replace(&mut self.pieces, pieces);
        self.flush();
        let source = |input: &str| node.link(input).map(json);
        let yes = match (chain.nodes.first(), chain.nodes.last(), source("model")) {
            (Some(first), Some(last), Some(model)) if *first == node.id => vec![Piece::Loras {
                field,
                last: last.clone(),
                class_type: node.class_type.clone(),
                model,
                clip: source("clip").filter(|_| chain.clip),
            }],
            _ => Vec::new(),
        };
        self.pieces.push(Piece::Given { field, yes, no });
    }

    fn node(&mut self, node: &Node) {
        write_text(&node.id, &mut self.text);
        self.text.push_str(":{\"inputs\":{");
        for (index, (name, input)) in node.inputs.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            write_text(name, &mut self.text);
            self.text.push(':');
            match (input, self.holes.get(&(node.id.as_str(), name.as_str()))) {
                (_, Some(hole)) => {
                    let hole = hole.clone();
                    self.flush();
                    self.pieces.push(hole);
                }
                (Input::Literal(value), None) => value.write(&mut self.text),
                (Input::Link(link), None) => self.text.push_str(&json(link)),
            }
        }
        self.text.push_str("},\"class_type\":");
        write_text(&node.class_type, &mut self.text);
        if let Some(title) = &node.title {
            self.text.push_str(",\"_meta\":{\"title\":");
            write_text(title, &mut self.text);
            self.text.push('}');
        }
        self.text.push('}');
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(&mut self.text)));
        }
    }

    fn end(mut self) -> Vec<Piece> {
        self.flush();
        self.pieces
    }
}

fn json(link: &Link) -> String {
    let mut text = String::from("[");
    write_text(&link.node, &mut text);
    text.push_str(&format!(",{}]", link.slot));
    text
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
            for binding in param.sets() {
                holes.entry((binding.node.as_str(), binding.input.as_str())).or_insert_with(|| hole(index));
            }
        }
    }
    holes
}
