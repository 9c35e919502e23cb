//! What a sampler does in the row of samplers.

use std::collections::{BTreeMap, BTreeSet};

use super::{FARTHEST, Siblings, only};
use crate::{
    graph::Node,
    infer::{Context, candidate::Candidate, sampling::is_sampler},
};

/// What the samplers do that no other one comes before.
pub(in crate::infer) const FIRST_PASS: &str = "first_pass";

/// What later samplers do that do the same again, by the number of samplers before them.
const PASSES: &[&str] =
    &["second_pass", "third_pass", "fourth_pass", "fifth_pass", "sixth_pass", "seventh_pass", "eighth_pass"];

impl<'a> Siblings<'_, 'a> {
    /// What a sampler does in the row of samplers: `first_pass`, `hires`, `second_pass`, `video`.
    pub(in crate::infer) fn pass(&self, candidate: &Candidate) -> Option<&'static str> {
        let node = self.context.graph.node(&candidate.node)?;
        let stage = self.context.sampling.of(&node.id);
        if stage == 0 {
            return self.context.sampling.is_first(&node.id).then_some(FIRST_PASS);
        }
        let words: BTreeSet<Option<&'static str>> = self
            .samplers(node)
            .into_iter()
            .filter(|sampler| self.context.sampling.of(&sampler.id) == stage)
            .map(|sampler| self.pass_of(sampler, stage))
            .collect();
        only(words).flatten()
    }

    fn row(&self) -> &Row {
        self.row.get_or_init(|| Row::of(self.context))
    }

    fn pass_of(&self, sampler: &'a Node, stage: usize) -> Option<&'static str> {
        let class = sampler.class_type.to_lowercase();
        if class.contains("detailer") {
            return Some(if class.contains("face") { "face" } else { "detailer" });
        }
        // What an earlier sampler makes too tells nothing.
        let makes = made_by(self.context, sampler).filter(|word| self.row().makes.get(word) == Some(&stage));
        if makes.is_some() {
            return makes;
        }
        if let Some(word) = self.again(sampler, stage, carries_picture) {
            return Some(word);
        }
        // Several that look at what one made are variations of it, none of which is the next.
        if self.row().samplers.get(&stage) == Some(&1) { self.again(sampler, stage, prepares) } else { None }
    }

    /// What a sampler does that is led to by another one along these inputs.
    fn again(&self, sampler: &'a Node, stage: usize, follows: fn(&str) -> bool) -> Option<&'static str> {
        let before = up_to_samplers(self.context, sampler, follows);
        if !before.iter().any(|node| node.id != sampler.id && is_sampler(node)) {
            return None;
        }
        let larger = before.iter().any(|node| {
            let class = node.class_type.to_lowercase();
            class.contains("upscale") || class.contains("upsampl")
        });
        if larger { Some("hires") } else { PASSES.get(stage.checked_sub(1)?).copied() }
    }
}

/// The samplers of a graph in the order of their stages.
#[derive(Default)]
pub(super) struct Row {
    /// The earliest stage at which something is made.
    makes: BTreeMap<&'static str, usize>,
    /// How many samplers a stage has.
    samplers: BTreeMap<usize, usize>,
}

impl Row {
    pub(super) fn of(context: &Context<'_>) -> Self {
        let mut row = Self::default();
        for sampler in context.graph.nodes.values().filter(|node| is_sampler(node)) {
            let stage = context.sampling.of(&sampler.id);
            *row.samplers.entry(stage).or_default() += 1;
            if let Some(word) = made_by(context, sampler) {
                let earliest = row.makes.entry(word).or_insert(stage);
                *earliest = stage.min(*earliest);
            }
        }
        row
    }
}

/// What a sampler makes, by what prepares its conditioning.
fn made_by(context: &Context<'_>, sampler: &Node) -> Option<&'static str> {
    let nodes = up_to_samplers(context, sampler, prepares);
    let others = nodes.into_iter().filter(|node| !is_sampler(node));
    only(others.filter_map(|node| kind_made(&node.class_type)).collect())
}

fn kind_made(class_type: &str) -> Option<&'static str> {
    let class = class_type.to_lowercase().replace('_', "");
    let says = |words: &[&str]| words.iter().any(|word| class.contains(word));
    match () {
        () if says(&["stageb"]) => Some("stage_b"),
        () if says(&["img2vid", "imgtovid", "image2vid", "imagetovid"]) => Some("video"),
        () => None,
    }
}

/// Whether what comes to an input becomes a part of what a sampler is told.
fn prepares(input: &str) -> bool {
    matches!(input, "positive" | "conditioning" | "guider") || carries_picture(input)
}

/// Whether an input takes what is painted or painted over.
fn carries_picture(input: &str) -> bool {
    const PICTURES: &[&str] =
        &["latent", "latents", "samples", "pixels", "image", "images", "frames", "video"];
    input.split('_').any(|word| PICTURES.contains(&word.trim_end_matches(|one: char| one.is_ascii_digit())))
}

/// A sampler and the nodes before it by these inputs, no further than to other samplers.
fn up_to_samplers<'a>(
    context: &Context<'a>,
    sampler: &'a Node,
    follows: impl Fn(&str) -> bool,
) -> Vec<&'a Node> {
    let (mut found, mut open, mut seen) = (Vec::new(), vec![sampler], BTreeSet::new());
    while let Some(node) = open.pop().filter(|_| seen.len() < FARTHEST) {
        if !seen.insert(node.id.as_str()) {
            continue;
        }
        found.push(node);
        if node.id == sampler.id || !is_sampler(node) {
            let links = node.links().filter(|(name, _)| follows(name));
            open.extend(links.filter_map(|(_, link)| context.graph.node(&link.node)));
        }
    }
    found
}
