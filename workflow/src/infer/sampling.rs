//! The order of samplers: what a first one does is what callers mean; what later ones do is refinement.

use std::collections::BTreeMap;

use super::{Context, candidate::Candidate};
use crate::{
    endpoint::Tier,
    graph::{Consumer, Graph, Node, NodeId},
    json::Value,
};

/// For each node the number of samplers before the earliest sampler it belongs to or feeds.
#[derive(Debug, Default)]
pub(super) struct Stages {
    stages: BTreeMap<NodeId, usize>,
}

impl Stages {
    /// `order` is topological.
    pub(super) fn find(graph: &Graph, order: &[&str], consumers: &BTreeMap<&str, Vec<Consumer<'_>>>) -> Self {
        let mut before: BTreeMap<&str, usize> = BTreeMap::new();
        for id in order {
            let Some(node) = graph.node(id) else { continue };
            // The longest chain of samplers stands for their number: it is the same wherever stages follow each other.
            let deepest = node.links().filter_map(|(_, link)| {
                let source = graph.node(&link.node)?;
                Some(before.get(source.id.as_str())? + usize::from(is_sampler(source)))
            });
            let deepest = deepest.max().unwrap_or(0);
            before.insert(id, deepest);
        }
        let mut stages: BTreeMap<NodeId, usize> = BTreeMap::new();
        for id in order.iter().rev() {
            let Some(node) = graph.node(id) else { continue };
            let own = is_sampler(node).then(|| before.get(id).copied().unwrap_or(0));
            let fed = consumers
                .get(id)
                .into_iter()
                .flatten()
                .filter_map(|consumer| stages.get(&consumer.node.id).copied())
                .min();
            if let Some(stage) = own.or(fed) {
                stages.insert((*id).to_owned(), stage);
            }
        }
        Self { stages }
    }

    /// Whether a node is or feeds a first sampler.
    pub(super) fn is_first(&self, node: &str) -> bool {
        self.stages.get(node) == Some(&0)
    }

    pub(super) fn of(&self, node: &str) -> usize {
        self.stages.get(node).copied().unwrap_or(0)
    }
}

/// A sampler turns a latent, or nothing, into one under some conditioning.
pub(super) fn is_sampler(node: &Node) -> bool {
    let class = node.class_type.to_lowercase();
    let other = ["select", "modelsampling", "upsampler", "resampler"].iter().any(|word| class.contains(word));
    let samples = class.contains("sampler") && !other;
    let named = samples || class.contains("detailer") || class.contains("ultimatesdupscale");
    named
        && node.links().any(|(input, _)| {
            matches!(
                input,
                "latent_image" | "latent" | "samples" | "image" | "model" | "guider" | "optional_vae"
            )
        })
}

/// The sampler that this one carries on from, in one row of steps: the other leaves its noise at the step where this
/// one starts without noise of its own.
pub(super) fn carried_on<'a>(graph: &'a Graph, node: &Node) -> Option<&'a Node> {
    let is =
        |node: &Node, input: &str, choice: &str| node.literal(input).and_then(Value::as_str) == Some(choice);
    let before = graph.node(&node.link("latent_image")?.node)?;
    let goes_on = is(before, "return_with_leftover_noise", "enable") && is(node, "add_noise", "disable");
    let joined = node.inputs.get("start_at_step")? == before.inputs.get("end_at_step")?;
    (is_sampler(before) && goes_on && joined).then_some(before)
}

/// Later stages keep their own values under `advanced`, unless they repeat the first one's.
pub(super) fn later_stages(context: &Context<'_>, candidates: &mut [Candidate]) {
    let staged = ["seed", "steps", "cfg", "guidance", "denoise"];
    let first: Vec<(&'static str, String)> = candidates
        .iter()
        .filter(|candidate| candidate.tier == Tier::Primary && context.sampling.of(&candidate.node) == 0)
        .filter_map(|candidate| Some((candidate.role?, candidate.value.to_json())))
        .collect();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.tier == Tier::Primary) {
        let Some(role) = candidate.role.filter(|role| staged.contains(role)) else { continue };
        let later = context.sampling.of(&candidate.node) > 0;
        let exists = first.iter().any(|(known, _)| *known == role);
        let repeats = first.contains(&(role, candidate.value.to_json()));
        if later && exists && !repeats && !candidate.settled {
            candidate.put(Tier::Advanced, "a setting of a later sampler");
        }
    }
}
