//! From what samplers take back to the texts that feed it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    TEXT_INPUTS, is_language_model, is_text,
    purpose::{is_written, purpose},
};
use crate::{
    graph::{Graph, Input, Node},
    infer::{Context, names::slug},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Polarity {
    Positive,
    Negative,
}

/// Inputs of conditioning nodes that carry no text.
const NOT_CONDITIONING: &[&str] = &[
    "clip",
    "vae",
    "model",
    "image",
    "latent",
    "mask",
    "control_net",
    "hooks",
    "pixels",
    "samples",
    "style_model",
    "clip_vision",
    "gligen",
    "audio",
    "video",
    "lora",
    "upscale",
    "bbox",
    "sigmas",
    "noise",
    "sampler",
    "controlnet",
];

/// Texts by node and input, and which way they pull.
pub(super) type Reached<'a> = BTreeMap<(&'a str, &'a str), BTreeSet<Polarity>>;

/// The walk from conditioning inputs back to texts.
pub(super) struct Walk<'c, 'a> {
    context: &'c Context<'a>,
    reached: Reached<'a>,
    visited: BTreeSet<(&'a str, Polarity)>,
    open: Vec<(&'a Node, Polarity)>,
}

impl<'c, 'a> Walk<'c, 'a> {
    pub(super) fn new(context: &'c Context<'a>) -> Self {
        Self { context, reached: BTreeMap::new(), visited: BTreeSet::new(), open: Vec::new() }
    }

    /// From the inputs that are asked for.
    pub(super) fn from(mut self, is_start: impl Fn(&Node, Polarity) -> bool) -> Reached<'a> {
        let graph = self.context.graph;
        for node in graph.nodes.values() {
            if !self.is_start(node) {
                continue;
            }
            for input in node.inputs.keys() {
                if let Some(polarity) = input_polarity(input).filter(|polarity| is_start(node, *polarity)) {
                    self.enter(node, input, polarity);
                }
            }
        }
        while let Some((node, polarity)) = self.open.pop() {
            if self.visited.insert((&node.id, polarity)) {
                self.visit(node, polarity);
            }
        }
        self.reached
    }

    /// Samplers, guiders, detailers: their outputs are no conditioning any more.
    fn is_start(&self, node: &Node) -> bool {
        purpose(&node.class_type).is_none_or(is_written)
            && node.inputs.keys().any(|input| input_polarity(input).is_some())
            && !self.context.fed_by(&node.id).iter().any(|consumer| input_polarity(consumer.input).is_some())
    }

    fn enter(&mut self, node: &'a Node, input: &'a str, polarity: Polarity) {
        if let Some(link) = node.link(input) {
            if let Some(source) = self.context.graph.node(&link.node) {
                self.open.push((source, polarity));
            }
        } else if node.literal(input).is_some_and(|value| is_text(self.context, node, input, value)) {
            self.reached.entry((&node.id, input)).or_default().insert(polarity);
        }
    }

    fn visit(&mut self, node: &'a Node, polarity: Polarity) {
        let zeroed = node.class_type == "ConditioningZeroOut" && polarity == Polarity::Negative;
        if zeroed || is_language_model(node) {
            return;
        }
        let sides: BTreeSet<Polarity> =
            node.inputs.keys().filter_map(|input| self::polarity(input)).collect();
        for input in node.inputs.keys() {
            let lower = input.to_lowercase();
            if sides.len() == 2 {
                // What is both is passed through side by side, whatever the slots.
                let side = self::polarity(input);
                if side == Some(polarity)
                    || (side.is_none() && node.literal(input).is_some() && !lower.contains("image"))
                {
                    self.enter(node, input, side.unwrap_or(polarity));
                }
                continue;
            }
            let carries = !NOT_CONDITIONING.iter().any(|word| lower.starts_with(word))
                || TEXT_INPUTS.contains(&lower.as_str());
            if carries {
                self.enter(node, input, self::polarity(input).unwrap_or(polarity));
            }
        }
    }
}

/// Guidance that normalises attention uses the negative conditioning whatever the scale is.
pub(super) fn normalises(graph: &Graph) -> bool {
    graph.nodes.values().any(|node| {
        slug(&node.class_type).is_some_and(|slug| slug.split('_').any(|word| word.ends_with("nag")))
            || node.inputs.keys().any(|input| input.starts_with("nag_"))
    })
}

/// Whether a sampler makes nothing of its negative conditioning: with a scale of 1 it cancels out.
pub(super) fn ignores_negative(context: &Context<'_>, node: &Node) -> bool {
    let scale =
        ["cfg", "cfg_scale", "guidance_scale"].into_iter().find_map(|name| match node.inputs.get(name)? {
            Input::Literal(value) => value.as_f64(),
            Input::Link(link) => {
                let mut literals = context.graph.node(&link.node)?.literals();
                let (_, value) = literals.next().filter(|_| literals.next().is_none())?;
                value.as_f64()
            }
        });
    // Editors write 1 as 1.0000000000000002.
    scale.is_some_and(|scale| (scale - 1.0).abs() < 1e-6)
}

/// Which way a name or title points.
pub(super) fn polarity(name: &str) -> Option<Polarity> {
    let lower = name.to_lowercase();
    if ["image", "mask", "model", "coord", "point", "weight"].iter().any(|word| lower.contains(word)) {
        return None;
    }
    let starts = |word: &str| lower.split(|one: char| !one.is_ascii_alphanumeric()).any(|part| part == word);
    if lower.contains("negat") || lower.contains("uncond") || starts("neg") {
        Some(Polarity::Negative)
    } else if lower.contains("posit") || starts("pos") {
        Some(Polarity::Positive)
    } else {
        None
    }
}

fn input_polarity(input: &str) -> Option<Polarity> {
    polarity(input).or_else(|| {
        matches!(input, "conditioning" | "cond1" | "cond2" | "text_embeds").then_some(Polarity::Positive)
    })
}
