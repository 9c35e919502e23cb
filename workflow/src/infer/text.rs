//! Which text is a prompt, and which way it pulls.
//!
//! Never by node order: from every input that is named like a positive or negative conditioning, the graph is walked
//! back to the texts that feed it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Context, candidate::Candidate, tiers::is_formula};
use crate::{
    catalog::InputKind,
    endpoint::{Param, ParamType, Tier},
    graph::{Graph, Node},
    json::Value,
};

mod purpose;
mod walk;

use purpose::serving;
use walk::{Polarity, Reached, Walk, ignores_negative, normalises, polarity};

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
    let reached = Walk::new(context).from(|_, _| true);
    let normalised = normalises(context.graph);
    let effective = Walk::new(context).from(|node, polarity| {
        polarity == Polarity::Positive || normalised || !ignores_negative(context, node)
    });
    let serving = serving(context);
    for candidate in candidates.iter_mut().filter(|candidate| candidate.is_free_text()) {
        let Some(node) = context.graph.node(&candidate.node) else { continue };
        let Some((input, _)) = node.inputs.get_key_value(&candidate.input) else { continue };
        let place = (node.id.as_str(), input.as_str());
        let purpose = serving.get(&place).copied().filter(|_| !reached.contains_key(&place));
        let text = is_text(context, node, &candidate.input, &candidate.value);
        if !(text || purpose.is_some()) || is_formula(node) {
            continue;
        }
        candidate.multiline = true;
        if let Some(purpose) = purpose {
            candidate.role = Some(purpose);
            continue;
        }
        if is_language_model(node) {
            candidate.role = Some("instruction");
            continue;
        }
        match reached.get(&place) {
            Some(polarities) => {
                prompt(candidate, node, polarities, &reached);
                let negative = effective.get(&place).is_some_and(|found| found.contains(&Polarity::Negative));
                if candidate.is("negative_prompt") && !negative && polarities.contains(&Polarity::Negative) {
                    candidate.idle = true;
                    let told = "What to keep out, in words; takes effect only where cfg is above 1.";
                    candidate.description.get_or_insert_with(|| told.to_owned());
                }
            }
            None => unreached(candidate, node),
        }
    }
    only_text_is_the_prompt(candidates);
    secondary_encoders(candidates);
}

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

/// Whether a candidate is a text of which callers would say that it is what they want to see.
pub(super) fn is_primary_text(candidate: &Candidate) -> bool {
    candidate.ty == ParamType::String
        && candidate.tier != Tier::Hidden
        && matches!(
            candidate.role,
            Some(
                "prompt"
                    | "negative_prompt"
                    | "tags"
                    | "lyrics"
                    | "segment_prompt"
                    | "detect_prompt"
                    | "qr_text"
                    | "overlay_text"
            )
        )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Catalog, Endpoint, Options, endpoint};

    fn read(graph: &Value) -> Endpoint {
        let options =
            Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        endpoint(graph.to_string().as_bytes(), &options).unwrap()
    }

    fn node(class: &str, inputs: Value) -> Value {
        json!({"class_type": class, "inputs": inputs})
    }

    /// The fields, with an exclamation mark where callers must give one.
    fn primary(graph: &Value) -> Vec<String> {
        let endpoint = read(graph);
        let shown = endpoint.tier(crate::Tier::Primary).filter(|param| param.derived.is_none());
        shown.map(|param| format!("{}{}", param.name, if param.required { "!" } else { "" })).collect()
    }

    fn painting(cfg: &Value) -> Value {
        json!({
            "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "a.safetensors"})),
            "2": node("CLIPTextEncode", json!({"text": "a hill", "clip": ["1", 1]})),
            "3": node("CLIPTextEncode", json!({"text": "fog", "clip": ["1", 1]})),
            "4": node("EmptyLatentImage", json!({"width": 512, "height": 768, "batch_size": 1})),
            "5": node("KSampler", json!({
                "seed": 1, "steps": 20, "cfg": cfg, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
                "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
            })),
            "6": node("VAEDecode", json!({"samples": ["5", 0], "vae": ["1", 2]})),
            "7": node("SaveImage", json!({"images": ["6", 0], "filename_prefix": "a"})),
        })
    }

    fn tier_of_negative(graph: &Value) -> (crate::Tier, String) {
        let endpoint = read(graph);
        let negative = endpoint.params.iter().find(|param| param.name == "negative_prompt").unwrap();
        (negative.tier, negative.description.clone().unwrap())
    }

    #[test]
    fn a_negative_prompt_that_cancels_out_is_advanced() {
        let (tier, told) = tier_of_negative(&painting(&json!(1)));
        assert_eq!(tier, crate::Tier::Advanced);
        assert!(told.contains("cfg is above 1"), "{told}");
        assert_eq!(tier_of_negative(&painting(&json!(1.000_000_000_000_000_2))).0, crate::Tier::Advanced);
        assert_eq!(tier_of_negative(&painting(&json!(1.5))).0, crate::Tier::Primary);
        // One sampler that uses it is enough.
        let mut two = painting(&json!(1));
        let mut sampler = two["5"].clone();
        sampler["inputs"]["cfg"] = json!(4);
        sampler["inputs"]["latent_image"] = json!(["5", 0]);
        two["8"] = sampler;
        two["6"]["inputs"]["samples"] = json!(["8", 0]);
        assert_eq!(tier_of_negative(&two).0, crate::Tier::Primary);
        let mut normalised = painting(&json!(1));
        normalised["9"] = node("PackNAG", json!({"model": ["1", 0], "nag_scale": 5}));
        normalised["5"]["inputs"]["model"] = json!(["9", 0]);
        assert_eq!(tier_of_negative(&normalised).0, crate::Tier::Primary);
    }

    #[test]
    fn what_is_looked_for_is_no_prompt() {
        let find = |class: &str, inputs: Value| {
            json!({
                "1": node("LoadImage", json!({"image": "a.png"})),
                "2": node(class, inputs),
                "3": node("CLIPTextEncode", json!({"text": "a cat", "clip": ["4", 0]})),
                "4": node("PackLoadWords", json!({})),
                "5": node("PrimitiveString", json!({"value": "a dog"})),
                "7": node("SaveImage", json!({"images": ["2", 0], "filename_prefix": "a"})),
            })
        };
        let image = json!(["1", 0]);
        for (class, inputs, expected) in [
            ("SAM9_Track", json!({"image": image, "conditioning": ["3", 0]}), "segment_prompt"),
            ("GroundingDinoThing", json!({"image": image, "prompt": "a hat"}), "detect_prompt"),
            ("PackCLIPSeg", json!({"image": image, "text": ["5", 0]}), "segment_prompt"),
            (
                "Florence2Find",
                json!({"image": image, "text_input": "a hat", "task": "find"}),
                "detect_prompt",
            ),
            ("PackQRCode", json!({"background": image, "text": "hello"}), "qr_text"),
            ("DrawText+", json!({"image": image, "text": "hello"}), "overlay_text"),
        ] {
            assert_eq!(primary(&find(class, inputs)), ["image!", expected], "{class}");
        }
    }

    #[test]
    fn a_formula_is_no_prompt() {
        let mut graph = painting(&json!(7));
        graph["8"] = node("SimpleMath+", json!({"value": "a*b", "a": 2}));
        graph["4"]["inputs"]["width"] = json!(["8", 0]);
        let endpoint = read(&graph);
        let formula = endpoint.params.iter().find(|param| param.bindings[0].input == "value").unwrap();
        assert_eq!((formula.tier, formula.role.as_deref()), (crate::Tier::Hidden, None));
    }
}
