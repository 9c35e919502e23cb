//! A host that answers as CivitAI does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{FileHost, Host, Reply, Seen};
use crate::Sha256;

/// A host that answers as CivitAI does, and the storage that it redirects to.
#[derive(Debug, Clone)]
pub struct FakeCivitAi {
    /// CivitAI.
    pub host: Host,
    /// The storage.
    pub storage: FileHost,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    versions: BTreeMap<u64, Value>,
    /// The token that is asked for, by version.
    tokens: BTreeMap<u64, String>,
    /// Versions for which a page to log in is shown.
    pages: Vec<u64>,
}

/// A version with one file, as CivitAI describes it. Its `files` have no `downloadUrl`.
pub fn version(id: u64, file: &str, content: &[u8]) -> Value {
    let digest = Sha256::of(content).to_string().to_uppercase();
    json!({
        "id": id, "modelId": 1, "name": "v1", "baseModel": "SDXL 1.0", "status": "Published",
        "availability": "Public", "usageControl": "Download", "earlyAccessEndsAt": null, "trainedWords": [],
        "files": [{
            "id": id * 10, "name": file, "sizeKB": content.len() as f64 / 1024.0, "type": "Model",
            "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
            "pickleScanResult": "Success", "virusScanResult": "Success",
            "hashes": {"AutoV2": digest[..10], "SHA256": digest}, "primary": true,
        }],
    })
}

impl FakeCivitAi {
    /// Starts both.
    pub async fn start() -> Self {
        let storage = FileHost::signed().await;
        let state = Arc::new(Mutex::new(State::default()));
        let (inner, signer) = (Arc::clone(&state), storage.clone());
        let host = Host::start(move |seen| inner.lock().unwrap().answer(seen, &signer)).await;
        Self { host, storage, state }
    }

    /// Has a version, whose download is this content.
    pub fn put(&self, version: Value, content: impl Into<Bytes>) {
        let id = version["id"].as_u64().unwrap();
        self.storage.put(&format!("/model/{id}"), content);
        self.state.lock().unwrap().versions.insert(id, version);
    }

    /// Wants a token for the download of a version.
    pub fn want_token(&self, id: u64, token: &str) {
        self.state.lock().unwrap().tokens.insert(id, token.to_owned());
    }

    /// Shows a page to log in instead of a version's download.
    pub fn show_page(&self, id: u64) {
        self.state.lock().unwrap().pages.push(id);
    }
}

impl State {
    fn answer(&self, seen: &Seen, storage: &FileHost) -> Reply {
        let json = |status, value: &Value| {
            Reply::new(status, value.to_string()).with("content-type", "application/json")
        };
        let missing = || json(404, &json!({"error": "Model not found"}));
        let parts: Vec<&str> = seen.path().trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["api", "v1", "model-versions", "by-hash", digest] => {
                let wanted = digest.to_uppercase();
                let has = |version: &&Value| version["files"][0]["hashes"]["SHA256"] == json!(wanted);
                self.versions.values().find(has).map_or_else(missing, |version| json(200, version))
            }
            ["api", "v1", "model-versions", id] => {
                let version = id.parse().ok().and_then(|id: u64| self.versions.get(&id));
                version.map_or_else(missing, |version| json(200, version))
            }
            ["api", "download", "models", id] => {
                let Ok(id) = id.parse::<u64>() else { return missing() };
                let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
                if self.tokens.get(&id).is_some_and(|wanted| token != Some(wanted)) {
                    return json(401, &json!({"error": "Unauthorized"}));
                }
                if self.pages.contains(&id) {
                    return Reply::redirect(302, "/login?reason=download-auth");
                }
                if !self.versions.contains_key(&id) {
                    return missing();
                }
                Reply::redirect(307, storage.sign(&format!("/model/{id}")))
            }
            ["login"] => Reply::new(200, "<!DOCTYPE html><title>Log in</title>")
                .with("content-type", "text/html; charset=utf-8"),
            _ => missing(),
        }
    }
}
