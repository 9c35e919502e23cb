//! Snapshots of others: ComfyUI-Manager's, and comfy-pack's, which has models besides.

use serde_json::{Map, Value, json};

use crate::{
    list::is_sha256,
    lock::{LockedModel, LockedPack, Pin, ProjectLock, is_below},
    needs::last_part,
};

/// A snapshot that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// It is no JSON.
    #[error("this is no JSON: {0}")]
    Json(String),
    /// It has none of what snapshots have.
    #[error(
        "this is no snapshot of ComfyUI-Manager or comfy-pack: neither `git_custom_nodes` nor `cnr_custom_nodes` is in it"
    )]
    Form,
}

/// What a snapshot has that a lock has no room for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Packs of one file, which have no version.
    pub files: Vec<String>,
    /// Packs that were turned off.
    pub disabled: Vec<String>,
    /// Models whose path or hash is none.
    pub models: Vec<String>,
}

/// Reads a snapshot of either kind. Who needs what is not in it, so `classes` and `workflows` are empty.
pub fn read(bytes: &[u8]) -> Result<(ProjectLock, LeftOut), BadSnapshot> {
    let snapshot: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| BadSnapshot::Json(error.to_string()))?;
    if !snapshot.contains_key("git_custom_nodes") && !snapshot.contains_key("cnr_custom_nodes") {
        return Err(BadSnapshot::Form);
    }
    let mut left = LeftOut::default();
    let mut lock = ProjectLock {
        comfyui: text(snapshot.get("comfyui")),
        python: text(snapshot.get("python")),
        ..ProjectLock::default()
    };
    for (id, version) in members(&snapshot, "cnr_custom_nodes") {
        let version = text(Some(version));
        lock.packs.push(LockedPack { id: id.clone(), version, ..LockedPack::default() });
    }
    for (repository, entry) in members(&snapshot, "git_custom_nodes") {
        if entry["disabled"] == true {
            left.disabled.push(repository.clone());
            continue;
        }
        lock.packs.push(LockedPack {
            id: last_part(repository),
            repository: Some(repository.clone()),
            commit: text(entry.get("hash")),
            ..LockedPack::default()
        });
    }
    for file in snapshot.get("file_custom_nodes").and_then(Value::as_array).into_iter().flatten() {
        left.files.extend(text(file.get("filename")));
    }
    for model in snapshot.get("models").and_then(Value::as_array).into_iter().flatten() {
        let Some(path) = text(model.get("filename")) else { continue };
        let sha256 = text(model.get("sha256")).filter(|hash| is_sha256(hash));
        let inside =
            path.strip_prefix("models/").filter(|path| is_below(path)).and_then(|path| path.split_once('/'));
        let (Some((folder, file)), Some(sha256)) = (inside, sha256) else {
            left.models.push(path);
            continue;
        };
        if model["disabled"] == true {
            left.disabled.push(path);
            continue;
        }
        let source = &model["source"];
        let url = text(source.get("download_url"))
            .or_else(|| hugging_face(source))
            .or_else(|| text(source.get("url")));
        lock.models.push(LockedModel {
            folder: folder.to_owned(),
            file: file.to_owned(),
            urls: url.into_iter().collect(),
            size: model["size"].as_u64(),
            sha256: Some(sha256.to_ascii_lowercase()),
            ..LockedModel::default()
        });
    }
    Ok((lock, left))
}

/// The address of a file that is named by repository, commit and path.
fn hugging_face(source: &Value) -> Option<String> {
    if source["source"] != "huggingface" {
        return None;
    }
    let (repository, path) = (source["repo"].as_str()?, source["path"].as_str()?);
    let commit = source["commit"].as_str().unwrap_or("main");
    Some(format!("https://huggingface.co/{repository}/resolve/{commit}/{path}"))
}

/// A lock as ComfyUI-Manager reads it. Packs without a pin are left out: it would take the newest.
pub fn write_manager(lock: &ProjectLock) -> String {
    format!("{:#}\n", Value::from(manager(lock)))
}

/// A lock as comfy-pack reads it: the Manager's, Python's version, and models.
pub fn write_comfy_pack(lock: &ProjectLock) -> String {
    let mut snapshot = manager(lock);
    snapshot.insert("python".to_owned(), json!(lock.python));
    let models: Vec<Value> = lock
        .models
        .iter()
        .filter(|model| model.sha256.is_some())
        .map(|model| {
            let url = model.urls.first();
            let source = url.map_or_else(|| json!({}), |url| source(url));
            json!({
                "filename": format!("models/{}/{}", model.folder, model.file),
                "size": model.size,
                "sha256": model.sha256,
                "disabled": false,
                "source": source,
            })
        })
        .collect();
    snapshot.insert("models".to_owned(), models.into());
    format!("{:#}\n", Value::from(snapshot))
}

/// Where a model comes from, in comfy-pack's words.
fn source(url: &str) -> Value {
    let parts = url.strip_prefix("https://huggingface.co/").and_then(|rest| rest.split_once("/resolve/"));
    if let Some((repository, (commit, path))) =
        parts.and_then(|(repository, rest)| Some((repository, rest.split_once('/')?)))
    {
        return json!({"source": "huggingface", "repo": repository, "commit": commit, "path": path, "download_url": url});
    }
    let kind = if url.starts_with("https://civitai.com/") { "civitai" } else { "url" };
    json!({"source": kind, "download_url": url})
}

fn manager(lock: &ProjectLock) -> Map<String, Value> {
    let (mut git, mut registry) = (Map::new(), Map::new());
    for pack in &lock.packs {
        match (pack.pin(), &pack.repository) {
            (Some(Pin::Commit(commit)), Some(repository)) => {
                git.insert(repository.clone(), json!({"hash": commit, "disabled": false}));
            }
            (Some(Pin::Version(version)), _) => drop(registry.insert(pack.id.clone(), version.into())),
            _ => {}
        }
    }
    let members = json!({
        "comfyui": lock.comfyui.as_deref().filter(|text| text.len() == 40),
        "git_custom_nodes": git,
        "cnr_custom_nodes": registry,
        "file_custom_nodes": [],
        "pips": {},
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn members<'s>(
    snapshot: &'s Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = (&'s String, &'s Value)> {
    snapshot.get(name).and_then(Value::as_object).into_iter().flatten()
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}
