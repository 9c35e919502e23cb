//! Which literals are files that callers bring.

use super::{Context, candidate::Candidate};
use crate::{
    catalog::{Upload, model_folders::is_media_file},
    endpoint::{ParamType, Tier},
    graph::Node,
    json::Value,
};

pub(super) fn mark(context: &Context<'_>, candidates: &mut [Candidate]) {
    for candidate in candidates.iter_mut().filter(|candidate| candidate.tier != Tier::Model) {
        let Some(node) = context.graph.node(&candidate.node) else { continue };
        let Some((ty, encoding, signal)) = find(context, node, candidate) else { continue };
        candidate.ty = ty;
        candidate.encoding = Some(encoding);
        candidate.required = true;
        candidate.default = None;
        candidate.options.clear();
        candidate.open = false;
        candidate.put(Tier::Primary, signal);
        candidate.suggested = Some(meaning(context, node, ty));
    }
}

type Medium = (ParamType, &'static str, &'static str);

fn find(context: &Context<'_>, node: &Node, candidate: &Candidate) -> Option<Medium> {
    if !matches!(candidate.value, Value::String(_)) {
        return None;
    }
    if let Some(definition) = context.input(node, &candidate.input) {
        let upload = definition.upload?;
        return Some((
            from_upload(upload, &node.class_type),
            "upload_name",
            "the editor uploads files to this input",
        ));
    }
    if context.definition(node).is_some() {
        return None;
    }
    by_class(node, candidate).or_else(|| by_ending(candidate))
}

fn from_upload(upload: Upload, class_type: &str) -> ParamType {
    match upload {
        Upload::Image if class_type.to_lowercase().contains("mask") => ParamType::Mask,
        Upload::Image => ParamType::Image,
        Upload::Video => ParamType::Video,
        Upload::Audio => ParamType::Audio,
        Upload::File => ParamType::Model3d,
    }
}

fn by_class(node: &Node, candidate: &Candidate) -> Option<Medium> {
    let class = node.class_type.to_lowercase();
    let input = candidate.input.to_lowercase();
    if !class.contains("load")
        || class.contains("model")
        || class.contains("loader") && class.contains("lora")
    {
        return None;
    }
    let ty = if class.contains("mask") {
        ParamType::Mask
    } else if class.contains("image") {
        ParamType::Image
    } else if class.contains("video") {
        ParamType::Video
    } else if class.contains("audio") {
        ParamType::Audio
    } else {
        return None;
    };
    let named = ["image", "video", "audio", "file", "mask", "url", "base64", "path"].iter().any(|word| {
        input == *word || input.ends_with(&format!("_{word}")) || input.starts_with(&format!("{word}_"))
    });
    if !named || input.contains("output") {
        return None;
    }
    let encoding = if class.contains("base64") || input.contains("base64") {
        "base64"
    } else if class.contains("url") || input == "url" {
        "url"
    } else if input.contains("path") || class.contains("path") {
        "path"
    } else {
        "upload_name"
    };
    Some((ty, encoding, "a node that loads files"))
}

fn by_ending(candidate: &Candidate) -> Option<Medium> {
    let text = candidate.value.as_str()?;
    let input = candidate.input.to_lowercase();
    let not_a_file = ["suffix", "prefix", "format", "text", "prompt", "name_", "pattern"];
    if !is_media_file(text) || text.len() > 260 || not_a_file.iter().any(|word| input.contains(word)) {
        return None;
    }
    let ending = text.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let ty = match ending.as_str() {
        "mp4" | "webm" | "mov" | "mkv" | "avi" => ParamType::Video,
        "wav" | "mp3" | "flac" | "ogg" | "opus" | "m4a" => ParamType::Audio,
        "glb" | "gltf" | "obj" | "fbx" | "stl" | "ply" => ParamType::Model3d,
        _ => ParamType::Image,
    };
    Some((ty, "upload_name", "its value is the name of a media file"))
}

/// What the picture is for, from the first inputs that take it.
fn meaning(context: &Context<'_>, node: &Node, ty: ParamType) -> String {
    let kind = ty.as_str();
    if ty != ParamType::Image {
        return kind.to_owned();
    }
    for consumer in context.fed_by(&node.id) {
        let class = consumer.node.class_type.to_lowercase();
        let input = consumer.input.to_lowercase();
        let meaning = match input.as_str() {
            "start_image" | "end_image" | "control_image" | "reference_image" | "source_image"
            | "target_image" | "image1" | "image2" | "image3" | "mask_image" => return input,
            "first_frame" => "start_image",
            "last_frame" => "end_image",
            "input_image" if class.contains("face") => "target_image",
            "image" | "images" | "pixels" if consumer.slot == 0 => {
                if class.contains("controlnet") || class.contains("preprocessor") {
                    "control_image"
                } else if class.contains("ipadapter")
                    || class.contains("stylemodel")
                    || class.contains("redux")
                {
                    "reference_image"
                } else {
                    continue;
                }
            }
            _ => continue,
        };
        return meaning.to_owned();
    }
    let only_mask = context.fed_by(&node.id).iter().all(|consumer| consumer.slot == 1);
    if only_mask && !context.fed_by(&node.id).is_empty() { "mask".to_owned() } else { kind.to_owned() }
}
