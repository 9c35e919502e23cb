//! A host that answers as Hugging Face does.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{FileHost, Host, Reply, Seen};
use crate::Sha256;

/// Who may have the files of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Those who accepted terms: the owners of these tokens.
    Gated(Vec<String>),
    /// The owners of these tokens. Others are not told that there is such a repository.
    Private(Vec<String>),
}

/// A host that answers as Hugging Face does, and the storage that it redirects to.
#[derive(Debug, Clone)]
pub struct FakeHub {
    /// The hub.
    pub host: Host,
    /// The storage.
    pub storage: FileHost,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// By `repository/path`. Small files are sent by the hub itself.
    files: BTreeMap<String, (Bytes, bool)>,
    gates: BTreeMap<String, Gate>,
    renamed: BTreeMap<String, String>,
    replies: VecDeque<Reply>,
}

/// The commit of every repository.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl FakeHub {
    /// Starts both.
    pub async fn start() -> Self {
        let storage = FileHost::signed().await;
        let state = Arc::new(Mutex::new(State::default()));
        let (inner, signer) = (Arc::clone(&state), storage.clone());
        let host = Host::start(move |seen| inner.lock().unwrap().answer(seen, &signer)).await;
        Self { host, storage, state }
    }

    /// Has a large file, which the storage sends.
    pub fn put(&self, repository: &str, path: &str, content: impl Into<Bytes>) {
        let content = content.into();
        self.storage.put(&format!("/{}", Sha256::of(&content)), content.clone());
        self.state.lock().unwrap().files.insert(format!("{repository}/{path}"), (content, true));
    }

    /// Has a small file, which it sends itself.
    pub fn put_small(&self, repository: &str, path: &str, content: impl Into<Bytes>) {
        self.state.lock().unwrap().files.insert(format!("{repository}/{path}"), (content.into(), false));
    }

    /// Lets some people alone have a repository.
    pub fn gate(&self, repository: &str, gate: Gate) {
        self.state.lock().unwrap().gates.insert(repository.to_owned(), gate);
    }

    /// Calls a repository by another name.
    pub fn rename(&self, from: &str, to: &str) {
        self.state.lock().unwrap().renamed.insert(from.to_owned(), to.to_owned());
    }

    /// Answers the next request like this.
    pub fn reply(&self, reply: Reply) {
        self.state.lock().unwrap().replies.push_back(reply);
    }
}

impl State {
    /// Repositories whose names have all words that are looked for, with all their files.
    fn search(&self, seen: &Seen) -> Reply {
        let query = seen.target.split("search=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or("");
        let query = query.replace('+', " ").to_lowercase();
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for name in self.files.keys() {
            let end = name.match_indices('/').nth(1).map_or(name.len(), |(end, _)| end);
            let (repository, file) = (&name[..end], name.get(end + 1..).unwrap_or_default());
            if query.split(' ').all(|word| repository.to_lowercase().contains(word)) {
                found.entry(repository).or_default().push(file);
            }
        }
        let entry = |(repository, files): (&str, Vec<&str>)| {
            let siblings: Vec<Value> = files.iter().map(|file| json!({"rfilename": file})).collect();
            let gated = if self.gates.contains_key(repository) { json!("auto") } else { json!(false) };
            json!({"id": repository, "downloads": 7, "gated": gated, "siblings": siblings})
        };
        let found: Vec<Value> = found.into_iter().map(entry).collect();
        Reply::new(200, json!(found).to_string()).with("content-type", "application/json")
    }

    fn answer(&mut self, seen: &Seen, storage: &FileHost) -> Reply {
        if let Some(reply) = self.replies.pop_front() {
            return reply;
        }
        let path = seen.path().trim_start_matches('/');
        if path == "api/models" {
            return self.search(seen);
        }
        let Some((repository, rest)) = path.split_once("/resolve/") else { return Reply::new(404, "") };
        if let Some(renamed) = self.renamed.get(repository) {
            return Reply::redirect(307, format!("/{renamed}/resolve/{rest}"));
        }
        let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let failed = |status, code: &str, words: &str| {
            Reply::new(status, "").with("x-error-code", code).with("x-error-message", words)
        };
        let allowed = |tokens: &[String]| token.is_some_and(|token| tokens.iter().any(|one| one == token));
        match self.gates.get(repository) {
            Some(Gate::Gated(tokens)) if !allowed(tokens) => {
                let status = if token.is_some() { 403 } else { 401 };
                return failed(status, "GatedRepo", "Access to this model is restricted");
            }
            Some(Gate::Private(tokens)) if !allowed(tokens) => {
                let status = if token.is_some() { 404 } else { 401 };
                return failed(status, "RepoNotFound", "Repository not found");
            }
            _ => {}
        }
        let (revision, file) = rest.split_once('/').unwrap_or((rest, ""));
        if !self.files.keys().any(|name| name.starts_with(&format!("{repository}/"))) {
            return failed(if token.is_some() { 404 } else { 401 }, "RepoNotFound", "Repository not found");
        }
        if !matches!(revision, "main" | COMMIT) {
            return failed(404, "RevisionNotFound", "Invalid rev id");
        }
        let Some((content, large)) = self.files.get(&format!("{repository}/{file}")) else {
            return failed(404, "EntryNotFound", "Entry not found");
        };
        if !large {
            // Git's hash, which is not that of the content alone.
            let etag = format!("\"{}\"", &Sha256::of(content).to_string()[..40]);
            return Reply::file(seen, content, &etag).with("x-repo-commit", COMMIT);
        }
        let digest = Sha256::of(content);
        Reply::redirect(302, storage.sign(&format!("/{digest}")))
            .with("x-repo-commit", COMMIT)
            .with("x-linked-etag", format!("\"{digest}\""))
            .with("x-linked-size", content.len().to_string())
    }
}
