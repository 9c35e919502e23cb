//! Which literals are model files, and in which folder those are looked up.

use super::{Context, candidate::Candidate, declared::is_placeholder};
use crate::{
    catalog::model_folders::{exact, is_model_file},
    endpoint::{ModelRef, ParamType, Tier},
    graph::Node,
    json::{Object, Value},
};

/// `(words of the input's name, folder)`, first match.
const BY_INPUT: &[(&str, &str)] = &[
    ("face_restore", "facerestore_models"),
    ("facerestore", "facerestore_models"),
    ("swap_model", "insightface"),
    ("ckpt", "checkpoints"),
    ("checkpoint", "checkpoints"),
    ("lora", "loras"),
    ("vae", "vae"),
    ("unet", "diffusion_models"),
    ("diffusion_model", "diffusion_models"),
    ("clip_vision", "clip_vision"),
    ("clip_name", "text_encoders"),
    ("text_encoder", "text_encoders"),
    ("control_net", "controlnet"),
    ("controlnet", "controlnet"),
    ("ipadapter", "ipadapter"),
    ("style_model", "style_models"),
    ("upscale_model", "upscale_models"),
    ("upscaler", "upscale_models"),
    ("instantid", "instantid"),
    ("pulid", "pulid"),
    ("sam_model", "sams"),
    ("bbox", "ultralytics"),
    ("segm", "ultralytics"),
    ("embedding", "embeddings"),
    ("hypernetwork", "hypernetworks"),
    ("motion_model", "animatediff_models"),
];

/// `(words of the class, folder)` for other literals that end like model files, first match.
const BY_CLASS: &[(&str, &str)] = &[
    ("lora", "loras"),
    ("controlnet", "controlnet"),
    ("clipvision", "clip_vision"),
    ("ipadapter", "ipadapter"),
    ("upscale", "upscale_models"),
    ("dualclip", "text_encoders"),
    ("clip", "text_encoders"),
    ("textencoder", "text_encoders"),
    ("t5", "text_encoders"),
    ("vae", "vae"),
    ("unet", "diffusion_models"),
    ("diffusion", "diffusion_models"),
    ("wanvideomodel", "diffusion_models"),
    ("checkpoint", "checkpoints"),
    ("ultralytics", "ultralytics"),
    ("sam", "sams"),
    ("animatediff", "animatediff_models"),
    ("stylemodel", "style_models"),
    ("insightface", "insightface"),
    ("reactor", "insightface"),
    ("face", "facerestore_models"),
];

/// Classes that fetch their models themselves.
const FETCHES: &[&str] = &["preprocessor", "annotator", "vfi", "downloadandload", "rembg", "florence2"];

/// Those of them that keep what they fetch to themselves, in no folder of the engine.
const KEEPS: &[&str] = &["preprocessor", "annotator", "vfi"];

/// The folder of what a node loads by `owner/name`.
pub(crate) const REPOSITORY: &str = "huggingface";

/// Words of classes that load models by repository.
const BY_REPOSITORY: &[&str] = &["transformers", "huggingface", "pretrained", "diffusers"];

/// Values that stand for no file.
const NO_FILE: &[&str] = &["", "none", "baked vae", "pixel_space", "default", "disabled", "auto"];

/// Finds model files and takes their inputs out of what callers set.
pub(super) fn find(context: &Context<'_>, candidates: &mut [Candidate]) -> Vec<ModelRef> {
    let mut models = Vec::new();
    for candidate in candidates.iter_mut() {
        let Some(node) = context.graph.node(&candidate.node) else { continue };
        for model in containers(node, candidate) {
            models.push(model);
        }
        let Some(text) = candidate.value.as_str().map(str::to_owned) else { continue };
        embeddings(node, &candidate.input, &text, &mut models);
        if is_lora_text(node, &candidate.input) {
            lora_tags(node, &candidate.input, &text, &mut models);
            candidate.put(Tier::Hidden, "the names of LoRAs");
            continue;
        }
        let Some((folder, signal)) = folder(context, node, candidate, &text) else { continue };
        let inactive =
            is_inactive(node, &candidate.input) || NO_FILE.contains(&text.trim().to_lowercase().as_str());
        let tier = if inactive { Tier::Hidden } else { Tier::Model };
        candidate.put(tier, if inactive { "no model is chosen here" } else { signal });
        candidate.ty = ParamType::String;
        candidate.role = Some("model");
        candidate.open = true;
        candidate.folder = Some(folder.to_owned());
        if !inactive && !is_placeholder(&text) {
            let auto = folder == REPOSITORY
                || FETCHES.iter().any(|word| node.class_type.to_lowercase().contains(word));
            let taesd = folder == "vae" && text.to_lowercase().starts_with("tae");
            models.push(model(
                node,
                &candidate.input,
                &text,
                if taesd { "vae_approx" } else { folder },
                auto,
            ));
        }
    }
    models
}

fn model(node: &Node, input: &str, file: &str, folder: &str, auto_download: bool) -> ModelRef {
    ModelRef {
        file: file.replace('\\', "/"),
        folder: folder.to_owned(),
        node: node.id.clone(),
        input: input.to_owned(),
        url: file.starts_with("https://").then(|| file.to_owned()),
        sha256: None,
        auto_download: auto_download || file.starts_with("https://"),
        licence_accepted: false,
    }
}

fn folder<'f>(
    context: &'f Context<'_>,
    node: &Node,
    candidate: &Candidate,
    text: &str,
) -> Option<(&'f str, &'static str)> {
    if let Some(folder) = exact(&node.class_type, &candidate.input) {
        return Some((folder, "a loader of ComfyUI's own"));
    }
    let definition = context.input(node, &candidate.input);
    if definition.is_some_and(|definition| definition.upload.is_some()) {
        return None;
    }
    let input = candidate.input.to_lowercase();
    let class = node.class_type.to_lowercase();
    let file = is_model_file(text);
    let named = input.ends_with("_name")
        || input.ends_with("_model")
        || input.ends_with("_path")
        || input.contains("name")
        || input.contains("file")
        || input.starts_with("lora_")
        || matches!(input.as_str(), "lora" | "vae" | "ckpt" | "model");
    let plain = text.len() < 300 && !text.contains('\n');
    let closed =
        definition.is_some_and(|definition| definition.listing.is_none() && !definition.options.is_empty());
    if !plain || (closed && !file) || ["sampler_name", "control_net_type"].contains(&input.as_str()) {
        return None;
    }
    if file && KEEPS.iter().any(|word| class.contains(word)) {
        return Some(("unknown", "a model that the node fetches itself"));
    }
    let repository = !file && is_repository(text);
    if repository && BY_REPOSITORY.iter().any(|word| class.contains(word)) && named {
        return Some((REPOSITORY, "its value is the name of a model repository"));
    }
    if named || file {
        let by_input = BY_INPUT.iter().find(|(word, _)| input.contains(word));
        // Without an ending only the names that loaders use are trusted.
        let trusted = file
            || (definition.is_none_or(|definition| definition.listing.is_some())
                && named
                && class.contains("load"));
        if let Some((_, folder)) =
            by_input.filter(|_| trusted || NO_FILE.contains(&text.to_lowercase().as_str()) && named)
        {
            return Some((folder, "the input is named like a model"));
        }
    }
    if file {
        let by_class =
            BY_CLASS.iter().find(|(word, _)| class.contains(word)).map_or("unknown", |(_, folder)| folder);
        return Some((by_class, "its value is the name of a model file"));
    }
    let wants_repository = ["model", "repo", "hf"].iter().any(|word| input.contains(word));
    (repository && wants_repository).then_some((REPOSITORY, "its value is the name of a model repository"))
}

/// `owner/name`.
fn is_repository(text: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.split_once('/').is_some_and(|(owner, name)| word(owner) && word(name))
}

/// Counted families keep values beyond their count: `lora_name_3` with `lora_count` 2.
fn is_inactive(node: &Node, input: &str) -> bool {
    let Some((family, index)) = input.rsplit_once('_') else { return false };
    let Ok(index) = index.parse::<u64>() else { return false };
    let stem = family.split('_').next().unwrap_or(family);
    let switched_off = node.literal(&format!("switch_{index}")).and_then(Value::as_str) == Some("Off");
    switched_off || is_beyond_count(node, stem, index)
}

fn is_beyond_count(node: &Node, stem: &str, index: u64) -> bool {
    let count = [format!("{stem}_count"), "num_loras".to_owned(), format!("num_{stem}s")];
    let counted = count.iter().find_map(|name| node.literal(name)?.as_u64());
    counted.is_some_and(|count| index > count)
}

/// Whether a value goes with a LoRA that the node does not count: `lora_wt_3` with `lora_count` 2.
pub(super) fn goes_with_uncounted(node: &Node, input: &str) -> bool {
    let index = input.rsplit_once('_').and_then(|(_, index)| index.parse::<u64>().ok());
    index.is_some_and(|index| is_beyond_count(node, "lora", index))
}

/// Stacks keep their files in objects: `{"on": true, "lora": "…"}` or a list of `{"active": true, "name": "…"}`.
fn containers(node: &Node, candidate: &Candidate) -> Vec<ModelRef> {
    let named = |entry: &Object, flag: &str, name: &str| {
        let on = entry.get(flag).and_then(Value::as_bool).unwrap_or(false);
        let file = entry
            .get(name)
            .and_then(Value::as_str)
            .filter(|file| !NO_FILE.contains(&file.to_lowercase().as_str()));
        file.filter(|_| on).map(|file| model(node, &candidate.input, file, "loras", false))
    };
    match &candidate.value {
        Value::Object(entry) if entry.contains_key("lora") => {
            named(entry, "on", "lora").into_iter().collect()
        }
        Value::Object(entry) => {
            let items = entry.get("__value__").and_then(Value::as_array).unwrap_or_default();
            items.iter().filter_map(|item| named(item.as_object()?, "active", "name")).collect()
        }
        _ => Vec::new(),
    }
}

/// Text prompts name embeddings: `embedding:easynegative`.
fn embeddings(node: &Node, input: &str, text: &str, models: &mut Vec<ModelRef>) {
    for (_, rest) in text.match_indices("embedding:").map(|(at, word)| text.split_at(at + word.len())) {
        let end = rest.find(|one: char| one.is_whitespace() || ",()<>:".contains(one)).unwrap_or(rest.len());
        if end > 0 {
            models.push(model(node, input, &rest[..end], "embeddings", false));
        }
    }
}

/// LoraManager's nodes list LoRAs in a text of their own.
fn is_lora_text(node: &Node, input: &str) -> bool {
    input == "text" && node.class_type.contains("(LoraManager)")
}

/// `<lora:name:0.8>`, which a list of the same node repeats and overrules.
fn lora_tags(node: &Node, input: &str, text: &str, models: &mut Vec<ModelRef>) {
    if node.literal("loras").is_some() {
        return;
    }
    for (at, tag) in text.match_indices("<lora:") {
        let rest = &text[at + tag.len()..];
        let end = rest.find([':', '>', '<', '\n']).unwrap_or(rest.len());
        let name = rest[..end].trim();
        if !name.is_empty() && rest[end..].contains('>') {
            models.push(model(node, input, name, "loras", false));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, Options, endpoint};

    /// The models of one loader whose result is shown.
    fn models(class: &str, inputs: &str) -> Vec<String> {
        let graph = format!(
            r#"{{"1":{{"class_type":"{class}","inputs":{inputs}}},
            "2":{{"class_type":"SaveImage","inputs":{{"images":["1",0],"filename_prefix":"a"}}}}}}"#
        );
        let options =
            Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        let endpoint = endpoint(graph.as_bytes(), &options).unwrap();
        let line = |model: crate::ModelRef| {
            format!("{} {}{}", model.folder, model.file, if model.auto_download { " fetched" } else { "" })
        };
        endpoint.models.into_iter().map(line).collect()
    }

    #[test]
    fn models_are_looked_up_where_their_nodes_look() {
        for (class, inputs, expected) in [
            ("SwapFaces", r#"{"face_restore_model":"restore.pth"}"#, &["facerestore_models restore.pth"][..]),
            ("SwapFaces", r#"{"swap_model":"swap.onnx"}"#, &["insightface swap.onnx"]),
            (
                "PackTransformersLoader",
                r#"{"ckpt_name":"maker/words-1.3B"}"#,
                &["huggingface maker/words-1.3B fetched"],
            ),
            ("DWPreprocessor", r#"{"bbox_detector":"boxes.onnx"}"#, &["unknown boxes.onnx fetched"]),
            (
                "DWPreprocessor",
                r#"{"pose_estimator":"poses.torchscript.pt"}"#,
                &["unknown poses.torchscript.pt fetched"],
            ),
            ("CheckpointLoaderSimple", r#"{"ckpt_name":"%model%"}"#, &[]),
            ("CheckpointLoaderSimple", r#"{"ckpt_name":"{{model}}"}"#, &[]),
            (
                "CheckpointLoaderSimple",
                r#"{"ckpt_name":"sub/a.safetensors"}"#,
                &["checkpoints sub/a.safetensors"],
            ),
            (
                "Lora Loader (LoraManager)",
                r#"{"text":"<lora:ink:0.8> <lora:wash:1:1> <lora:cut"}"#,
                &["loras ink", "loras wash"],
            ),
            (
                "Lora Loader (LoraManager)",
                r#"{"text":"<lora:ink:0.8>","loras":{"__value__":[{"name":"ink","active":true}]}}"#,
                &["loras ink"],
            ),
        ] {
            assert_eq!(models(class, inputs), expected, "{class} {inputs}");
        }
    }
}
