//! A workflow as ComfyUI executes it: nodes, and links between them.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use indexmap::IndexMap;

use crate::json::{Object, Value};

pub(crate) mod read;

/// A node's id in the file: `3`, `57:41` inside a subgraph, or a UUID.
pub type NodeId = String;

/// Nodes in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    /// Nodes by id.
    pub nodes: IndexMap<NodeId, Node>,
    /// The settings of a node's widget, for the few nodes whose export carries them: `min`, `max`, `values`…
    pub widget_options: BTreeMap<NodeId, Object>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// The class that executes it.
    pub class_type: String,
    /// Its title in the editor, if the export has one.
    pub title: Option<String>,
    /// Inputs in the order of the file.
    pub inputs: IndexMap<String, Input>,
}

/// What an input is set to.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The output of another node.
    Link(Link),
    /// A value.
    Literal(Value),
}

/// A reference to one output of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs, from 0.
    pub slot: u32,
}

/// An input that is linked to some node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consumer<'a> {
    /// The node that has the input.
    pub node: &'a Node,
    /// The input's name.
    pub input: &'a str,
    /// Which output it takes.
    pub slot: u32,
}

impl Node {
    /// The value of an input, if it is a literal.
    pub fn literal(&self, input: &str) -> Option<&Value> {
        match self.inputs.get(input)? {
            Input::Literal(value) => Some(value),
            Input::Link(_) => None,
        }
    }

    /// The link of an input, if it is one.
    pub fn link(&self, input: &str) -> Option<&Link> {
        match self.inputs.get(input)? {
            Input::Link(link) => Some(link),
            Input::Literal(_) => None,
        }
    }

    /// All links, in the order of the inputs.
    pub fn links(&self) -> impl Iterator<Item = (&str, &Link)> {
        self.inputs.iter().filter_map(|(name, input)| match input {
            Input::Link(link) => Some((name.as_str(), link)),
            Input::Literal(_) => None,
        })
    }

    /// All literals, in the order of the inputs.
    pub fn literals(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.inputs.iter().filter_map(|(name, input)| match input {
            Input::Literal(value) => Some((name.as_str(), value)),
            Input::Link(_) => None,
        })
    }
}

impl Graph {
    /// The node with this id.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// For each node the inputs that its outputs feed, in the order of the file.
    pub fn consumers(&self) -> BTreeMap<&str, Vec<Consumer<'_>>> {
        let mut consumers: BTreeMap<&str, Vec<Consumer<'_>>> = BTreeMap::new();
        for node in self.nodes.values() {
            for (input, link) in node.links() {
                consumers.entry(&link.node).or_default().push(Consumer { node, input, slot: link.slot });
            }
        }
        consumers
    }

    /// These nodes and everything they need.
    pub fn ancestors<'a>(&self, of: impl IntoIterator<Item = &'a str>) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = of.into_iter().collect();
        while let Some(id) = open.pop() {
            let Some(node) = self.nodes.get(id) else { continue };
            if found.insert(node.id.clone()) {
                open.extend(node.links().map(|(_, link)| link.node.as_str()));
            }
        }
        found
    }

    /// Ids such that every node comes after what it needs; ties in the order of ids. Nodes on a cycle are left out.
    pub fn topological(&self) -> Vec<&str> {
        let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
        for node in self.nodes.values() {
            let needed: BTreeSet<&str> = node.links().map(|(_, link)| link.node.as_str()).collect();
            missing.insert(&node.id, needed.iter().filter(|id| self.nodes.contains_key(**id)).count());
        }
        let consumers = self.consumers();
        let mut sources: Vec<&str> =
            missing.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        sources.sort_by(|a, b| compare_ids(a, b));
        let mut ready: VecDeque<&str> = sources.into();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(id) = ready.pop_front() {
            order.push(id);
            let mut fed: Vec<&str> =
                consumers.get(id).into_iter().flatten().map(|consumer| consumer.node.id.as_str()).collect();
            fed.sort_by(|a, b| compare_ids(a, b));
            fed.dedup();
            for next in fed {
                if let Some(count) = missing.get_mut(next) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push_back(next);
                    }
                }
            }
        }
        order
    }

    /// Nodes that cannot be put in order because they need themselves.
    pub fn cyclic(&self) -> Vec<&str> {
        let ordered: BTreeSet<&str> = self.topological().into_iter().collect();
        let mut rest: BTreeSet<&str> =
            self.nodes.keys().map(String::as_str).filter(|id| !ordered.contains(id)).collect();
        // What merely comes after a cycle is not on it: peel off nodes that nothing left over needs.
        let consumers = self.consumers();
        let mut leaves: Vec<&str> = rest.iter().copied().collect();
        while let Some(id) = leaves.pop() {
            let needed = consumers
                .get(id)
                .is_some_and(|all| all.iter().any(|consumer| rest.contains(consumer.node.id.as_str())));
            if !needed && rest.remove(id) {
                leaves.extend(
                    self.nodes[id].links().map(|(_, link)| link.node.as_str()).filter(|id| rest.contains(id)),
                );
            }
        }
        let mut cyclic: Vec<&str> = rest.into_iter().collect();
        cyclic.sort_by(|a, b| compare_ids(a, b));
        cyclic
    }
}

/// Orders ids as people count: `9` before `10`, `57:8` before `57:41`, names after numbers.
pub fn compare_ids(left: &str, right: &str) -> Ordering {
    let parts = |id: &str| -> Vec<(bool, u64, String)> {
        id.split(':')
            .map(|part| {
                part.parse().map_or((true, 0, part.to_owned()), |number| (false, number, String::new()))
            })
            .collect()
    };
    parts(left).cmp(&parts(right)).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(links: &[(&str, &[&str])]) -> Graph {
        let nodes = links.iter().map(|(id, needs)| {
            let inputs = needs.iter().enumerate().map(|(index, node)| {
                (format!("in{index}"), Input::Link(Link { node: (*node).to_owned(), slot: 0 }))
            });
            let node = Node {
                id: (*id).to_owned(),
                class_type: "Any".to_owned(),
                title: None,
                inputs: inputs.collect(),
            };
            ((*id).to_owned(), node)
        });
        Graph { nodes: nodes.collect(), ..Graph::default() }
    }

    #[test]
    fn order_is_by_need_and_then_by_number() {
        let graph = graph(&[("10", &["9"]), ("9", &[]), ("2", &[]), ("3", &["10", "2"])]);
        assert_eq!(graph.topological(), ["2", "9", "10", "3"]);
        assert!(graph.cyclic().is_empty());
    }

    #[test]
    fn only_nodes_on_a_cycle_are_cyclic() {
        let graph = graph(&[("1", &[]), ("2", &["1", "3"]), ("3", &["2"]), ("4", &["3"]), ("5", &["5"])]);
        assert_eq!(graph.cyclic(), ["2", "3", "5"]);
    }

    #[test]
    fn ids_order_as_people_count() {
        let mut ids = ["57:41", "9", "abc", "10", "57:8"];
        ids.sort_by(|a, b| compare_ids(a, b));
        assert_eq!(ids, ["9", "10", "57:8", "57:41", "abc"]);
    }
}
