//! The prompt of a workflow, cut at the places that requests fill in.

use std::collections::BTreeMap;

use crate::{
    endpoint::{Endpoint, Tier},
    graph::{Graph, Input, Link, Node, NodeId, compare_ids},
    json::write_text,
    loras::{Chain, Fragment, LoraPart, LoraPlace, Stack, StackInput},
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
    /// What is there only where a list of LoRAs has one at this position, or only where it is shorter or left out.
    Listed {
        /// The position of the primary parameter.
        field: u16,
        /// The position in the list.
        item: u16,
        /// Where there is one.
        yes: Vec<Piece>,
        /// Where there is none.
        no: Vec<Piece>,
    },
    /// A property of a listed LoRA.
    Lora {
        /// The position of the primary parameter.
        field: u16,
        /// The position in the list.
        item: u16,
        /// Which property.
        part: LoraPart,
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

    let lists =
        endpoint.lora_lists.iter().filter_map(|list| Some((endpoint.field(&list.field)?, &list.place)));
    let lists = lists.collect();
    let mut writer =
        Writer { holes: holes(endpoint), switches, lists, pieces: Vec::new(), text: String::from("{") };
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
    lists: Vec<(u16, &'e LoraPlace)>,
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
        let on = self.apart(|writer| writer.states(on, follows));
        let off = self.apart(|writer| writer.states(off, follows));
        self.flush();
        self.pieces.push(Piece::When { switch, on, off });
    }

    /// What is written meanwhile, by itself.
    fn apart(&mut self, write: impl FnOnce(&mut Self)) -> Vec<Piece> {
        let (pieces, text) = (std::mem::take(&mut self.pieces), std::mem::take(&mut self.text));
        write(self);
        self.flush();
        self.text = text;
        std::mem::replace(&mut self.pieces, pieces)
    }

    /// A node, or what takes its place where callers list LoRAs.
    fn entry(&mut self, node: &Node, follows: bool) {
        let is_about = |place: &LoraPlace| match place {
            LoraPlace::Chain(chain) => {
                chain.nodes.contains(&node.id) || chain.before.as_ref() == Some(&node.id)
            }
            LoraPlace::Stack(stack) => stack.node == node.id,
        };
        match self.lists.iter().find(|(_, place)| is_about(place)).copied() {
            Some((field, LoraPlace::Chain(chain))) if chain.nodes.contains(&node.id) => {
                let no = self.apart(|writer| writer.plain(node, follows));
                self.flush();
                let yes = chain.nodes.first().filter(|first| **first == node.id);
                let yes = yes.and_then(|_| loaders(field, chain, node)).into_iter().collect();
                self.pieces.push(Piece::Given { field, yes, no });
            }
            Some((field, LoraPlace::Chain(chain))) => {
                self.plain(node, follows);
                self.flush();
                self.pieces.extend(loaders(field, chain, node));
            }
            Some((field, LoraPlace::Stack(stack))) => {
                let yes = self.apart(|writer| writer.stack(node, follows, field, stack));
                let no = self.apart(|writer| writer.plain(node, follows));
                self.flush();
                self.pieces.push(Piece::Given { field, yes, no });
            }
            None => self.plain(node, follows),
        }
    }

    fn plain(&mut self, node: &Node, follows: bool) {
        self.begin(node, follows);
        for (index, (name, input)) in node.inputs.iter().enumerate() {
            self.input(node, index > 0, name, input);
        }
        self.close(node);
    }

    /// A node whose places are filled with a list.
    fn stack(&mut self, node: &Node, follows: bool, field: u16, stack: &Stack) {
        self.begin(node, follows);
        let kept =
            node.inputs.iter().filter(|(name, _)| !stack.inputs.iter().any(|input| input.name == **name));
        let mut follows = false;
        for (name, input) in kept {
            if stack.fixed.contains(name) {
                self.name(follows, name);
                if let Input::Literal(value) = input {
                    value.write(&mut self.text);
                }
            } else {
                self.input(node, follows, name, input);
            }
            follows = true;
        }
        for input in &stack.inputs {
            self.place(follows, field, input);
            follows |= input.otherwise.is_some();
        }
        self.close(node);
    }

    fn place(&mut self, follows: bool, field: u16, input: &StackInput) {
        let otherwise = |writer: &mut Self| {
            if let Some(value) = &input.otherwise {
                writer.name(follows, &input.name);
                value.write(&mut writer.text);
            }
        };
        let Some(item) = input.item else { return otherwise(self) };
        let no = self.apart(otherwise);
        let yes = self.apart(|writer| {
            writer.name(follows, &input.name);
            for fragment in &input.listed {
                match fragment {
                    Fragment::Text(text) => writer.text.push_str(text),
                    Fragment::Part(part) => {
                        writer.flush();
                        writer.pieces.push(Piece::Lora { field, item, part: *part });
                    }
                }
            }
        });
        self.flush();
        self.pieces.push(Piece::Listed { field, item, yes, no });
    }

    fn begin(&mut self, node: &Node, follows: bool) {
        if follows {
            self.text.push(',');
        }
        write_text(&node.id, &mut self.text);
        self.text.push_str(":{\"inputs\":{");
    }

    fn name(&mut self, follows: bool, name: &str) {
        if follows {
            self.text.push(',');
        }
        write_text(name, &mut self.text);
        self.text.push(':');
    }

    fn input(&mut self, node: &Node, follows: bool, name: &str, input: &Input) {
        self.name(follows, name);
        match (input, self.holes.get(&(node.id.as_str(), name))) {
            (_, Some(hole)) => {
                let hole = hole.clone();
                self.flush();
                self.pieces.push(hole);
            }
            (Input::Literal(value), None) => value.write(&mut self.text),
            (Input::Link(link), None) => self.link(node, name, link),
        }
    }

    /// A link, and where it leads once there is a list.
    fn link(&mut self, node: &Node, input: &str, link: &Link) {
        let now = json(link);
        match self.lists.iter().find_map(|(field, place)| Some((*field, moved(place, node, input, link)?))) {
            Some((field, listed)) => {
                self.flush();
                let (yes, no) = (vec![Piece::Text(json(&listed))], vec![Piece::Text(now)]);
                self.pieces.push(Piece::Listed { field, item: 0, yes, no });
            }
            None => self.text.push_str(&now),
        }
    }

    fn close(&mut self, node: &Node) {
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

/// The loaders of a list, which take model and text encoder from where this node takes them.
fn loaders(field: u16, chain: &Chain, node: &Node) -> Option<Piece> {
    Some(Piece::Loras {
        field,
        last: chain.last.clone(),
        class_type: chain.class_type.clone(),
        model: json(node.link("model")?),
        clip: node.link("clip").filter(|_| chain.clip).map(json),
    })
}

/// Where a link leads once there is a list, if that is elsewhere.
fn moved(place: &LoraPlace, node: &Node, input: &str, link: &Link) -> Option<Link> {
    let LoraPlace::Chain(chain) = place else { return None };
    if chain.before.as_ref() != Some(&node.id) {
        return chain.moved.iter().find(|(from, _)| from == link).map(|(_, to)| to.clone());
    }
    let slot = match input {
        "model" => 0,
        "clip" if chain.clip => 1,
        _ => return None,
    };
    Some(Link { node: chain.last.clone(), slot })
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
