//! Where callers meet a value: as a field, under `advanced`, or not at all.

use std::collections::BTreeSet;

use super::{Context, candidate::Candidate, models, outputs, sampling::is_sampler, text::is_primary_text};
use crate::{
    endpoint::{ParamType, Tier},
    graph::{Node, NodeId},
    json::Value,
    risks,
};

/// Values that only the editor's own buttons use.
const EDITOR: &[&str] = &[
    "upload",
    "choose file to upload",
    "videopreview",
    "speak_and_recognation",
    "audioui",
    "preview",
    "refresh",
];
/// Settings of the machine rather than of the result.
const MACHINE: &[&str] = &[
    "weight_dtype",
    "device",
    "precision",
    "compile",
    "offload",
    "dtype",
    "attention_mode",
    "force_offload",
    "load_device",
    "keep_model_loaded",
    "keep_models_loaded",
    "cache_dir",
    "base_precision",
    "quantization",
    "low_vram",
    "use_tiled_vae",
    "tiled_vae",
    "enable_vae_tiling",
    "decode_tiled",
    "tiled_decode",
    "device_mode",
    "providers",
    "dtype_vae",
    "quantize",
    "low_mem_load",
    "cpu_offload",
    "enable_sequential_cpu_offload",
    "offload_img_emb",
    "offload_txt_emb",
    "offload_device",
    "sage_attention",
    "attention",
    "attention_backend",
    "attention_type",
    "allow_compile",
    "torch_compile",
    "full_load",
    "patch_order",
    "use_cache",
    "use_disk_cache",
    "cache_model",
    "clear_cache_after_n_frames",
    "unload_model",
    "unload_models",
    "forceunload",
    "keep_loaded",
    "console_log_level",
    "log_level",
    "logging",
    "verbose",
    "debug",
    "debug_mode",
    "print_output",
    "print_keyframes",
    "print_to_console",
    "print_to_screen",
];
/// Classes that hold nothing but settings of the machine.
const MACHINES: &[&str] = &["torchcompile", "blockswap", "sageattention"];
/// Classes that show a text: what stands in them is what they showed last.
const SHOWS: &[&str] =
    &["showtext", "showany", "displaytext", "displayany", "previewtext", "previewany", "textpreview"];
/// Classes that compute what other nodes take.
const FORMULAS: &[&str] = &["math", "expression", "formula", "calculat", "datamonitor"];
const SECRETS: &[&str] =
    &["api_key", "apikey", "password", "secret", "access_token", "auth_token", "_token", "hf_token"];
/// What callers may choose of how a result is saved.
const SAVE_CHOICES: &[&str] =
    &["format", "quality", "fps", "frame_rate", "crf", "codec", "lossless", "method", "compression"];
/// Choices of what happens in a film.
const CAMERA: &[&str] = &["camera_pose", "camera_motion", "camera_movement"];
/// Classes that make the space the result is painted in.
const SIZED: &[&str] =
    &["empty", "latent", "tovideo", "imagetovideo", "aspect", "resolution", "conditioning", "modelsampling"];
const RESIZED: &[&str] = &["resize", "upscale", "scale", "crop", "pad", "composite", "fromarea", "setarea"];

pub(super) fn assign(context: &Context<'_>, candidates: &mut [Candidate]) {
    let fixed = fixed_files(context, candidates);
    for candidate in candidates.iter_mut() {
        let decided = candidate.settled || matches!(candidate.tier, Tier::Hidden | Tier::Model);
        if decided || candidate.ty.is_media() {
            continue;
        }
        let Some(node) = context.graph.node(&candidate.node) else { continue };
        if fixed.contains(&candidate.node) {
            candidate.put(Tier::Hidden, "goes with a file that stays");
            continue;
        }
        let (tier, signal) = tier(context, node, candidate);
        let keeps = tier == Tier::Primary && is_primary_text(candidate);
        let signal = if keeps { candidate.signal.clone() } else { signal.to_owned() };
        candidate.put(tier, signal);
    }
    size_of_input(context, candidates);
    idle_guidance(candidates);
}

/// Without a negative prompt that callers give, a scale of 1 means that the model guides itself: another one would make
/// something else of the workflow.
fn idle_guidance(candidates: &mut [Candidate]) {
    let is_field = |candidate: &Candidate| candidate.tier == Tier::Primary;
    if candidates.iter().any(|candidate| candidate.is("negative_prompt") && is_field(candidate)) {
        return;
    }
    let is_one =
        |candidate: &Candidate| candidate.value.as_f64().is_some_and(|scale| (scale - 1.0).abs() < 1e-6);
    for candidate in
        candidates.iter_mut().filter(|one| one.is("cfg") && is_field(one) && !one.settled && is_one(one))
    {
        candidate.put(Tier::Advanced, "a scale of 1, without a negative prompt");
    }
}

/// Loaders whose file callers cannot choose: how it is read is then no choice of theirs either.
fn fixed_files(context: &Context<'_>, candidates: &[Candidate]) -> BTreeSet<NodeId> {
    let is_loader = |id: &str| context.graph.node(id).is_some_and(|node| node.links().next().is_none());
    let stays = |one: &&Candidate| one.ty.is_media() && one.tier == Tier::Hidden && is_loader(&one.node);
    candidates.iter().filter(stays).map(|one| one.node.clone()).collect()
}

/// Where nothing else says how large the result is, it is as large as what the first sampler is given.
fn size_of_input(context: &Context<'_>, candidates: &mut [Candidate]) {
    let is_side = |candidate: &Candidate| matches!(candidate.role, Some("width" | "height"));
    if candidates.iter().any(|candidate| is_side(candidate) && candidate.tier == Tier::Primary) {
        return;
    }
    let feeds = |candidate: &Candidate| {
        is_side(candidate)
            && !candidate.settled
            && candidate.tier == Tier::Advanced
            && candidate.value.as_f64().is_some_and(|side| side >= 64.0)
            && context.sampling.is_first(&candidate.node)
    };
    let nodes: BTreeSet<NodeId> =
        candidates.iter().filter(|one| feeds(one)).map(|candidate| candidate.node.clone()).collect();
    // Of several, nobody knows which one is meant.
    if nodes.len() == 1 {
        for candidate in candidates.iter_mut().filter(|candidate| feeds(candidate)) {
            candidate.put(Tier::Primary, "the size of what the sampler is given");
        }
    }
}

fn tier(context: &Context<'_>, node: &Node, candidate: &Candidate) -> (Tier, &'static str) {
    if let Some(signal) = hidden(context, node, candidate) {
        return (Tier::Hidden, signal);
    }
    if candidate.idle {
        return (Tier::Advanced, "the negative conditioning of a sampler whose cfg is 1");
    }
    if is_primary_text(candidate) {
        return (Tier::Primary, "a text prompt");
    }
    if is_formula(node) {
        let tier = if candidate.ty == ParamType::String { Tier::Hidden } else { Tier::Advanced };
        return (tier, "part of a calculation");
    }
    by_role(context, node, candidate, &node.class_type.to_lowercase())
}

/// Why a value is no business of callers, if it is none.
pub(super) fn hidden(context: &Context<'_>, node: &Node, candidate: &Candidate) -> Option<&'static str> {
    let input = candidate.input.to_lowercase();
    let class = node.class_type.to_lowercase();
    if EDITOR.contains(&input.as_str()) || input.contains("widget") || input.starts_with("__") {
        return Some("a control of the editor");
    }
    let is_part = |name: &String| {
        name.strip_prefix(&*candidate.input).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
    };
    if node.inputs.keys().any(is_part) {
        return Some("says which other inputs the node has");
    }
    if MACHINE.contains(&input.as_str())
        || input.starts_with("tile_")
        || input.ends_with("_debug")
        || MACHINES.iter().any(|word| class.contains(word))
    {
        return Some("a setting of the machine");
    }
    if SHOWS.iter().any(|word| class.contains(word)) && candidate.value.as_str().is_some() {
        return Some("what the node showed last");
    }
    if models::goes_with_uncounted(node, &candidate.input) {
        return Some("goes with a LoRA that is not counted");
    }
    if input == "type" && class.contains("loader") {
        return Some("goes with the model");
    }
    if SECRETS.iter().any(|word| input.contains(word))
        && !input.contains("max_token")
        && !input.ends_with("tokens")
        && candidate.ty == ParamType::String
    {
        return Some("a secret");
    }
    if let Some(signal) = risks::delicate(context.catalog, node, &candidate.input) {
        return Some(signal);
    }
    let is_output = context.definition(node).map_or_else(
        || outputs::is_output(node, context) && context.fed_by(&node.id).is_empty(),
        |definition| definition.output_node,
    );
    if joins_samplers(node, &input) {
        return Some("joins samplers together");
    }
    if is_output && !SAVE_CHOICES.iter().any(|word| input.contains(word)) {
        return Some("a setting of the output node");
    }
    if candidate.is("seed") && node.literal("add_noise").and_then(Value::as_str) == Some("disable") {
        return Some("the sampler adds no noise");
    }
    None
}

/// Whether a value says what a sampler leaves to the next: another choice breaks what comes after it.
fn joins_samplers(node: &Node, input: &str) -> bool {
    matches!(input, "add_noise" | "return_with_leftover_noise") && is_sampler(node)
}

fn by_role(context: &Context<'_>, node: &Node, candidate: &Candidate, class: &str) -> (Tier, &'static str) {
    let literal = candidate.value.as_f64();
    let sized =
        SIZED.iter().any(|word| class.contains(word)) && !RESIZED.iter().any(|word| class.contains(word));
    match candidate.role {
        Some("seed") => (Tier::Primary, "a seed"),
        Some("steps" | "cfg" | "guidance") => (Tier::Primary, "a sampler setting callers change"),
        Some("denoise") if literal.is_some_and(|value| value < 1.0) => {
            (Tier::Primary, "denoise below 1 starts from an input")
        }
        Some("width" | "height" | "length" | "num_frames") if sized || makes_latent(context, node, class) => {
            (Tier::Primary, "the size of the result")
        }
        Some("fps") if class.contains("video") || class.contains("save") => {
            (Tier::Primary, "the speed of the film")
        }
        Some("seconds" | "duration") if class.contains("audio") || class.contains("latent") => {
            (Tier::Primary, "the length of the result")
        }
        _ if CAMERA.contains(&candidate.input.as_str()) && candidate.value.as_str().is_some() => {
            (Tier::Primary, "what the camera does")
        }
        _ if is_value_node(node) => value_node(context, node),
        _ => (Tier::Advanced, "a value of the workflow"),
    }
}

fn makes_latent(context: &Context<'_>, node: &Node, class: &str) -> bool {
    let resizes = RESIZED.iter().any(|word| class.contains(word));
    let latent = context
        .definition(node)
        .is_some_and(|definition| definition.outputs.iter().any(|output| output.ty == "LATENT"));
    latent && !resizes
}

/// Whether a node computes with what it holds, which callers are not asked for.
pub(super) fn is_formula(node: &Node) -> bool {
    let class = node.class_type.to_lowercase();
    FORMULAS.iter().any(|word| class.contains(word))
}

/// Nodes that hold a value and nothing else.
pub(super) fn is_value_node(node: &Node) -> bool {
    let class = node.class_type.to_lowercase();
    let named = [
        "primitive",
        "constant",
        "literal",
        "impactint",
        "impactfloat",
        "impactboolean",
        "easy int",
        "easy float",
        "easy string",
        "jwinteger",
        "jwfloat",
        "jwstring",
        "intnode",
        "floatslider",
        "mxslider",
    ];
    let exact = ["int", "integer", "float", "string", "boolean", "seed", "number", "text"];
    node.links().next().is_none()
        && node.inputs.len() <= 4
        && (named.iter().any(|word| class.contains(word)) || exact.contains(&class.as_str()))
}

fn value_node(context: &Context<'_>, node: &Node) -> (Tier, &'static str) {
    let fed = context.fed_by(&node.id);
    if !fed.is_empty() && fed.iter().all(|consumer| decides(consumer.node, consumer.input)) {
        return (Tier::Advanced, "what a condition compares with");
    }
    let titled = context.graph.node(&node.id).and_then(|node| context.custom_title(node)).is_some();
    if titled {
        (Tier::Primary, "a value node that the author titled")
    } else {
        (Tier::Advanced, "a value node")
    }
}

/// Whether an input takes one side of a comparison, rather than what follows from it.
fn decides(node: &Node, input: &str) -> bool {
    let class = node.class_type.to_lowercase();
    let side = matches!(input.to_lowercase().as_str(), "a" | "b" | "threshold" | "value" | "condition");
    class.contains("compar") || class.contains("condition") && !class.contains("conditioning") && side
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Catalog, Endpoint, Options, Tier, endpoint};

    fn read(nodes: &Value) -> Endpoint {
        let options =
            Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        endpoint(nodes.to_string().as_bytes(), &options).unwrap()
    }

    fn tier(endpoint: &Endpoint, input: &str) -> Tier {
        endpoint.params.iter().find(|param| param.bindings[0].input == input).unwrap().tier
    }

    fn node(class: &str, inputs: Value) -> Value {
        json!({"class_type": class, "inputs": inputs})
    }

    #[test]
    fn what_the_editor_keeps_and_what_decides_about_inputs_is_hidden() {
        let endpoint = read(&json!({
            "1": node("LoadImage", json!({"image": "a.png"})),
            "2": node("PackResize", json!({
                "image": ["1", 0], "how": "by side", "how.side": 512, "__cache": "old text", "mode": "area",
            })),
            "3": node("SaveImage", json!({"images": ["2", 0], "filename_prefix": "a"})),
        }));
        assert_eq!((tier(&endpoint, "how"), tier(&endpoint, "__cache")), (Tier::Hidden, Tier::Hidden));
        assert_eq!((tier(&endpoint, "how.side"), tier(&endpoint, "mode")), (Tier::Advanced, Tier::Advanced));
    }

    #[test]
    fn a_scale_that_leaves_out_the_negative_prompt_is_advanced() {
        let painting = |cfg: f64, negative: Value| {
            let mut graph = json!({
                "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "a.safetensors"})),
                "2": node("CLIPTextEncode", json!({"text": "a hill", "clip": ["1", 1]})),
                "3": negative,
                "4": node("EmptyLatentImage", json!({"width": 512, "height": 512, "batch_size": 1})),
                "6": node("VAEDecode", json!({"samples": ["5", 0], "vae": ["1", 2]})),
                "7": node("SaveImage", json!({"images": ["6", 0], "filename_prefix": "a"})),
            });
            graph["5"] = node(
                "KSampler",
                json!({
                    "seed": 1, "steps": 20, "cfg": cfg, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
                    "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
                }),
            );
            tier(&read(&graph), "cfg")
        };
        let zero = node("ConditioningZeroOut", json!({"conditioning": ["2", 0]}));
        let text = node("CLIPTextEncode", json!({"text": "fog", "clip": ["1", 1]}));
        assert_eq!(painting(1.0, zero.clone()), Tier::Advanced);
        assert_eq!(painting(1.0, text.clone()), Tier::Advanced);
        assert_eq!(painting(3.5, zero), Tier::Primary);
        assert_eq!(painting(7.0, text), Tier::Primary);
    }
}
