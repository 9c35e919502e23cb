//! Lists of ComfyUI-Manager, from a running one, a file or an address: `model-list.json` and `extension-node-map.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::needs::UNKNOWN;

/// A list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no {what} of ComfyUI-Manager: {why}")]
pub struct BadManagerList {
    what: &'static str,
    why: String,
}

/// Its list of models. It has no hashes, and lengths only in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManagerModels(BTreeMap<String, Vec<Listed>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    folder: String,
    url: String,
}

#[derive(Deserialize)]
struct Document {
    models: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    save_path: String,
    filename: String,
    url: String,
}

/// Folders that stand behind `save_path = "default"`, by type.
const DEFAULT_FOLDERS: [(&str, &str); 16] = [
    ("checkpoint", "checkpoints"),
    ("checkpoints", "checkpoints"),
    ("unclip", "checkpoints"),
    ("text_encoders", "text_encoders"),
    ("clip", "text_encoders"),
    ("vae", "vae"),
    ("lora", "loras"),
    ("t2i-adapter", "controlnet"),
    ("t2i-style", "controlnet"),
    ("controlnet", "controlnet"),
    ("clip_vision", "clip_vision"),
    ("gligen", "gligen"),
    ("upscale", "upscale_models"),
    ("embedding", "embeddings"),
    ("unet", "diffusion_models"),
    ("diffusion_model", "diffusion_models"),
];

impl ManagerModels {
    /// Reads `model-list.json`, or what `GET /externalmodel/getlist` answers.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadManagerList> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| BadManagerList { what: "model list", why: error.to_string() })?;
        let mut by_name: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
        for entry in document.models {
            // A whole repository, which is no file.
            if entry.filename.starts_with('<') || !entry.url.starts_with("https://") {
                continue;
            }
            let folder = folder(&entry);
            by_name.entry(entry.filename).or_default().push(Listed { folder, url: entry.url });
        }
        Ok(Self(by_name))
    }

    /// Addresses of files of this name: those of the same folder; those of any, if the folder is not known and there
    /// is no doubt which is meant.
    pub fn find(&self, folder: &str, name: &str) -> Vec<&str> {
        let Some(listed) = self.0.get(name) else { return Vec::new() };
        if folder == UNKNOWN {
            let urls: BTreeSet<&str> = listed.iter().map(|one| one.url.as_str()).collect();
            return if urls.len() == 1 { urls.into_iter().collect() } else { Vec::new() };
        }
        let top = |path: &str| path.split('/').next().unwrap_or(path).to_owned();
        let of_folder = listed.iter().filter(|one| top(&one.folder) == top(folder));
        let urls: BTreeSet<&str> = of_folder.map(|one| one.url.as_str()).collect();
        // Twenty files are called `diffusion_pytorch_model.safetensors`.
        if urls.len() == 1 { urls.into_iter().collect() } else { Vec::new() }
    }
}

fn folder(entry: &Entry) -> String {
    if entry.save_path != "default" {
        return entry.save_path.clone();
    }
    let kind = entry.kind.to_lowercase();
    let known = DEFAULT_FOLDERS.iter().find(|(name, _)| *name == kind);
    known.map_or("etc", |(_, folder)| folder).to_owned()
}

/// Which packs have which classes, as the Manager keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManagerMap {
    owners: BTreeMap<String, BTreeSet<String>>,
    preemptions: BTreeMap<String, String>,
}

impl ManagerMap {
    /// Reads `extension-node-map.json`, or what `GET /customnode/getmappings` answers.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadManagerList> {
        let bad = |why: String| BadManagerList { what: "node map", why };
        let document: BTreeMap<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        let mut map = Self::default();
        for (pack, entry) in document {
            let classes = entry.get(0).and_then(Value::as_array);
            let classes = classes.ok_or_else(|| bad(format!("`{pack}` has no list of classes")))?;
            for class in classes.iter().filter_map(Value::as_str) {
                map.owners.entry(class.to_owned()).or_default().insert(pack.clone());
            }
            let preempted = entry.get(1).and_then(|facts| facts.get("preemptions")).and_then(Value::as_array);
            for class in preempted.into_iter().flatten().filter_map(Value::as_str) {
                map.preemptions.insert(class.to_owned(), pack.clone());
            }
        }
        Ok(map)
    }

    /// Packs that have a class: the one that preempts it, or all of them.
    pub fn owners(&self, class: &str) -> Vec<&str> {
        if let Some(pack) = self.preemptions.get(class) {
            return vec![pack];
        }
        self.owners.get(class).into_iter().flatten().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_where_there_is_no_doubt() {
        let list = ManagerModels::parse(
            br#"{"models": [
                {"type": "VAE", "save_path": "default", "filename": "a.safetensors", "url": "https://x/1"},
                {"type": "lora", "save_path": "loras/sub", "filename": "b.safetensors", "url": "https://x/2"},
                {"type": "controlnet", "save_path": "default", "filename": "m.safetensors", "url": "https://x/3"},
                {"type": "controlnet", "save_path": "controlnet/y", "filename": "m.safetensors", "url": "https://x/4"},
                {"type": "etc", "save_path": "etc", "filename": "<huggingface>", "url": "a/b"}
            ]}"#,
        )
        .unwrap();
        assert_eq!(list.find("vae", "a.safetensors"), ["https://x/1"]);
        assert_eq!(list.find("unknown", "a.safetensors"), ["https://x/1"]);
        assert_eq!(list.find("loras", "b.safetensors"), ["https://x/2"]);
        assert!(list.find("loras", "a.safetensors").is_empty(), "another folder");
        assert!(list.find("controlnet", "m.safetensors").is_empty(), "two of one name");
        assert!(ManagerModels::parse(b"{}").is_err());
    }

    #[test]
    fn preemptions_settle_a_class() {
        let map = ManagerMap::parse(
            br#"{"https://github.com/a/a": [["A", "B"], {}],
                "https://github.com/b/b": [["B"], {"preemptions": ["B"]}],
                "https://github.com/c/c": [["A"], {}]}"#,
        )
        .unwrap();
        assert_eq!(map.owners("B"), ["https://github.com/b/b"]);
        assert_eq!(map.owners("A").len(), 2);
        assert!(map.owners("C").is_empty());
        assert!(ManagerMap::parse(br#"{"a": 1}"#).is_err());
    }
}
