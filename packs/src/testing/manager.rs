//! ComfyUI-Managers of each generation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Server;

/// What a Manager is like, and what it has. It says that all went well, whatever it did.
#[derive(Debug, Default)]
pub struct FakeManager {
    /// What it says its version is. From it follows how it is spoken to.
    pub version: &'static str,
    /// Whether it is started with its former interface.
    pub legacy_ui: bool,
    /// Packs that it says it installs, and does not.
    pub lies: Vec<&'static str>,
    /// Packs that it installs at another version.
    pub errs: Vec<&'static str>,
    /// Packs that cannot be imported.
    pub broken: Vec<&'static str>,
    /// Whether its security level forbids everything.
    pub strict: bool,
    /// What it says is installed, by folder.
    pub installed: BTreeMap<String, Value>,
    /// What was asked of it.
    pub asked: Vec<String>,
    /// Folders that were there when ComfyUI started.
    pub loaded: Vec<String>,
    /// Tasks that wait.
    pub queue: Vec<Value>,
    /// What became of tasks.
    pub history: BTreeMap<String, Value>,
    /// Looks at the queue until it is done.
    pub busy: usize,
    /// Looks at ComfyUI until it is there again.
    pub down: usize,
}

/// A Manager that is shared with its server.
pub type SharedManager = Arc<Mutex<FakeManager>>;

impl FakeManager {
    /// One of a version, such as `V3.39.2`.
    pub fn new(version: &'static str) -> Self {
        Self { version, ..Self::default() }
    }

    /// Serves it, with the ComfyUI that it runs in.
    pub async fn serve(self) -> (Server, SharedManager) {
        let shared: SharedManager = Arc::new(Mutex::new(self));
        let double = Arc::clone(&shared);
        let answer = move |request: Request| {
            let double = Arc::clone(&double);
            async move {
                let (head, body) = request.into_parts();
                let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
                let kind = head.headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
                let mut double = double.lock().unwrap();
                double.asked.push(format!("{} {}", head.method, head.uri.path()));
                double.answer(
                    &head.method,
                    head.uri.path(),
                    head.uri.query().unwrap_or_default(),
                    kind,
                    &body,
                )
            }
        };
        (Server::new(Router::new().fallback(answer)).await, shared)
    }

    fn is_four(&self) -> bool {
        self.version.starts_with("V4")
    }

    /// Whether what changes something is a `GET`.
    pub fn gets(&self) -> bool {
        self.version.starts_with("V3.3")
    }

    fn install(&mut self, id: &str, version: &str) {
        if self.lies.contains(&id) {
            return;
        }
        let version = if self.errs.contains(&id) { "0.0.1" } else { version };
        self.installed
            .insert(id.to_owned(), json!({ "ver": version, "cnr_id": id, "aux_id": null, "enabled": true }));
    }

    fn work(&mut self) {
        for task in std::mem::take(&mut self.queue) {
            let id = task["id"].as_str().unwrap().to_owned();
            if task["uninstall"] == true {
                if !self.lies.contains(&id.as_str()) {
                    self.installed.remove(&id);
                }
            } else {
                self.install(&id, task["version"].as_str().unwrap());
            }
            let failed = self.is_four() && self.strict;
            if failed {
                self.installed.remove(&id);
            }
            let status = if failed { "failed" } else { "success" };
            let ui = task["ui_id"].as_str().unwrap().to_owned();
            let messages = if failed { json!(["security level"]) } else { json!([]) };
            self.history.insert(
                ui.clone(),
                json!({ "ui_id": ui, "kind": "install", "result": status,
                    "status": { "status_str": status, "completed": true, "messages": messages } }),
            );
        }
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, kind: &str, body: &[u8]) -> Response {
        let json = || serde_json::from_slice::<Value>(body).unwrap();
        let ok = || StatusCode::OK.into_response();
        match path {
            "/system_stats" => return self.stats(),
            "/object_info" => return self.definitions(),
            _ => {}
        }
        let ours = path.strip_prefix("/v2");
        if ours.is_some() != self.is_four() {
            return StatusCode::NOT_FOUND.into_response();
        }
        let path = ours.unwrap_or(path);
        // What these are asked by is what tells the third generations apart.
        let changes = matches!(path, "/manager/queue/reset" | "/manager/queue/start" | "/manager/reboot");
        if changes && (method == Method::GET) != self.gets() {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        let simple = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
        if changes && !self.gets() && simple.iter().any(|simple| kind.starts_with(simple)) {
            return StatusCode::BAD_REQUEST.into_response();
        }
        let tasks = self.is_four() && !self.legacy_ui;
        match path {
            "/manager/version" => self.version.into_response(),
            "/manager/is_legacy_manager_ui" => said(json!({ "is_legacy_manager_ui": self.legacy_ui })),
            "/customnode/installed" => said(json!(self.installed)),
            "/customnode/import_fail_info" => {
                let id = json()["cnr_id"].as_str().unwrap_or_default().to_owned();
                if self.broken.contains(&id.as_str()) {
                    return said(json!({ "msg": format!("{id} has no torch"), "traceback": "…" }));
                }
                StatusCode::BAD_REQUEST.into_response()
            }
            "/manager/queue/reset" => {
                self.queue.clear();
                ok()
            }
            "/manager/queue/install" | "/manager/queue/uninstall" if !self.is_four() => {
                self.queue_one(json(), path.ends_with("uninstall"))
            }
            "/manager/queue/task" if tasks => {
                let task = json();
                let params = &task["params"];
                let id = params["id"].as_str().or_else(|| params["node_name"].as_str()).unwrap();
                self.queue.push(json!({ "id": id, "version": params["version"], "ui_id": task["ui_id"],
                    "uninstall": task["kind"] == "uninstall" }));
                ok()
            }
            "/manager/queue/batch" if self.legacy_ui => self.queue_all(json()["install"].as_array().unwrap()),
            "/manager/queue/start" => {
                self.busy = 2;
                if query.is_empty() { ok() } else { StatusCode::CREATED.into_response() }
            }
            "/manager/queue/status" => self.queue_status(),
            "/manager/queue/history" if tasks => {
                let id = query.strip_prefix("ui_id=").unwrap();
                said(json!({ "history": { id: self.history[id] } }))
            }
            "/customnode/install/git_url" if !tasks => self.install_from_git(kind, body),
            "/manager/reboot" => {
                self.down = 3;
                ok()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    /// Of ComfyUI, which is away for a while after a restart.
    fn stats(&mut self) -> Response {
        if self.down == 0 {
            return said(json!({ "system": {} }));
        }
        self.down -= 1;
        if self.down == 0 {
            self.loaded = self.installed.keys().cloned().collect();
        }
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    /// Of ComfyUI: what it loaded when it started.
    fn definitions(&self) -> Response {
        let here = self.loaded.iter().filter(|folder| !self.broken.contains(&folder.as_str()));
        let classes = here.map(|folder| {
            (format!("{folder} node"), json!({ "python_module": format!("custom_nodes.{folder}") }))
        });
        said(Value::Object(classes.collect()))
    }

    fn queue_one(&mut self, mut task: Value, uninstall: bool) -> Response {
        if self.strict {
            return StatusCode::FORBIDDEN.into_response();
        }
        // Missing keys are an exception over there.
        if uninstall {
            task["uninstall"] = json!(true);
        } else if task.get("channel").is_none() || task.get("mode").is_none() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        self.queue.push(task);
        StatusCode::OK.into_response()
    }

    fn queue_all(&mut self, tasks: &[Value]) -> Response {
        if self.strict {
            let failed: Vec<&Value> = tasks.iter().map(|task| &task["ui_id"]).collect();
            return said(json!({ "failed": failed }));
        }
        self.queue.extend(tasks.iter().cloned());
        self.busy = 2;
        said(json!({ "failed": [] }))
    }

    fn queue_status(&mut self) -> Response {
        let busy = self.busy > 0;
        self.busy = self.busy.saturating_sub(1);
        if !busy {
            self.work();
        }
        said(json!({ "total_count": 1, "done_count": 0, "in_progress_count": 0, "is_processing": busy }))
    }

    fn install_from_git(&mut self, kind: &str, body: &[u8]) -> Response {
        if self.strict {
            return (StatusCode::FORBIDDEN, r#"{"error":"allow_git_url_install"}"#).into_response();
        }
        let is_json = kind.starts_with("application/json");
        if is_json != (!self.gets() && !self.is_four()) {
            return StatusCode::BAD_REQUEST.into_response();
        }
        let url = if is_json {
            serde_json::from_slice::<Value>(body).unwrap()["url"].as_str().unwrap().to_owned()
        } else {
            String::from_utf8(body.to_vec()).unwrap()
        };
        let (url, commit) = url.rsplit_once('@').unwrap();
        let name = url.rsplit('/').next().unwrap();
        if name == "registered" {
            // A repository that the registry knows is installed at its latest version, whatever was said.
            self.install(name, "9.9.9");
        } else {
            let aux = url.strip_prefix("https://github.com/").unwrap();
            let entry = json!({ "ver": commit, "cnr_id": "", "aux_id": aux, "enabled": true });
            self.installed.insert(name.to_owned(), entry);
        }
        StatusCode::OK.into_response()
    }
}

fn said(value: Value) -> Response {
    (StatusCode::OK, value.to_string()).into_response()
}
