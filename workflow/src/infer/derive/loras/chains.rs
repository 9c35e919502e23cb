//! Chains of loaders, one after the other, each feeding the next and nothing else.
//!
//! LoRAs that make a model need few steps stay where they are. A list stands where the first loader of the workflow's
//! own stood; where there is none, before the first of those that stay, so that all that hangs on them gets both.

use std::collections::BTreeMap;

use crate::{
    graph::{Consumer, Graph, Link, Node},
    json::Value,
    loras::{Chain, is_accelerator},
};

const WITH_CLIP: &str = "LoraLoader";
const MODEL_ONLY: &str = "LoraLoaderModelOnly";

/// A chain, and the nodes that a switch must leave in place for it.
pub(super) struct Found {
    pub(super) chain: Chain,
    pub(super) needs: Vec<String>,
}

/// Every chain that a list can take the place of, in the order of the file. `None` where a loader is in none.
pub(super) fn find(graph: &Graph) -> Option<Vec<Found>> {
    let search = Search { graph, consumers: graph.consumers() };
    let loaders: Vec<&Node> = graph.nodes.values().filter(|node| is_loader(node)).collect();
    let free = loaders.iter().filter(|node| !is_pinned(node)).count();
    if free == 0 {
        let firsts = loaders.iter().filter(|node| search.previous(node).is_none());
        return firsts.map(|first| search.before(first)).collect();
    }
    let firsts = loaders.iter().filter(|node| !is_pinned(node) && !search.follows_free(node, loaders.len()));
    let chains: Vec<Found> = firsts.map(|first| search.from(first, loaders.len())).collect::<Option<_>>()?;
    let reached: usize = chains.iter().map(|found| found.chain.nodes.len()).sum();
    (reached == free).then_some(chains)
}

fn is_loader(node: &Node) -> bool {
    [WITH_CLIP, MODEL_ONLY].contains(&node.class_type.as_str())
}

fn is_pinned(node: &Node) -> bool {
    is_accelerator(node.literal("lora_name").and_then(Value::as_str).unwrap_or_default())
}

fn takes_clip(node: &Node) -> bool {
    node.class_type == WITH_CLIP
}

/// Whether everything that a list says stands in the loader itself.
fn is_plain(node: &Node) -> bool {
    let number = |input: &str| node.literal(input).and_then(Value::as_f64).is_some();
    node.literal("lora_name").and_then(Value::as_str).is_some()
        && number("strength_model")
        && node.link("model").is_some()
        && (!takes_clip(node) || (number("strength_clip") && node.link("clip").is_some()))
}

struct Search<'g> {
    graph: &'g Graph,
    consumers: BTreeMap<&'g str, Vec<Consumer<'g>>>,
}

impl<'g> Search<'g> {
    /// The loader whose model a loader takes.
    fn previous(&self, node: &Node) -> Option<&'g Node> {
        let link = node.link("model")?;
        self.graph.node(&link.node).filter(|node| link.slot == 0 && is_loader(node))
    }

    /// Whether a loader of the workflow's own comes before this one.
    fn follows_free(&self, node: &Node, most: usize) -> bool {
        let before = std::iter::successors(self.previous(node), |node| self.previous(node));
        before.take(most).any(|node| !is_pinned(node))
    }

    fn fed_by<'s>(&'s self, id: &str, slot: u32) -> impl Iterator<Item = &'s Consumer<'g>> {
        self.consumers.get(id).into_iter().flatten().filter(move |consumer| consumer.slot == slot)
    }

    /// Whether what is behind a link goes into this node and nowhere else.
    fn feeds_only(&self, link: &Link, node: &Node) -> bool {
        self.fed_by(&link.node, link.slot).all(|consumer| consumer.node.id == node.id)
    }

    /// The chain that begins with a loader of the workflow's own.
    fn from(&self, first: &'g Node, most: usize) -> Option<Found> {
        let mut line = vec![first];
        while line.len() < most {
            let Some(at) = line.last() else { break };
            let mut next = self.fed_by(&at.id, 0);
            match (next.next(), next.next()) {
                (Some(only), None) if is_loader(only.node) && only.input == "model" => line.push(only.node),
                _ => break,
            }
        }
        while line.last().is_some_and(|last| is_pinned(last)) {
            line.pop();
        }
        let free: Vec<&Node> = line.iter().copied().filter(|node| !is_pinned(node)).collect();
        let clip = free.iter().any(|node| takes_clip(node));
        let is_sound = free.iter().all(|node| is_plain(node)) && (!clip || self.passes_clip(&line));
        // Up to the first loader that stays, the list takes the loaders' place in one piece.
        let last = line.iter().take_while(|node| !is_pinned(node)).last()?;
        let mut chain = Chain {
            nodes: free.iter().map(|node| node.id.clone()).collect(),
            before: None,
            class_type: if clip { WITH_CLIP } else { MODEL_ONLY }.to_owned(),
            clip,
            last: last.id.clone(),
            moved: Vec::new(),
        };
        for (input, slot) in [("model", 0), ("clip", 1)] {
            // What the loader before the next one yields now.
            let mut yields = Link { node: chain.last.clone(), slot };
            for node in free.iter().filter(|node| slot == 0 || takes_clip(node)) {
                let takes = node.link(input)?;
                if node.id != first.id && !chain.nodes.contains(&takes.node) {
                    yields = takes.clone();
                }
                let was = Link { node: node.id.clone(), slot };
                if was != yields {
                    chain.moved.push((was, yields.clone()));
                }
            }
        }
        let needs = line.iter().map(|node| node.id.clone()).collect();
        is_sound.then_some(Found { chain, needs })
    }

    /// Whether the text encoder goes through all loaders that take it, in order, beginning with the first. One that
    /// changes the model alone is one whose strength for the text encoder is 0.
    fn passes_clip(&self, line: &[&Node]) -> bool {
        let with_clip: Vec<&&Node> = line.iter().filter(|node| takes_clip(node)).collect();
        let starts = line.first().is_some_and(|first| takes_clip(first));
        starts
            && with_clip.windows(2).all(|pair| {
                let [one, next] = pair else { return false };
                next.link("clip")
                    .is_some_and(|link| link.node == one.id && link.slot == 1 && self.feeds_only(link, next))
            })
    }

    /// A list before a loader that stays. `None` where what the loader takes goes elsewhere too: then the list would
    /// be at work in one part of the graph only.
    fn before(&self, first: &Node) -> Option<Found> {
        let model = first.link("model")?;
        let last = format!("{}.loras", first.id);
        if !self.feeds_only(model, first) || self.graph.nodes.contains_key(&last) {
            return None;
        }
        let clip = takes_clip(first) && first.link("clip").is_some_and(|link| self.feeds_only(link, first));
        let chain = Chain {
            nodes: Vec::new(),
            before: Some(first.id.clone()),
            class_type: if clip { WITH_CLIP } else { MODEL_ONLY }.to_owned(),
            clip,
            last,
            moved: Vec::new(),
        };
        Some(Found { chain, needs: vec![first.id.clone()] })
    }
}
