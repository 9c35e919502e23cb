//! Which literals are files that callers bring.

use super::{Context, candidate::Candidate, declared::is_placeholder, siblings::Siblings};
use crate::{
    catalog::{Upload, model_folders::is_media_file},
    diagnostic::Diagnostic,
    endpoint::{ParamType, Tier},
    graph::Node,
    json::Value,
};

/// Leaves files as the workflow says where no request could be run with another one, because callers may make the
/// engine read neither addresses nor paths. What the author declared is left to the author.
pub(super) fn fix(candidates: &mut [Candidate], diagnostics: &mut Vec<Diagnostic>) {
    let is_fixed = |candidate: &&mut Candidate| {
        candidate.ty.is_media()
            && !candidate.settled
            && matches!(candidate.encoding, Some("url" | "path"))
            && candidate.value.as_str().is_some_and(is_own)
    };
    for candidate in candidates.iter_mut().filter(is_fixed) {
        candidate.required = false;
        candidate.put(Tier::Hidden, "an address that callers cannot set");
        diagnostics.push(
            Diagnostic::warning(
                "fixed-file",
                format!(
                    "`{}` reads an address or a path, which callers cannot set: the workflow's own stays",
                    candidate.class_type
                ),
            )
            .at_node(&candidate.node, None)
            .at_input(&candidate.input)
            .help("to let callers send the file, put a node in its place that the editor uploads to, such as Load Image"),
        );
    }
}

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

/// Whether a value says which file it is, rather than that one is wanted.
fn is_own(value: &str) -> bool {
    !value.trim().is_empty() && !is_placeholder(value)
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
    let address = candidate.value.as_str().is_some_and(|value| value.trim_start().starts_with("http"));
    if !(named || address) || input.contains("output") {
        return None;
    }
    let encoding = if takes_data_urls(node) {
        "data_url"
    } else if class.contains("base64") || input.contains("base64") {
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

/// Art Venture's loader, told from its namesakes by its other inputs, also reads an address that holds the picture.
fn takes_data_urls(node: &Node) -> bool {
    node.class_type == "LoadImageFromUrl" && node.literal("keep_alpha_channel").is_some()
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
                if class.contains("ipadapter") || class.contains("stylemodel") || class.contains("redux") {
                    "reference_image"
                } else {
                    continue;
                }
            }
            _ => continue,
        };
        return meaning.to_owned();
    }
    if Siblings::new(context).is_control_picture(node) {
        return "control_image".to_owned();
    }
    let only_mask = context.fed_by(&node.id).iter().all(|consumer| consumer.slot == 1);
    if only_mask && !context.fed_by(&node.id).is_empty() { "mask".to_owned() } else { kind.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, Options, Tier, endpoint};

    /// The tier, encoding and necessity of one loader's file, and whether it is reported as fixed.
    fn file(class: &str, inputs: &str) -> (Tier, Option<String>, bool, bool) {
        let graph = format!(
            r#"{{"1":{{"class_type":"{class}","inputs":{inputs}}},
            "2":{{"class_type":"SaveImage","inputs":{{"images":["1",0],"filename_prefix":"a"}}}}}}"#
        );
        let options =
            Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        let endpoint = endpoint(graph.as_bytes(), &options).unwrap();
        let fixed = endpoint.diagnostics.iter().any(|found| found.code == "fixed-file");
        let param = endpoint.params.iter().find(|param| param.bindings[0].node == "1").unwrap();
        (param.tier, param.encoding.clone(), param.required, fixed)
    }

    /// What the picture of a loader is called that a preprocessor draws on its way to `last`.
    fn drawn_for(last: &str) -> String {
        let graph = format!(
            r#"{{"1":{{"class_type":"LoadImage","inputs":{{"image":"a.png"}}}},
            "2":{{"class_type":"ImageScale","inputs":{{"image":["1",0],"upscale_method":"area","width":512,"height":512,
                "crop":"disabled"}}}},
            "3":{{"class_type":"PackCannyPreprocessor","inputs":{{"image":["2",0]}}}},
            {last},
            "9":{{"class_type":"SaveImage","inputs":{{"images":["3",0],"filename_prefix":"a"}}}}}}"#
        );
        let options =
            Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        let endpoint = endpoint(graph.as_bytes(), &options).unwrap();
        endpoint.params.iter().find(|param| param.ty.is_media()).unwrap().name.clone()
    }

    #[test]
    fn a_picture_is_for_control_if_it_ends_in_one() {
        let controls = r#""4":{"class_type":"PackControlNetApply","inputs":{"image":["3",0],"control_net":["5",0],
            "positive":["6",0]}},"5":{"class_type":"PackNet","inputs":{}},"6":{"class_type":"PackText","inputs":{}},
            "7":{"class_type":"PackSample","inputs":{"positive":["4",0]}},
            "8":{"class_type":"SaveImage","inputs":{"images":["7",0],"filename_prefix":"b"}}"#;
        assert_eq!(drawn_for(controls), "control_image");
        let nothing = r#""4":{"class_type":"PackText","inputs":{}}"#;
        assert_eq!(drawn_for(nothing), "image");
    }

    #[test]
    fn what_only_the_engine_can_fetch_stays() {
        let own = r#"{"image":"https://pictures.example/a.png"}"#;
        assert_eq!(file("PackLoadImageFromUrl", own), (Tier::Hidden, Some("url".to_owned()), false, true));
        let path = r#"{"video":"/films/a.mp4"}"#;
        assert_eq!(file("PackLoadVideoPath", path), (Tier::Hidden, Some("path".to_owned()), false, true));
        let declared = r#"{"video":"/films/a.mp4"},"_meta":{"title":"{film}"}"#;
        assert_eq!(
            file("PackLoadVideoPath", declared),
            (Tier::Primary, Some("path".to_owned()), true, false)
        );
        let asked = r#"{"image":"{{picture}}"}"#;
        assert_eq!(file("PackLoadImageFromUrl", asked), (Tier::Primary, Some("url".to_owned()), true, false));
        let data = r#"{"image":"https://pictures.example/a.png","keep_alpha_channel":false}"#;
        assert_eq!(file("LoadImageFromUrl", data), (Tier::Primary, Some("data_url".to_owned()), true, false));
    }
}
