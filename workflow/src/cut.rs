//! A graph without some of its nodes: what callers leave out, and what they switch off.
//!
//! Where a node goes, each input that it fed is dropped if its class can do without, or else taken from before the
//! node that the input belongs to: a `ControlNetApply` without its picture passes its conditioning on. This is decided
//! from node definitions alone, and only where the result is sure to make sense; everything else is "no".

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::{
    catalog::{Catalog, InputKind, NodeDef},
    graph::{Graph, Input, Link, Node, NodeId},
};

/// What is taken out of a graph.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut<'c> {
    /// Nodes that yield nothing, such as a loader whose file is left out.
    pub(crate) gone: BTreeSet<&'c str>,
    /// Nodes that pass on what they take, as the editor's bypass does.
    pub(crate) passed: BTreeSet<&'c str>,
}

/// What a class takes besides text and numbers that stands for a picture, a sound or a film.
const CONTENT: &[&str] = &["IMAGE", "MASK", "LATENT", "VIDEO", "AUDIO", "CLIP_VISION_OUTPUT", "MESH"];
/// What passes through nodes that change how something is made rather than what is made.
const MANNER: &[&str] =
    &["CONDITIONING", "MODEL", "CLIP", "GUIDER", "SIGMAS", "NOISE", "SAMPLER", "CONTROL_NET"];

impl Cut<'_> {
    /// The graph that is left of it, with what `results` need and nothing else. `None` where a result is lost, or
    /// where what is left makes no sense.
    pub(crate) fn apply(&self, graph: &Graph, catalog: &Catalog, results: &[&str]) -> Option<Graph> {
        let mut work = Work { catalog, graph, cut: self, passing: BTreeMap::new(), kept: IndexMap::new() };
        for id in graph.topological() {
            work.visit(graph.node(id)?)?;
        }
        let left = Graph { nodes: work.kept, widget_options: graph.widget_options.clone() };
        if !results.iter().all(|result| left.nodes.contains_key(*result)) {
            return None;
        }
        let live = left.ancestors(results.iter().copied());
        let mut left = left;
        left.nodes.retain(|id, _| live.contains(id));
        // In the order of the file, as before.
        left.nodes.sort_by_cached_key(|id, _| graph.nodes.get_index_of(id));
        Some(left)
    }
}

struct Work<'w> {
    catalog: &'w Catalog,
    graph: &'w Graph,
    cut: &'w Cut<'w>,
    /// What the outputs of a node that is not kept stand for; a missing output stands for nothing.
    passing: BTreeMap<&'w str, BTreeMap<u32, Link>>,
    kept: IndexMap<NodeId, Node>,
}

impl<'w> Work<'w> {
    /// Everything a node needs was visited before. `None` where the cut makes no sense.
    fn visit(&mut self, node: &'w Node) -> Option<()> {
        if self.cut.gone.contains(node.id.as_str()) {
            self.passing.insert(&node.id, BTreeMap::new());
            return Some(());
        }
        let links: Vec<(&str, Option<Link>)> =
            node.links().map(|(input, link)| (input, self.now(link))).collect();
        if self.cut.passed.contains(node.id.as_str()) {
            self.pass(node, &links);
            return Some(());
        }
        let missing: Vec<&str> =
            links.iter().filter(|(_, link)| link.is_none()).map(|(input, _)| *input).collect();
        if missing.is_empty() {
            self.keep(node, &links);
            return Some(());
        }
        let definition = self.catalog.get(&node.class_type);
        let optional = |input: &str| {
            definition.and_then(|definition| definition.input(input)).is_some_and(|input| !input.required)
        };
        if missing.iter().all(|input| optional(input)) {
            let definition = definition?;
            if !missing.iter().all(|input| self.can_drop(node, definition, input, &links)) {
                return None;
            }
            self.keep(node, &links);
            return Some(());
        }
        if definition.is_some_and(|definition| can_pass(definition, node, &missing)) {
            self.pass(node, &links);
        } else {
            self.passing.insert(&node.id, BTreeMap::new());
        }
        Some(())
    }

    /// Where a link leads now.
    fn now(&self, link: &Link) -> Option<Link> {
        match self.passing.get(link.node.as_str()) {
            Some(slots) => slots.get(&link.slot).cloned(),
            None => self.graph.nodes.contains_key(&link.node).then(|| link.clone()),
        }
    }

    fn keep(&mut self, node: &Node, links: &[(&str, Option<Link>)]) {
        let mut node = node.clone();
        for (input, link) in links {
            match link {
                Some(link) => {
                    node.inputs.insert((*input).to_owned(), Input::Link(link.clone()));
                }
                None => {
                    node.inputs.shift_remove(*input);
                }
            }
        }
        self.kept.insert(node.id.clone(), node);
    }

    /// Each output stands for an input of its type: of its name if there is one, else of its place, else the first.
    fn pass(&mut self, node: &'w Node, links: &[(&str, Option<Link>)]) {
        let mut slots = BTreeMap::new();
        let definition = self.catalog.get(&node.class_type);
        for (slot, output) in (0_u32..).zip(definition.iter().flat_map(|definition| &definition.outputs)) {
            let fitting: Vec<&(&str, Option<Link>)> = links
                .iter()
                .filter(|(input, link)| {
                    link.is_some() && definition.is_some_and(|one| takes(one, input, &output.ty))
                })
                .collect();
            let named = fitting.iter().find(|(input, _)| input.eq_ignore_ascii_case(&output.name));
            let placed = || {
                let same =
                    definition?.outputs.iter().take(slot as usize).filter(|one| one.ty == output.ty).count();
                fitting.get(same)
            };
            if let Some((_, Some(link))) = named.or_else(placed).or_else(|| fitting.first()) {
                slots.insert(slot, link.clone());
            }
        }
        self.passing.insert(&node.id, slots);
    }

    /// Whether a node still does what it is there for without an optional input.
    fn can_drop(
        &self,
        node: &Node,
        definition: &NodeDef,
        missing: &str,
        links: &[(&str, Option<Link>)],
    ) -> bool {
        let Some(InputKind::Socket(types)) = definition.input(missing).map(|input| &input.kind) else {
            return false;
        };
        let is_content = types.iter().any(|ty| CONTENT.contains(&ty.as_str()));
        if !is_content || types.iter().any(|ty| ty == "MASK") {
            return true;
        }
        // A chain of references may lose a link, as long as it has another.
        let is_modifier = definition.outputs.iter().all(|output| MANNER.contains(&output.ty.as_str()));
        let passes_on = links.iter().any(|(input, link)| {
            link.is_some() && definition.outputs.iter().any(|output| takes(definition, input, &output.ty))
        });
        if is_modifier && passes_on {
            return self.has_content_elsewhere(node);
        }
        // The last picture of a node stays.
        links.iter().any(|(input, link)| {
            link.is_some() && *input != missing && types.iter().any(|ty| takes(definition, input, ty))
        })
    }

    /// Whether another node of the class still has all it had.
    fn has_content_elsewhere(&self, node: &Node) -> bool {
        self.graph.nodes.values().any(|other| {
            other.id != node.id
                && other.class_type == node.class_type
                && other.links().all(|(_, link)| self.now(link).is_some())
        })
    }
}

fn takes(definition: &NodeDef, input: &str, ty: &str) -> bool {
    match definition.input(input).map(|input| &input.kind) {
        Some(InputKind::Socket(types)) => types.iter().any(|one| one == ty),
        _ => false,
    }
}

/// Whether a node that misses something it requires can be gone past: it changes the manner and not the content, or
/// joins contents of which some are left, or confines the content with a mask.
fn can_pass(definition: &NodeDef, node: &Node, missing: &[&str]) -> bool {
    let stem =
        |input: &str| input.trim_end_matches(|last: char| last.is_ascii_digit() || last == '_').to_owned();
    let joins = missing.iter().all(|one| {
        let numbered = stem(one) != *one;
        numbered && node.links().any(|(input, _)| !missing.contains(&input) && stem(input) == stem(one))
    });
    let confines = missing.iter().all(|input| takes(definition, input, "MASK"))
        && definition.outputs.iter().all(|output| output.ty == "LATENT");
    let manner = definition.outputs.iter().all(|output| MANNER.contains(&output.ty.as_str()));
    !definition.outputs.is_empty() && (joins || confines || manner)
}
