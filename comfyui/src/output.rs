use std::collections::BTreeMap;

use bytes::Bytes;
use comfyport_workflow::json::{Object, Value};
use serde::{Deserialize, Serialize};

/// A node's id within a prompt: `3`, `57:41`.
pub type NodeId = String;

/// What one node showed or saved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeOutput {
    /// In the order ComfyUI listed them, key by key.
    pub items: Vec<OutputItem>,
}

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputItem {
    /// A file, to be fetched with [`crate::Client::view`].
    File(FileRef),
    /// Text.
    Text(String),
    /// Anything else.
    Json(Value),
    /// A picture that came over the socket.
    Bytes {
        /// Its media type.
        content_type: String,
        /// The encoded picture.
        data: Bytes,
    },
}

/// What a file is, judged by its name and the key it stood under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// A picture, moving ones in picture formats included.
    Image,
    /// A video.
    Video,
    /// Sound.
    Audio,
    /// A mesh or other 3D model.
    Model3d,
    /// Text in a file.
    Text,
    /// A latent.
    Latent,
    /// Anything else.
    File,
}

/// A file in one of ComfyUI's folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Its name, without folders.
    pub filename: String,
    /// The folder below the base, `/` between parts; empty for none.
    pub subfolder: String,
    /// The base: `output`, `temp` or `input`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The key it stood under: `images`, `gifs`, `audio`, `3d`, …
    pub key: String,
    /// What it is.
    pub kind: OutputKind,
    /// Whether ComfyUI said it moves.
    pub animated: bool,
}

/// Reads the `outputs` of a history entry; ids of nodes that expansion made become those of the nodes they came from.
pub(crate) fn read(entry: &Value) -> BTreeMap<NodeId, NodeOutput> {
    let mut result: BTreeMap<NodeId, NodeOutput> = BTreeMap::new();
    let none = Object::new();
    let outputs = entry.get("outputs").and_then(Value::as_object).unwrap_or(&none);
    for (id, output) in outputs {
        let items = node(output);
        result.entry(display(entry, id)).or_default().items.extend(items);
    }
    result
}

/// `meta` of a cached node can name another prompt's node, so it is asked only about ids the prompt does not have.
pub(crate) fn display(entry: &Value, id: &str) -> NodeId {
    let prompt = entry.get("prompt").and_then(|prompt| prompt.as_array()?.get(2)?.as_object());
    let known = |id: &str| prompt.is_none_or(|nodes| nodes.contains_key(id));
    let meta = entry.get("meta").and_then(|meta| meta.get(id)?.get("display_node")?.as_str());
    match meta {
        Some(display) if prompt.is_some() && !known(id) && known(display) => display.to_owned(),
        _ => id.to_owned(),
    }
}

fn node(output: &Value) -> Vec<OutputItem> {
    let Some(keys) = output.as_object() else { return Vec::new() };
    let animated = keys.get("animated").is_some_and(|flag| match flag {
        Value::Array(flags) => flags.iter().any(|flag| flag.as_bool() == Some(true)),
        other => other.as_bool() == Some(true),
    });
    let mut items = Vec::new();
    for (key, value) in keys.iter().filter(|(key, _)| *key != "animated") {
        match value {
            Value::Array(values) => {
                items.extend(values.iter().filter_map(|value| item(key, value, animated)));
            }
            other => items.extend(item(key, other, animated)),
        }
    }
    items
}

fn item(key: &str, value: &Value, animated: bool) -> Option<OutputItem> {
    match value {
        Value::Null => None,
        Value::String(text) if key == "result" => Some(mesh(key, text)),
        Value::String(text) => Some(OutputItem::Text(text.clone())),
        Value::Object(members) => Some(match file(key, members, animated) {
            Some(file) => OutputItem::File(file),
            None => OutputItem::Json(value.clone()),
        }),
        other => Some(OutputItem::Json(other.clone())),
    }
}

fn file(key: &str, members: &Object, animated: bool) -> Option<FileRef> {
    let text = |key: &str| members.get(key).and_then(Value::as_str);
    let filename = text("filename").filter(|name| !name.is_empty())?;
    Some(FileRef {
        filename: filename.to_owned(),
        subfolder: text("subfolder").unwrap_or_default().replace('\\', "/"),
        type_: text("type").filter(|base| !base.is_empty()).unwrap_or("output").to_owned(),
        key: key.to_owned(),
        kind: kind(key, filename),
        animated,
    })
}

/// Preview3D gives a path below `output`, perhaps with the base in brackets behind it.
fn mesh(key: &str, text: &str) -> OutputItem {
    let (path, base) = match text.strip_suffix(']').and_then(|text| text.rsplit_once(" [")) {
        Some((path, base @ ("input" | "output" | "temp"))) => (path, base),
        _ => (text, "output"),
    };
    let path = path.replace('\\', "/");
    let (subfolder, filename) = path.rsplit_once('/').unwrap_or(("", &path));
    if by_extension(filename) != Some(OutputKind::Model3d) {
        return OutputItem::Text(text.to_owned());
    }
    OutputItem::File(FileRef {
        filename: filename.to_owned(),
        subfolder: subfolder.to_owned(),
        type_: base.to_owned(),
        key: key.to_owned(),
        kind: OutputKind::Model3d,
        animated: false,
    })
}

fn kind(key: &str, filename: &str) -> OutputKind {
    // Containers such as mp4 and webm hold sound alone too; the key knows.
    if key == "audio" {
        return OutputKind::Audio;
    }
    if key == "latents" {
        return OutputKind::Latent;
    }
    by_extension(filename).unwrap_or(match key {
        "images" => OutputKind::Image,
        "gifs" | "video" | "videos" => OutputKind::Video,
        "3d" | "result" | "mesh" | "model_file" => OutputKind::Model3d,
        "text" => OutputKind::Text,
        _ => OutputKind::File,
    })
}

fn by_extension(filename: &str) -> Option<OutputKind> {
    let extension = filename.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match extension.as_str() {
        "png" | "jpg" | "jpeg" | "webp" | "gif" | "bmp" | "tif" | "tiff" | "avif" | "svg" | "exr" | "jxl"
        | "apng" => OutputKind::Image,
        "mp4" | "webm" | "mkv" | "mov" | "avi" | "m4v" => OutputKind::Video,
        "flac" | "mp3" | "opus" | "ogg" | "wav" | "m4a" | "aac" => OutputKind::Audio,
        "glb" | "gltf" | "obj" | "ply" | "stl" | "fbx" | "usdz" | "splat" | "spz" | "ksplat" => {
            OutputKind::Model3d
        }
        "txt" | "json" | "csv" | "srt" | "vtt" | "md" => OutputKind::Text,
        "latent" => OutputKind::Latent,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(text: &str) -> BTreeMap<NodeId, NodeOutput> {
        read(&comfyport_workflow::json::parse(text.as_bytes()).unwrap().value)
    }

    fn only(output: &str) -> OutputItem {
        let mut all = outputs(&format!("{{\"outputs\":{{\"9\":{output}}}}}"));
        all.remove("9").unwrap().items.remove(0)
    }

    #[test]
    fn kinds() {
        for (output, kind, type_) in [
            (
                r#"{"images":[{"filename":"a_1_.png","subfolder":"","type":"temp"}]}"#,
                OutputKind::Image,
                "temp",
            ),
            (
                r#"{"images":[{"filename":"x.mp4","subfolder":"v","type":"output"}],"animated":[true]}"#,
                OutputKind::Video,
                "output",
            ),
            (r#"{"audio":[{"filename":"x.mp4"}]}"#, OutputKind::Audio, "output"),
            (
                r#"{"gifs":[{"filename":"x.webm","type":"output","fullpath":"/a/x.webm"}]}"#,
                OutputKind::Video,
                "output",
            ),
            (r#"{"3d":[{"filename":"x.glb"}]}"#, OutputKind::Model3d, "output"),
            (r#"{"result":["mesh/x.glb [temp]",null]}"#, OutputKind::Model3d, "temp"),
            (r#"{"latents":[{"filename":"x.latent"}]}"#, OutputKind::Latent, "output"),
            (r#"{"odd":{"filename":"x.bin"}}"#, OutputKind::File, "output"),
        ] {
            let OutputItem::File(file) = only(output) else { panic!("{output}") };
            assert_eq!((file.kind, file.type_.as_str()), (kind, type_), "{output}");
        }
        assert_eq!(only(r#"{"text":["hi"]}"#), OutputItem::Text("hi".to_owned()));
        assert!(matches!(only(r#"{"score":[NaN]}"#), OutputItem::Json(Value::Number(_))));
    }

    #[test]
    fn expanded_ids() {
        let all = outputs(
            r#"{"prompt":[1,"p",{"1":{},"57:41":{}}],"outputs":{"1.0.0.2":{"text":["a"]},"57:41":{"text":["b"]}},
            "meta":{"1.0.0.2":{"display_node":"1"},"57:41":{"display_node":"1"}}}"#,
        );
        assert_eq!(all.keys().collect::<Vec<_>>(), ["1", "57:41"]);
    }
}
