//! The candidates of a graph, by node, on which declarations are made.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{claim::Claim, name};
use crate::{
    diagnostic::Diagnostic,
    endpoint::Tier,
    graph::Node,
    infer::{Context, candidate::Candidate, names::slug, tiers},
};

/// Everything a declaration may look at and change.
pub(super) struct Board<'b, 'a> {
    pub(super) context: &'b Context<'a>,
    candidates: &'b mut [Candidate],
    spans: BTreeMap<String, Range<usize>>,
    diagnostics: &'b mut Vec<Diagnostic>,
    /// Names that nodes without a value carry, and what to say if no other node has it.
    unclaimed: Vec<(String, Diagnostic)>,
}

impl<'b, 'a> Board<'b, 'a> {
    /// Candidates of one node follow each other.
    pub(super) fn new(
        context: &'b Context<'a>,
        candidates: &'b mut [Candidate],
        diagnostics: &'b mut Vec<Diagnostic>,
    ) -> Self {
        let mut spans: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            spans.entry(candidate.node.clone()).or_insert(index..index).end = index + 1;
        }
        Self { context, candidates, spans, diagnostics, unclaimed: Vec::new() }
    }

    /// The values of a node.
    pub(super) fn of(&mut self, node: &Node) -> &mut [Candidate] {
        let span = self.spans.get(&node.id).cloned().unwrap_or_default();
        &mut self.candidates[span]
    }

    /// The inputs of a node that callers could be offered, in the order of the file.
    pub(super) fn offered(&mut self, node: &Node) -> Vec<String> {
        // More than any node has, and few enough to look at each for each.
        const MOST: usize = 256;
        let context = self.context;
        let open = |candidate: &&mut Candidate| {
            candidate.tier != Tier::Hidden && tiers::hidden(context, node, candidate).is_none()
        };
        self.of(node).iter_mut().filter(open).map(|candidate| candidate.input.clone()).take(MOST).collect()
    }

    /// The one value that a tag without an input means: a file, else the input that says most, else the first.
    pub(super) fn main_input(&mut self, node: &Node) -> Option<String> {
        const TELLING: &[&str] = &["text", "value", "prompt", "string", "seed", "image"];
        let offered = self.offered(node);
        let rank = |candidate: &&mut Candidate| {
            let place = TELLING.iter().position(|name| *name == candidate.input);
            (!candidate.ty.is_media(), place.unwrap_or(TELLING.len()))
        };
        let own = self.of(node).iter_mut().filter(|candidate| offered.contains(&candidate.input));
        own.min_by_key(rank).map(|candidate| candidate.input.clone())
    }

    /// Makes a value what its author says it is. False where the node has no such value of its own.
    pub(super) fn claim(&mut self, node: &Node, claim: Claim) -> bool {
        let Some(first) = claim.inputs.first().cloned() else { return false };
        let Some(found) = self.of(node).iter().find(|candidate| candidate.input == first).cloned() else {
            return false;
        };
        let name = claim.name.as_deref().and_then(|raw| name::read(raw, node, self.diagnostics));
        let name = name.or_else(|| claim.shared_name(node));
        let claimed = claim.applied(found, name, node, self.diagnostics);
        for candidate in self.of(node) {
            if claim.inputs.contains(&candidate.input) {
                let same = candidate.input == first;
                let (input, value) = (candidate.input.clone(), candidate.value.clone());
                *candidate = claimed.clone();
                candidate.input = input;
                candidate.value = if same { claimed.value.clone() } else { value };
            }
        }
        true
    }

    /// Takes the values that were not claimed away from callers.
    pub(super) fn hide_rest(&mut self, node: &Node, signal: &str) {
        let context = self.context;
        for candidate in self.of(node).iter_mut().filter(|candidate| !candidate.settled) {
            let known = tiers::hidden(context, node, candidate);
            candidate.settled = true;
            candidate.put(Tier::Hidden, known.unwrap_or(signal));
        }
    }

    /// Reports something about a node.
    pub(super) fn report(&mut self, node: &Node, found: Diagnostic) {
        self.diagnostics.push(found.at_node(&node.id, node.title.as_deref()));
    }

    /// Reports something about a node, once all is declared, if nothing is declared under this name.
    pub(super) fn report_unless_declared(&mut self, node: &Node, name: &str, found: Diagnostic) {
        let found = found.at_node(&node.id, node.title.as_deref());
        self.unclaimed.push((slug(name).unwrap_or_else(|| name.to_owned()), found));
    }

    /// Reports the names for which no node had a value.
    pub(super) fn finish(self) {
        let declared: BTreeSet<&str> =
            self.candidates.iter().filter_map(|candidate| candidate.declared.as_deref()).collect();
        let missing = self.unclaimed.into_iter().filter(|(name, _)| !declared.contains(name.as_str()));
        self.diagnostics.extend(missing.map(|(_, found)| found));
    }
}
