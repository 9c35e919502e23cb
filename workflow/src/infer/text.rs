//! Which text is a prompt, and which way it pulls.
//!
//! Never by node order: from every input that is named like a positive or negative conditioning, the graph is walked
//! back to the texts that feed it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Context, candidate::Candidate};
use crate::{
    catalog::InputKind,
    endpoint::{Param, ParamType, Tier},
    graph::{Graph, Node},
    json::Value,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Polarity {
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

/// Names of inputs that hold text prompts where the class is not known.
const TEXT_INPUTS: &[&str] = &[
    "text",
    "prompt",
    "text_g",
    "text_l",
    "t5xxl",
    "clip_l",
    "clip_g",
    "string",
    "value",
    "positive",
    "negative",
    "positive_prompt",
    "negative_prompt",
    "caption",
    "tags",
    "lyrics",
    "wildcard_text",
    "populated_text",
    "text_positive",
    "text_negative",
    "description",
    "prompt_text",
    "user_prompt",
    "llama",
    "wildcard",
    "opt_text",
];

/// Classes whose text instructs a language model instead of describing a picture.
const LANGUAGE_MODELS: &[&str] = &[
    "llm",
    "vlm",
    "caption",
    "ollama",
    "gpt",
    "gemini",
    "florence",
    "joycaption",
    "qwenvl",
    "qwen2vl",
    "interrogat",
    "wd14",
];

pub(super) fn mark(context: &Context<'_>, candidates: &mut [Candidate]) {
    let reached = Walk::new(context).run();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.is_free_text()) {
        let Some(node) = context.graph.node(&candidate.node) else { continue };
        if !is_text(context, node, &candidate.input, &candidate.value) {
            continue;
        }
        candidate.multiline = true;
        if is_language_model(node) {
            candidate.role = Some("instruction");
            continue;
        }
        let found = reached.get(&(node.id.as_str(), candidate.input.as_str())).cloned();
        match found {
            Some(polarities) => prompt(candidate, node, &polarities, &reached),
            None => unreached(candidate, node),
        }
    }
    only_text_is_the_prompt(candidates);
    secondary_encoders(candidates);
}

type Reached<'a> = BTreeMap<(&'a str, &'a str), BTreeSet<Polarity>>;

fn prompt(candidate: &mut Candidate, node: &Node, polarities: &BTreeSet<Polarity>, reached: &Reached<'_>) {
    let negative = match (polarities.contains(&Polarity::Positive), polarities.contains(&Polarity::Negative))
    {
        (true, true) => {
            let titled = node.title.as_deref().and_then(polarity);
            let other_positive = reached.iter().any(|((id, _), found)| {
                *id != node.id && found.len() == 1 && found.contains(&Polarity::Positive)
            });
            titled.map_or(other_positive, |titled| titled == Polarity::Negative)
        }
        (positive, _) => !positive,
    };
    match candidate.input.as_str() {
        "tags" | "lyrics" if !negative => {
            candidate.role = Some(if candidate.input == "tags" { "tags" } else { "lyrics" });
            require(candidate, "feeds the positive conditioning of a sampler");
        }
        _ if negative => {
            candidate.role = Some("negative_prompt");
            if !candidate.settled {
                candidate.signal = "feeds the negative conditioning of a sampler".to_owned();
            }
        }
        _ => {
            candidate.role = Some("prompt");
            require(candidate, "feeds the positive conditioning of a sampler");
        }
    }
}

/// What an export holds is a sample, not a default.
fn require(candidate: &mut Candidate, signal: &str) {
    if !candidate.settled {
        candidate.required = true;
        candidate.default = None;
        signal.clone_into(&mut candidate.signal);
    }
}

/// Of several prompts, callers must give the one that is called so; the others are the workflow's own where left out.
pub(super) fn keep_later_prompts(graph: &Graph, params: &mut [Param]) {
    let is_prompt =
        |param: &Param| param.role.as_deref() == Some("prompt") && param.required && !param.settled;
    if !params.iter().any(|param| is_prompt(param) && param.name == "prompt") {
        return;
    }
    for param in params.iter_mut().filter(|param| is_prompt(param) && param.name != "prompt") {
        let Some(binding) = param.bindings.first() else { continue };
        let own = graph.node(&binding.node).and_then(|node| node.literal(&binding.input));
        if let Some(text @ Value::String(_)) = own {
            param.default = Some(text.clone());
            param.required = false;
        }
    }
}

fn unreached(candidate: &mut Candidate, node: &Node) {
    let input = candidate.input.to_lowercase();
    if input.contains("system") || input.contains("template") || input.contains("instruction") {
        candidate.role = Some("instruction");
    } else if input == "tags" || input == "lyrics" {
        candidate.role = Some(if input == "tags" { "tags" } else { "lyrics" });
    } else if ["segment", "sam", "grounding", "detect"]
        .iter()
        .any(|word| node.class_type.to_lowercase().contains(word))
    {
        candidate.role = Some("segment_prompt");
    } else {
        let named = polarity(&input).or_else(|| node.title.as_deref().and_then(polarity));
        match named {
            Some(Polarity::Negative) => candidate.role = Some("negative_prompt"),
            Some(Polarity::Positive) => {
                candidate.role = Some("prompt");
                require(candidate, "named as the positive prompt");
            }
            None => candidate.role = Some("text"),
        }
    }
}

fn only_text_is_the_prompt(candidates: &mut [Candidate]) {
    if candidates.iter().any(|candidate| candidate.is("prompt")) {
        return;
    }
    for role in ["text", "instruction"] {
        let texts: BTreeSet<String> = candidates
            .iter()
            .filter(|candidate| candidate.is(role))
            .map(|candidate| candidate.value.to_json())
            .collect();
        if texts.len() != 1 {
            continue;
        }
        for candidate in candidates.iter_mut().filter(|candidate| candidate.is(role)) {
            candidate.role = Some("prompt");
            require(candidate, "the only text of the workflow");
        }
        return;
    }
}

/// Of several texts on one encoder, one is the prompt and the others speak to a second encoder.
fn secondary_encoders(candidates: &mut [Candidate]) {
    const FIRST: &[&str] = &["prompt", "text", "t5xxl", "text_g", "positive", "string", "value"];
    let mut texts: BTreeMap<(String, &'static str), Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        if let Some(role) = candidate.role.filter(|role| *role == "prompt" || *role == "negative_prompt") {
            texts.entry((candidate.node.clone(), role)).or_default().push(index);
        }
    }
    for ((_, role), indices) in texts.into_iter().filter(|(_, indices)| indices.len() > 1) {
        let rank = |index: &usize| {
            FIRST.iter().position(|name| *name == candidates[*index].input).unwrap_or(usize::MAX)
        };
        let Some(main) = indices.iter().copied().min_by_key(rank) else { continue };
        let sample = candidates[main].value.clone();
        for index in indices.into_iter().filter(|index| *index != main) {
            let candidate = &mut candidates[index];
            if candidate.value == sample || candidate.settled {
                continue;
            }
            candidate.suggested = Some(format!("{role}_{}", candidate.input.to_lowercase()));
            candidate.role = Some("secondary_prompt");
            candidate.required = false;
            candidate.default = Some(candidate.value.clone());
        }
    }
}

fn is_language_model(node: &Node) -> bool {
    let class = node.class_type.to_lowercase();
    LANGUAGE_MODELS.iter().any(|word| class.contains(word)) && !class.contains("textencode")
}

/// Which way a name or title points.
fn polarity(name: &str) -> Option<Polarity> {
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

fn is_text(context: &Context<'_>, node: &Node, input: &str, value: &Value) -> bool {
    if value.as_str().is_none() {
        return false;
    }
    let lower = input.to_lowercase();
    let named =
        TEXT_INPUTS.contains(&lower.as_str()) || lower.contains("prompt") || lower.starts_with("text");
    let settings = ["delimiter", "separator", "prefix", "suffix", "mode", "format", "find", "replace"];
    if settings.iter().any(|word| lower.contains(word)) {
        return false;
    }
    match context.input(node, input) {
        Some(definition) => definition.kind == InputKind::Text && (definition.multiline || named),
        None => named,
    }
}

/// The walk from conditioning inputs back to texts.
struct Walk<'c, 'a> {
    context: &'c Context<'a>,
    reached: Reached<'a>,
    visited: BTreeSet<(&'a str, Polarity)>,
    open: Vec<(&'a Node, Polarity)>,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(context: &'c Context<'a>) -> Self {
        Self { context, reached: BTreeMap::new(), visited: BTreeSet::new(), open: Vec::new() }
    }

    fn run(mut self) -> Reached<'a> {
        let graph = self.context.graph;
        for node in graph.nodes.values() {
            if !self.is_start(node) {
                continue;
            }
            for input in node.inputs.keys() {
                if let Some(polarity) = input_polarity(input) {
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
        node.inputs.keys().any(|input| input_polarity(input).is_some())
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

/// Whether a candidate is a text of which callers would say that it is what they want to see.
pub(super) fn is_primary_text(candidate: &Candidate) -> bool {
    candidate.ty == ParamType::String
        && candidate.tier != Tier::Hidden
        && matches!(candidate.role, Some("prompt" | "negative_prompt" | "tags" | "lyrics" | "segment_prompt"))
}
