//! Finding the nodes of an earlier export in a newer one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lock, LockedNode, plain};
use crate::{
    fingerprint::Shapes,
    graph::{Graph, Node, compare_ids},
};

/// Where the nodes of a lock are now.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// The present id by the former one.
    found: BTreeMap<String, String>,
    /// Former ids that could be any of several present ones.
    pub(super) unclear: BTreeMap<String, Vec<String>>,
}

impl Nodes {
    /// `pins` are former and present ids that the author has brought together.
    pub(super) fn find(lock: &Lock, graph: &Graph, pins: &[(String, String)]) -> Self {
        let shapes = Shapes::of(graph);
        let mut search = Search::new(lock, graph, &shapes);
        search.pin(pins);
        search.by_place();
        search.equal_results();
        let unclear = search.unclear();
        search.by_neighbours();
        search.by_name();
        let unclear = unclear.into_iter().filter(|(former, _)| !search.found.contains_key(former)).collect();
        Self { found: search.found, unclear }
    }

    /// Where a node is now.
    pub(super) fn now(&self, former: &str) -> Option<&str> {
        self.found.get(former).map(String::as_str)
    }
}

/// What of a former node is compared with present ones.
struct Former<'l> {
    node: &'l LockedNode,
    /// The values that are known of it: tells twins apart.
    values: BTreeMap<&'l str, &'l toml::Value>,
}

struct Search<'l> {
    graph: &'l Graph,
    shapes: BTreeMap<&'l str, (String, String)>,
    former: Vec<Former<'l>>,
    found: BTreeMap<String, String>,
    taken: BTreeSet<&'l str>,
}

impl<'l> Search<'l> {
    fn new(lock: &'l Lock, graph: &'l Graph, shapes: &Shapes) -> Self {
        let mut former: BTreeMap<&LockedNode, BTreeMap<&str, &toml::Value>> = BTreeMap::new();
        for param in &lock.params {
            for binding in &param.bindings {
                let values = former.entry(&binding.node).or_default();
                values.extend(param.default.as_ref().map(|value| (binding.input.as_str(), value)));
            }
        }
        for output in &lock.outputs {
            former.entry(&output.node).or_default();
        }
        let hashes = |node: &'l Node| {
            let shape = shapes.get(&node.id);
            (node.id.as_str(), (format!("{:016x}", shape.near), format!("{:016x}", shape.whole)))
        };
        Self {
            graph,
            shapes: graph.nodes.values().map(hashes).collect(),
            former: former.into_iter().map(|(node, values)| Former { node, values }).collect(),
            found: BTreeMap::new(),
            taken: BTreeSet::new(),
        }
    }

    /// The same graph under other ids, titles and values. Twins, which nothing but themselves tells apart, are told
    /// apart by title, by value, and by id at last.
    fn by_place(&mut self) {
        let whole = |search: &Self, node: &Node| search.shapes[node.id.as_str()].1.clone();
        self.pass(|former| Some(former.node.whole.clone()), |search, node| Some(whole(search, node)));
        self.pass(
            |former| Some((former.node.whole.clone(), former.node.title.clone()?)),
            |search, node| Some((whole(search, node), node.title.clone()?)),
        );
        self.pass_with_values(
            |former| former.node.whole.clone(),
            |search, node| search.shapes[node.id.as_str()].1.clone(),
        );
        self.pass(
            |former| Some((former.node.whole.clone(), former.node.id.clone())),
            |search, node| Some((whole(search, node), node.id.clone())),
        );
    }

    fn pin(&mut self, pins: &[(String, String)]) {
        for (former, now) in pins {
            if let Some(node) = self.graph.node(now) {
                self.taken.insert(&node.id);
                self.found.insert(former.clone(), now.clone());
            }
        }
    }

    /// Former nodes of one place in the graph that are not found yet, with the present ones of that place.
    fn twins(&self) -> Vec<(Vec<String>, Vec<&'l Node>)> {
        let mut places: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for former in self.former.iter().filter(|former| !self.found.contains_key(&former.node.id)) {
            places.entry((&former.node.class, &former.node.whole)).or_default().push(former.node.id.clone());
        }
        let mut present: BTreeMap<(&str, &str), Vec<&'l Node>> = BTreeMap::new();
        for node in self.free().into_values().flatten() {
            let place = (node.class_type.as_str(), self.shapes[node.id.as_str()].1.as_str());
            present.entry(place).or_default().push(node);
        }
        places.into_iter().filter_map(|(place, formers)| Some((formers, present.remove(&place)?))).collect()
    }

    /// Nodes that take in the very same things yield the same: whichever is which.
    fn equal_results(&mut self) {
        let sources: BTreeSet<&str> =
            self.graph.nodes.values().flat_map(Node::links).map(|(_, link)| link.node.as_str()).collect();
        for (mut formers, mut present) in self.twins() {
            let links = |node: &Node| {
                node.links().map(|(name, link)| (name.to_owned(), link.clone())).collect::<Vec<_>>()
            };
            let feeds = present.iter().any(|node| sources.contains(node.id.as_str()));
            let equal = present.windows(2).all(|pair| links(pair[0]) == links(pair[1]));
            if equal && !feeds && formers.len() == present.len() {
                formers.sort_by(|a, b| compare_ids(a, b));
                present.sort_by(|a, b| compare_ids(&a.id, &b.id));
                for (former, now) in formers.into_iter().zip(present) {
                    self.taken.insert(&now.id);
                    self.found.insert(former, now.id.clone());
                }
            }
        }
    }

    fn unclear(&self) -> BTreeMap<String, Vec<String>> {
        let twins = self.twins().into_iter().filter(|(formers, _)| formers.len() > 1);
        twins
            .flat_map(|(formers, present)| {
                let ids: Vec<String> = present.iter().map(|node| node.id.clone()).collect();
                formers.into_iter().map(move |former| (former, ids.clone()))
            })
            .collect()
    }

    /// The graph has changed elsewhere.
    fn by_neighbours(&mut self) {
        let near = |search: &Self, node: &Node| search.shapes[node.id.as_str()].0.clone();
        self.pass(|former| Some(former.node.near.clone()), |search, node| Some(near(search, node)));
        self.pass(
            |former| Some((former.node.near.clone(), former.node.title.clone()?)),
            |search, node| Some((near(search, node), node.title.clone()?)),
        );
        self.pass_with_values(|former| former.node.near.clone(), near);
    }

    /// The node's surroundings have changed: its title finds it, or its id where ids have not been given anew.
    fn by_name(&mut self) {
        let renumbered = self.found.iter().any(|(former, now)| former != now);
        if !renumbered {
            self.pass(
                |former| Some((former.node.id.clone(), former.node.title.clone())),
                |_, node| Some((node.id.clone(), node.title.clone())),
            );
        }
        self.pass(|former| former.node.title.clone(), |_, node| node.title.clone());
        if !renumbered {
            self.pass(|former| Some(former.node.id.clone()), |_, node| Some(node.id.clone()));
        }
    }

    /// Matches what has a key that no other former and no other present node of the class has.
    fn pass<K: Ord>(
        &mut self,
        former_key: impl Fn(&Former<'l>) -> Option<K>,
        present_key: impl Fn(&Self, &Node) -> Option<K>,
    ) {
        self.match_unique(former_key, |_| Vec::new(), |search, node, _| present_key(search, node));
    }

    /// The same with a place and the values that are known of the former node.
    fn pass_with_values(
        &mut self,
        former_place: impl Fn(&Former<'l>) -> String,
        present_place: impl Fn(&Self, &Node) -> String,
    ) {
        self.match_unique(
            |former| Some((former_place(former), former.shown())),
            |former| former.values.keys().copied().collect(),
            |search, node, inputs| Some((present_place(search, node), shown(node, inputs))),
        );
    }

    /// Keys of present nodes are made once for each set of inputs that matter to former ones.
    fn match_unique<K: Ord>(
        &mut self,
        former_key: impl Fn(&Former<'l>) -> Option<K>,
        inputs: impl Fn(&Former<'l>) -> Vec<&'l str>,
        present_key: impl Fn(&Self, &Node, &[&str]) -> Option<K>,
    ) {
        let mut matches: Vec<(String, &'l str)> = Vec::new();
        let free = self.free();
        for (class, formers) in self.missing() {
            let mut tables: BTreeMap<Vec<&str>, BTreeMap<K, Only<&'l str>>> = BTreeMap::new();
            let mut rivals: BTreeMap<K, Only<(&str, Vec<&str>)>> = BTreeMap::new();
            for former in formers {
                let Some(key) = former_key(former) else { continue };
                let inputs = inputs(former);
                tables.entry(inputs.clone()).or_insert_with_key(|inputs| {
                    let nodes = free.get(class).into_iter().flatten();
                    only(nodes.filter_map(|node| Some((present_key(self, node, inputs)?, node.id.as_str()))))
                });
                Only::add(&mut rivals, key, (former.node.id.as_str(), inputs));
            }
            for (key, rival) in rivals {
                let Only::One((former, inputs)) = rival else { continue };
                if let Some(Only::One(now)) = tables.get(&inputs).and_then(|table| table.get(&key)) {
                    matches.push((former.to_owned(), now));
                }
            }
        }
        for (former, now) in matches {
            if self.taken.insert(now) {
                self.found.insert(former, now.to_owned());
            }
        }
    }

    /// Former nodes that are not found yet, by class.
    fn missing(&self) -> BTreeMap<&'l str, Vec<&Former<'l>>> {
        let mut classes: BTreeMap<&'l str, Vec<&Former<'l>>> = BTreeMap::new();
        for former in self.former.iter().filter(|former| !self.found.contains_key(&former.node.id)) {
            classes.entry(&former.node.class).or_default().push(former);
        }
        classes
    }

    /// Present nodes that are no former node's yet, by class.
    fn free(&self) -> BTreeMap<&'l str, Vec<&'l Node>> {
        let graph = self.graph;
        let mut classes: BTreeMap<&'l str, Vec<&'l Node>> = BTreeMap::new();
        for node in graph.nodes.values().filter(|node| !self.taken.contains(node.id.as_str())) {
            classes.entry(&node.class_type).or_default().push(node);
        }
        classes
    }
}

/// Whether a key has been seen once.
enum Only<T> {
    One(T),
    Several,
}

impl<T> Only<T> {
    fn add<K: Ord>(all: &mut BTreeMap<K, Self>, key: K, one: T) {
        all.entry(key).and_modify(|seen| *seen = Self::Several).or_insert(Self::One(one));
    }
}

fn only<K: Ord, T>(pairs: impl Iterator<Item = (K, T)>) -> BTreeMap<K, Only<T>> {
    let mut all = BTreeMap::new();
    pairs.for_each(|(key, one)| Only::add(&mut all, key, one));
    all
}

impl Former<'_> {
    /// Its values as text.
    fn shown(&self) -> String {
        let values = self.values.iter().map(|(input, value)| format!("{input}={value}"));
        values.collect::<Vec<_>>().join("\n")
    }
}

/// A present node's values of the inputs that are known of a former one.
fn shown(node: &Node, inputs: &[&str]) -> String {
    let values = inputs.iter().filter_map(|input| Some((input, plain(node.literal(input)?)?)));
    values.map(|(input, value)| format!("{input}={value}")).collect::<Vec<_>>().join("\n")
}
