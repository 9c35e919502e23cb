//! ComfyUI-Managers of each generation, which say that all went well.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use comfyport_comfyui::{Client, ClientConfig};
use comfyport_needs::LockedPack;
use comfyport_packs::{Became, Engine, Generation, ManagerError, Outcome, RemoteInstaller, Restart};
use serde_json::{Value, json};

use crate::{house::why, served::Server};

const LIMIT: Duration = Duration::from_secs(30);
const COMMIT: &str = "1111111111111111111111111111111111111111";

/// What a double is like, and what it has.
#[derive(Debug)]
struct Double {
    version: &'static str,
    legacy_ui: bool,
    /// Packs that it says it installs, and does not.
    lies: Vec<&'static str>,
    /// Packs that it installs at another version.
    errs: Vec<&'static str>,
    /// Packs that cannot be imported.
    broken: Vec<&'static str>,
    /// Whether its security level forbids everything.
    strict: bool,
    installed: BTreeMap<String, Value>,
    /// Folders that were there when ComfyUI started.
    loaded: Vec<String>,
    queue: Vec<Value>,
    history: BTreeMap<String, Value>,
    /// Looks at the queue until it is done.
    busy: usize,
    /// Looks at ComfyUI until it is there again.
    down: usize,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Double>>;

fn double(version: &'static str) -> Double {
    Double {
        version,
        legacy_ui: false,
        lies: Vec::new(),
        errs: Vec::new(),
        broken: Vec::new(),
        strict: false,
        installed: BTreeMap::new(),
        loaded: Vec::new(),
        queue: Vec::new(),
        history: BTreeMap::new(),
        busy: 0,
        down: 0,
        asked: Vec::new(),
    }
}

impl Double {
    fn is_four(&self) -> bool {
        self.version.starts_with("V4")
    }

    /// Whether what changes something is a `GET`.
    fn gets(&self) -> bool {
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
        let said = |value: Value| (StatusCode::OK, value.to_string()).into_response();
        let ok = || StatusCode::OK.into_response();
        let ours = path.strip_prefix("/v2");
        match (path, ours) {
            ("/system_stats", _) => {
                if self.down > 0 {
                    self.down -= 1;
                    if self.down == 0 {
                        self.loaded = self.installed.keys().cloned().collect();
                    }
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                return said(json!({ "system": {} }));
            }
            ("/object_info", _) => {
                let here = self.loaded.iter().filter(|folder| !self.broken.contains(&folder.as_str()));
                let classes = here.map(|folder| {
                    (format!("{folder} node"), json!({ "python_module": format!("custom_nodes.{folder}") }))
                });
                return said(Value::Object(classes.collect()));
            }
            _ => {}
        }
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
                if self.strict {
                    return StatusCode::FORBIDDEN.into_response();
                }
                let mut task = json();
                // Missing keys are an exception over there.
                if path.ends_with("uninstall") {
                    task["uninstall"] = json!(true);
                } else if task.get("channel").is_none() || task.get("mode").is_none() {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                self.queue.push(task);
                ok()
            }
            "/manager/queue/task" if tasks => {
                let task = json();
                let params = &task["params"];
                let id = params["id"].as_str().or_else(|| params["node_name"].as_str()).unwrap();
                self.queue.push(json!({ "id": id, "version": params["version"], "ui_id": task["ui_id"],
                    "uninstall": task["kind"] == "uninstall" }));
                ok()
            }
            "/manager/queue/batch" if self.legacy_ui => {
                let batch = json();
                let install = batch["install"].as_array().unwrap();
                if self.strict {
                    let failed: Vec<&Value> = install.iter().map(|task| &task["ui_id"]).collect();
                    return said(json!({ "failed": failed }));
                }
                self.queue.extend(install.iter().cloned());
                self.busy = 2;
                said(json!({ "failed": [] }))
            }
            "/manager/queue/start" => {
                self.busy = 2;
                if query.is_empty() { ok() } else { StatusCode::CREATED.into_response() }
            }
            "/manager/queue/status" => {
                let busy = self.busy > 0;
                self.busy = self.busy.saturating_sub(1);
                if !busy {
                    self.work();
                }
                said(
                    json!({ "total_count": 1, "done_count": 0, "in_progress_count": 0, "is_processing": busy }),
                )
            }
            "/manager/queue/history" if tasks => {
                let id = query.strip_prefix("ui_id=").unwrap();
                said(json!({ "history": { id: self.history[id] } }))
            }
            "/customnode/install/git_url" if !tasks => {
                if self.strict {
                    return (StatusCode::FORBIDDEN, r#"{"error":"allow_git_url_install"}"#).into_response();
                }
                let is_json = kind.starts_with("application/json");
                if is_json != (!self.gets() && !self.is_four()) {
                    return StatusCode::BAD_REQUEST.into_response();
                }
                let url = if is_json {
                    json()["url"].as_str().unwrap().to_owned()
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
                ok()
            }
            "/manager/reboot" => {
                self.down = 3;
                ok()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

/// A ComfyUI with such a Manager, and a client of it.
async fn serve(double: Double) -> (Server, Shared, RemoteInstaller) {
    let shared: Shared = Arc::new(Mutex::new(double));
    let double = Arc::clone(&shared);
    let answer = move |request: Request| {
        let double = Arc::clone(&double);
        async move {
            let (head, body) = request.into_parts();
            let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
            let kind = head.headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
            let mut double = double.lock().unwrap();
            double.asked.push(format!("{} {}", head.method, head.uri.path()));
            double.answer(&head.method, head.uri.path(), head.uri.query().unwrap_or_default(), kind, &body)
        }
    };
    let server = Server::new(Router::new().fallback(answer)).await;
    let url = format!("http://127.0.0.1:{}", server.port).parse().unwrap();
    let engine = Engine::new(Client::new(ClientConfig::new(url)).unwrap(), Some(Restart::Manager), LIMIT);
    let installer = RemoteInstaller::new(engine, LIMIT).await.unwrap();
    (server, shared, installer)
}

fn version(id: &str, version: &str) -> LockedPack {
    LockedPack {
        id: id.to_owned(),
        version: Some(version.to_owned()),
        classes: vec![format!("{id} node")],
        ..LockedPack::default()
    }
}

fn commit(id: &str) -> LockedPack {
    LockedPack {
        version: None,
        commit: Some(COMMIT.to_owned()),
        repository: Some(format!("https://github.com/o/{id}")),
        ..version(id, "")
    }
}

async fn install(installer: &RemoteInstaller, locked: &[LockedPack]) -> Vec<Outcome> {
    let plan = installer.plan_install(locked).await.unwrap();
    installer.carry_out(&plan).await.unwrap()
}

fn all() -> [Double; 4] {
    let legacy = Double { legacy_ui: true, ..double("V4.2.2") };
    [double("V3.39.2"), double("V3.41"), double("V4.2.2"), legacy]
}

#[tokio::test]
async fn each_generation_is_told_and_spoken_to() {
    let generations = [Generation::Gets, Generation::Posts, Generation::Tasks, Generation::Legacy];
    for (double, generation) in all().into_iter().zip(generations) {
        let told = double.version;
        let (_server, shared, installer) = serve(double).await;
        assert_eq!(installer.manager().generation(), generation);
        assert_eq!(installer.manager().version(), told);
        let done = install(&installer, &[version("good", "1.0.0")]).await;
        assert_eq!(
            done[0].became,
            Became::Installed,
            "{generation:?}: {done:?}\n{:?}",
            shared.lock().unwrap().asked
        );
        assert!(done[0].proved);
        let done = install(&installer, &[version("good", "1.0.0")]).await;
        assert_eq!(done[0].became, Became::Kept);
        let done = install(&installer, &[version("good", "1.2.0")]).await;
        assert_eq!(done[0].became, Became::Updated, "{generation:?}: {done:?}");
        let reboots =
            shared.lock().unwrap().asked.iter().filter(|asked| asked.ends_with("/manager/reboot")).count();
        assert_eq!(reboots, 2, "what is kept needs none");
    }
}

#[tokio::test]
async fn nothing_is_believed() {
    for double in all() {
        let double = Double { lies: vec!["lie"], errs: vec!["err"], broken: vec!["broken"], ..double };
        let (_server, _shared, installer) = serve(double).await;
        let packs = ["lie", "err", "broken", "good"].map(|id| version(id, "1.0.0"));
        let done = install(&installer, &packs).await;
        assert!(why(&done[0]).contains("said that it was done, and it is not there"), "{done:?}");
        assert!(why(&done[1]).contains("it is at 0.0.1"), "{done:?}");
        assert!(why(&done[2]).contains("could not import it: broken has no torch"), "{done:?}");
        assert_eq!(done[3].became, Became::Installed);
    }
}

#[tokio::test]
async fn commits_go_where_they_can() {
    for double in all() {
        let (_server, shared, installer) = serve(double).await;
        let done = install(&installer, &[commit("pack"), commit("registered")]).await;
        if installer.manager().generation() == Generation::Tasks {
            assert!(why(&done[0]).contains("cannot install a commit"), "{done:?}");
            assert!(
                !shared.lock().unwrap().asked.iter().any(|asked| asked.contains("reboot")),
                "for nothing"
            );
            continue;
        }
        assert_eq!(done[0].became, Became::Installed, "{done:?}");
        assert!(done[0].proved);
        assert!(why(&done[1]).contains("it is there as version 9.9.9"), "{done:?}");
    }
}

#[tokio::test]
async fn what_is_forbidden_names_the_setting() {
    for (double, setting) in
        all().into_iter().zip(["security_level", "security_level", "network_mode", "network_mode"])
    {
        let gets = double.gets();
        let (_server, _shared, installer) = serve(Double { strict: true, ..double }).await;
        let done = install(&installer, &[version("good", "1.0.0")]).await;
        assert!(why(&done[0]).contains(setting), "{done:?}");
        let generation = installer.manager().generation();
        if generation != Generation::Tasks {
            let done = install(&installer, &[commit("pack")]).await;
            let setting = if gets { "security_level = normal-" } else { "allow_git_url_install = true" };
            assert!(why(&done[0]).contains(setting), "{done:?}");
        }
    }
}

#[tokio::test]
async fn packs_are_removed() {
    for double in all().into_iter().take(3) {
        let (_server, shared, installer) = serve(double).await;
        install(&installer, &[version("one", "1.0.0"), version("two", "1.0.0")]).await;
        shared.lock().unwrap().lies = vec!["two"];
        let plan = installer.plan_remove(&["one".to_owned(), "two".to_owned()]).await.unwrap();
        let done = installer.carry_out(&plan).await.unwrap();
        assert_eq!(done[0].became, Became::Removed, "{done:?}");
        assert!(why(&done[1]).contains("it is still there"), "{done:?}");
    }
}

#[tokio::test]
async fn a_comfyui_without_a_manager_is_told() {
    let server = Server::new(Router::new()).await;
    let url = format!("http://127.0.0.1:{}", server.port).parse().unwrap();
    let engine = Engine::new(Client::new(ClientConfig::new(url)).unwrap(), None, LIMIT);
    assert!(matches!(RemoteInstaller::new(engine, LIMIT).await, Err(ManagerError::None)));
}
