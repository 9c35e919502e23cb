//! What tells a node from others when ids, order, titles and values are left aside: its class and its place in the
//! graph.
//!
//! Every node starts as its class. In each round it takes in what it is linked to, by which inputs and outputs. After
//! one round a node knows its neighbours; when nodes stop becoming different, it knows the whole graph.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Node};

/// Rounds beyond this many tell apart only what is very far away.
const MAX_ROUNDS: usize = 64;

/// Fingerprints of every node of a graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shapes {
    shapes: BTreeMap<String, Shape>,
}

/// The fingerprint of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    /// Of the node and its neighbours.
    pub(crate) near: u64,
    /// Of the node within the whole graph.
    pub(crate) whole: u64,
}

impl Shapes {
    pub(crate) fn of(graph: &Graph) -> Self {
        let nodes: Vec<&Node> = graph.nodes.values().collect();
        let links = Links::of(graph, &nodes);
        let mut colours: Vec<u64> = nodes.iter().map(|node| hash([text(&node.class_type)])).collect();
        let near = links.round(&colours);
        let mut kinds = distinct(&colours);
        for _ in 0..MAX_ROUNDS {
            let next = links.round(&colours);
            let more = distinct(&next);
            colours = next;
            if more == kinds {
                break;
            }
            kinds = more;
        }
        let shapes = nodes.iter().zip(near).zip(colours);
        let shapes = shapes.map(|((node, near), whole)| (node.id.clone(), Shape { near, whole }));
        Self { shapes: shapes.collect() }
    }

    pub(crate) fn get(&self, node: &str) -> Shape {
        self.shapes.get(node).copied().unwrap_or_default()
    }
}

/// For each node what feeds it and what it feeds: a hash of the input's name and the output's number, and the node.
struct Links {
    needs: Vec<Vec<(u64, usize)>>,
    feeds: Vec<Vec<(u64, usize)>>,
}

impl Links {
    fn of(graph: &Graph, nodes: &[&Node]) -> Self {
        let mut links = Self { needs: vec![Vec::new(); nodes.len()], feeds: vec![Vec::new(); nodes.len()] };
        for (index, node) in nodes.iter().enumerate() {
            for (input, link) in node.links() {
                let Some(from) = graph.nodes.get_index_of(&link.node) else { continue };
                let label = hash([text(input), u64::from(link.slot)]);
                links.needs[index].push((label, from));
                links.feeds[from].push((label, index));
            }
        }
        links
    }

    fn round(&self, colours: &[u64]) -> Vec<u64> {
        let side = |links: &[(u64, usize)]| {
            let mut seen: Vec<u64> =
                links.iter().map(|(label, node)| hash([*label, colours[*node]])).collect();
            seen.sort_unstable();
            hash(seen)
        };
        let of = |index: usize| hash([colours[index], side(&self.needs[index]), side(&self.feeds[index])]);
        (0..colours.len()).map(of).collect()
    }
}

fn distinct(colours: &[u64]) -> usize {
    colours.iter().collect::<BTreeSet<_>>().len()
}

/// FNV-1a: the fingerprints are written to files, so they must be the same in every release.
fn hash(words: impl IntoIterator<Item = u64>) -> u64 {
    bytes(words.into_iter().flat_map(u64::to_le_bytes))
}

fn text(text: &str) -> u64 {
    bytes(text.bytes())
}

fn bytes(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(text: &str) -> Shapes {
        Shapes::of(&crate::source::read(text.as_bytes()).unwrap().graph)
    }

    #[test]
    fn a_place_in_the_graph_is_known_under_any_id() {
        let one = shapes(
            r#"{"1":{"class_type":"EmptyImage","inputs":{"width":8}},"2":{"class_type":"EmptyImage","inputs":{}},
            "3":{"class_type":"ImageBatch","inputs":{"image1":["1",0],"image2":["2",0]}}}"#,
        );
        let other = shapes(
            r#"{"9":{"class_type":"ImageBatch","inputs":{"image2":["7",0],"image1":["8",0]}},
            "7":{"class_type":"EmptyImage","inputs":{"width":99}},"8":{"class_type":"EmptyImage","inputs":{}}}"#,
        );
        assert_ne!(one.get("1"), one.get("2"));
        assert_eq!(
            (one.get("1"), one.get("2"), one.get("3")),
            (other.get("8"), other.get("7"), other.get("9"))
        );
    }
}
