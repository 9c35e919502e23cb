//! ComfyUI-Manager, for a ComfyUI on whose machine nothing can be run. Each of its generations speaks otherwise, and none
//! says the truth about what it did: what it answers is never believed.

use std::{collections::BTreeMap, time::Duration};

use comfyport_comfyui::{Client, ClientError, ExtensionAnswer, ExtensionBody};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    installed::{Installed, Origin},
    plan::Source,
};

/// Between two looks at its queue.
const LOOK: Duration = Duration::from_millis(500);

/// Who we are, where it wants to know.
const CLIENT: &str = "comfyport";

/// The first version of the third generation in which what changes something is a `POST`.
const POSTS: (u64, u64) = (3, 40);

/// A ComfyUI-Manager.
#[derive(Debug, Clone)]
pub struct Manager {
    client: Client,
    generation: Generation,
    version: String,
}

/// Which ComfyUI-Manager it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Before 3.40: much of what changes something is a `GET`.
    Gets,
    /// 3.40 and later.
    Posts,
    /// 4, with its queue of tasks.
    Tasks,
    /// 4, started with `--enable-manager-legacy-ui`.
    Legacy,
}

/// Why a Manager did not do something.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// There is none.
    #[error(
        "ComfyUI-Manager does not answer there: install it, and start ComfyUI with `--enable-manager` if it is version 4"
    )]
    None,
    /// It could not be asked.
    #[error("ComfyUI-Manager: {0}")]
    Client(#[from] ClientError),
    /// It does not let it be done.
    #[error("ComfyUI-Manager forbids it: {0}")]
    Forbidden(&'static str),
    /// It does not take it.
    #[error("ComfyUI-Manager answered {status} to {route}: {said}")]
    Refused {
        /// Its route.
        route: String,
        /// Its status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// It answers something else than it should.
    #[error("ComfyUI-Manager answered what is not understood: {0}")]
    Answer(String),
    /// This generation cannot do it.
    #[error("{0}")]
    Cannot(&'static str),
    /// It did not become ready.
    #[error("ComfyUI-Manager is still at work after {0} s: look into the log of ComfyUI")]
    Late(u64),
}

/// What a Manager is asked to do.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    Install { pack: String, source: Source },
    Uninstall { pack: String, installed: Installed },
}

/// What a Manager said of tasks that went wrong, by pack. What it says nothing of may have gone wrong as well.
pub(crate) type Complaints = BTreeMap<String, String>;

impl Generation {
    /// What begins its routes.
    fn prefix(self) -> Option<&'static str> {
        matches!(self, Self::Tasks | Self::Legacy).then_some("v2")
    }

    /// What has to be changed so that packs of the registry can be installed.
    pub fn how_to_install(self) -> &'static str {
        match self {
            Self::Gets | Self::Posts => {
                "set `security_level = normal` (or `normal-`, `weak`) in its `config.ini`, in `user/__manager` or \
                 `user/default/ComfyUI-Manager` of ComfyUI, and restart ComfyUI"
            }
            Self::Tasks | Self::Legacy => {
                "start ComfyUI with `--listen 127.0.0.1` and reach it by a tunnel, or set `network_mode = \
                 personal_cloud` in `user/__manager/config.ini` of ComfyUI; `security_level` there must not be \
                 `strong`; restart ComfyUI afterwards"
            }
        }
    }

    /// What has to be changed so that clones can be installed.
    fn how_to_clone(self) -> &'static str {
        match self {
            Self::Gets => {
                "set `security_level = normal-` in its `config.ini` and start ComfyUI with `--listen 127.0.0.1` (or \
                 set `weak`, if it has to listen elsewhere), and restart ComfyUI"
            }
            Self::Posts => {
                "set `allow_git_url_install = true` (3.40: `security_level = normal-`) in its `config.ini`, start \
                 ComfyUI with `--listen 127.0.0.1`, and restart ComfyUI"
            }
            Self::Tasks | Self::Legacy => {
                "set `allow_git_url_install = true` in `user/__manager/config.ini` of ComfyUI, start it with \
                 `--listen 127.0.0.1` (or set `network_mode = personal_cloud`), and restart ComfyUI"
            }
        }
    }
}

impl Manager {
    /// Finds out which Manager a ComfyUI has.
    pub async fn detect(client: Client) -> Result<Self, ManagerError> {
        let get = |segments: &'static [&'static str]| {
            client.extension(Method::GET, segments, &[], ExtensionBody::None)
        };
        let said = get(&["v2", "manager", "version"]).await?;
        if said.status == 200 {
            let ui = get(&["v2", "manager", "is_legacy_manager_ui"]).await?;
            let legacy = serde_json::from_slice::<Value>(&ui.body)
                .is_ok_and(|said| said["is_legacy_manager_ui"] == true);
            let generation = if legacy { Generation::Legacy } else { Generation::Tasks };
            return Ok(Self { client, generation, version: text(&said) });
        }
        let said = get(&["manager", "version"]).await?;
        if said.status != 200 {
            return Err(ManagerError::None);
        }
        let version = text(&said);
        let generation = match numbers(&version) {
            Some(numbers) if numbers < POSTS => Generation::Gets,
            _ => Generation::Posts,
        };
        Ok(Self { client, generation, version })
    }

    /// Which it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Its version, as it says it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it says is installed, by name.
    pub async fn installed(&self) -> Result<Vec<Installed>, ManagerError> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            ver: Option<String>,
            #[serde(default)]
            cnr_id: Option<String>,
            #[serde(default)]
            aux_id: Option<String>,
            #[serde(default)]
            enabled: Option<bool>,
        }
        let said = self.ask(Method::GET, "customnode/installed", ExtensionBody::None).await?;
        let said: BTreeMap<String, Entry> =
            serde_json::from_slice(&said.body).map_err(|error| ManagerError::Answer(error.to_string()))?;
        let installed = said.into_iter().map(|(folder, entry)| {
            let version = entry.ver.unwrap_or_default();
            let is_commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
            let id = entry.cnr_id.filter(|id| !id.is_empty());
            let remote =
                entry.aux_id.filter(|id| !id.is_empty()).map(|id| format!("https://github.com/{id}"));
            let origin = match id {
                Some(id) if !is_commit && numbers(&version).is_some() => Origin::Registry { id, version },
                _ if is_commit || remote.is_some() => {
                    Origin::Git { commit: is_commit.then_some(version), remote }
                }
                _ => Origin::Folder,
            };
            let (linked, project) = (false, None);
            // It names versions that it put aside `name@version`.
            let name = folder.split('@').next().unwrap_or(&folder).to_owned();
            Installed { name, folder, enabled: entry.enabled != Some(false), linked, origin, project }
        });
        Ok(installed.collect())
    }

    /// Why it could not import a pack, if it knows.
    pub(crate) async fn import_failure(&self, source: &Source) -> Option<String> {
        let asked = match source {
            Source::Registry { id, .. } => json!({ "cnr_id": id }),
            Source::Git { repository, .. } => json!({ "url": repository.as_str() }),
        };
        let said = self.ask(Method::POST, "customnode/import_fail_info", json_body(&asked)).await.ok()?;
        let said: Value = serde_json::from_slice(&said.body).ok()?;
        let told = said["msg"].as_str().or_else(|| said["error"].as_str())?;
        Some(told.trim().to_owned())
    }

    /// Does tasks, and waits for `limit` until it is no longer at work. Answers what it complained about.
    pub(crate) async fn work(&self, tasks: &[Task], limit: Duration) -> Result<Complaints, ManagerError> {
        let mut complaints = Complaints::new();
        let mut queued: Vec<(String, String, &Task)> = Vec::new();
        for task in tasks {
            match task {
                Task::Install { pack, source: Source::Git { repository, commit } } => {
                    let url = format!("{repository}@{}", commit.as_str());
                    if let Err(error) = self.clone_at(&url).await {
                        complaints.insert(pack.clone(), error.to_string());
                    }
                }
                Task::Install { pack, .. } | Task::Uninstall { pack, .. } => {
                    queued.push((pack.clone(), Uuid::new_v4().to_string(), task));
                }
            }
        }
        if queued.is_empty() {
            return Ok(complaints);
        }
        self.change("manager/queue/reset").await?;
        if self.generation == Generation::Legacy {
            self.batch(&queued, &mut complaints).await?;
        } else {
            for (pack, id, task) in &queued {
                if let Err(error) = self.enqueue(id, task).await {
                    complaints.insert(pack.clone(), error.to_string());
                }
            }
            // A second start of what is at work is no error to it: 201.
            self.change("manager/queue/start").await?;
        }
        self.await_idle(limit).await?;
        if self.generation == Generation::Tasks {
            for (pack, id, _) in &queued {
                if let Some(complaint) = self.complaint(id).await? {
                    complaints.entry(pack.clone()).or_insert(complaint);
                }
            }
        }
        Ok(complaints)
    }

    /// Restarts the ComfyUI that it runs in. A connection that breaks is what that looks like.
    pub(crate) async fn reboot(&self) -> Result<(), ManagerError> {
        match self.change("manager/reboot").await {
            Ok(()) | Err(ManagerError::Client(ClientError::Transport(_) | ClientError::Timeout)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn clone_at(&self, url: &str) -> Result<(), ManagerError> {
        let body = match self.generation {
            Generation::Posts => json_body(&json!({ "url": url })),
            Generation::Gets | Generation::Legacy => ExtensionBody::Text(url.to_owned()),
            Generation::Tasks => {
                return Err(ManagerError::Cannot(
                    "ComfyUI-Manager 4 cannot install a commit: pin a version of the Comfy Registry, start ComfyUI \
                     with `--enable-manager-legacy-ui`, or install where ComfyUI's folder is",
                ));
            }
        };
        let done = self.ask(Method::POST, "customnode/install/git_url", body).await;
        match done {
            // After our patience it goes on cloning; whether that ends well is looked at afterwards.
            Ok(_) | Err(ManagerError::Client(ClientError::Timeout)) => Ok(()),
            Err(ManagerError::Forbidden(_)) => Err(ManagerError::Forbidden(self.generation.how_to_clone())),
            Err(error) => Err(error),
        }
    }

    async fn enqueue(&self, id: &str, task: &Task) -> Result<(), ManagerError> {
        let (route, body) = match (self.generation, task) {
            (Generation::Tasks, task) => ("manager/queue/task", tasked(id, task)?),
            (_, Task::Install { .. }) => ("manager/queue/install", wanted(id, task)?),
            (_, Task::Uninstall { .. }) => ("manager/queue/uninstall", wanted(id, task)?),
        };
        self.ask(Method::POST, route, json_body(&body)).await.map(drop)
    }

    async fn batch(
        &self,
        queued: &[(String, String, &Task)],
        complaints: &mut Complaints,
    ) -> Result<(), ManagerError> {
        let (mut install, mut uninstall) = (Vec::new(), Vec::new());
        for (_, id, task) in queued {
            let into = if matches!(task, Task::Install { .. }) { &mut install } else { &mut uninstall };
            into.push(wanted(id, task)?);
        }
        let body = json!({ "install": install, "uninstall": uninstall });
        let said = self.ask(Method::POST, "manager/queue/batch", json_body(&body)).await?;
        let said: Value = serde_json::from_slice(&said.body).unwrap_or_default();
        let failed = said["failed"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for failed in failed {
            let meant = |(pack, id, _): &&(String, String, &Task)| pack == failed || id == failed;
            let pack = queued.iter().find(meant).map_or(failed, |(pack, ..)| pack);
            let why = format!(
                "ComfyUI-Manager refused it; if it gives no other reason in the log of ComfyUI: {}",
                self.generation.how_to_install()
            );
            complaints.insert(pack.to_owned(), why);
        }
        Ok(())
    }

    async fn await_idle(&self, limit: Duration) -> Result<(), ManagerError> {
        #[derive(Deserialize)]
        struct Status {
            #[serde(default)]
            is_processing: bool,
            #[serde(default)]
            in_progress_count: u64,
            #[serde(default)]
            pending_count: u64,
        }
        let until = Instant::now() + limit;
        loop {
            let said = self.ask(Method::GET, "manager/queue/status", ExtensionBody::None).await?;
            let status: Status = serde_json::from_slice(&said.body)
                .map_err(|error| ManagerError::Answer(error.to_string()))?;
            if !status.is_processing && status.in_progress_count == 0 && status.pending_count == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(ManagerError::Late(limit.as_secs()));
            }
            sleep(LOOK).await;
        }
    }

    /// What it says went wrong with a task of its queue.
    async fn complaint(&self, id: &str) -> Result<Option<String>, ManagerError> {
        let segments = ["v2", "manager", "queue", "history"];
        let said =
            self.client.extension(Method::GET, &segments, &[("ui_id", id)], ExtensionBody::None).await?;
        let said: Value = serde_json::from_slice(&said.body).unwrap_or_default();
        let history = &said["history"];
        let entry = if history["ui_id"] == id { history } else { &history[id] };
        let status = entry["status"]["status_str"].as_str().unwrap_or("unknown");
        if status == "success" {
            return Ok(None);
        }
        let messages = entry["status"]["messages"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut said: Vec<&str> = messages.collect();
        said.extend(entry["result"].as_str().filter(|result| *result != status));
        let said = said.join("; ");
        Ok(Some(format!(
            "ComfyUI-Manager says {status}: {said}; if its log says that the security level is too low: {}",
            self.generation.how_to_install()
        )))
    }

    /// Asks for something that changes something, by the verb of its generation, or by the other one.
    async fn change(&self, route: &str) -> Result<(), ManagerError> {
        let (first, second) = match self.generation {
            Generation::Gets => (Method::GET, Method::POST),
            _ => (Method::POST, Method::GET),
        };
        match self.ask(first, route, ExtensionBody::None).await {
            Err(ManagerError::Refused { status: 405, .. }) => {
                self.ask(second, route, ExtensionBody::None).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    async fn ask(
        &self,
        method: Method,
        route: &str,
        body: ExtensionBody,
    ) -> Result<ExtensionAnswer, ManagerError> {
        let segments: Vec<&str> = self.generation.prefix().into_iter().chain(route.split('/')).collect();
        let answer = self.client.extension(method, &segments, &[], body).await?;
        match answer.status {
            200..=299 => Ok(answer),
            403 => Err(ManagerError::Forbidden(self.generation.how_to_install())),
            status => {
                let said = text(&answer).chars().take(300).collect();
                Err(ManagerError::Refused { route: route.to_owned(), status, said })
            }
        }
    }
}

fn json_body(value: &Value) -> ExtensionBody {
    ExtensionBody::Json(value.to_string())
}

/// What the third generation, and the fourth in its old dress, want to know of a task.
fn wanted(id: &str, task: &Task) -> Result<Value, ManagerError> {
    match task {
        Task::Install { source: Source::Registry { id: pack, version }, .. } => Ok(json!({
            "id": pack, "version": version, "selected_version": version, "channel": "default", "mode": "cache",
            "skip_post_install": false, "ui_id": id, "files": [], "repository": "", "pip": [],
        })),
        Task::Install { .. } => Err(ManagerError::Cannot("a clone is no task of its queue")),
        Task::Uninstall { installed, .. } => {
            let (pack, version, files) = match &installed.origin {
                Origin::Registry { id, version } => (id.as_str(), version.as_str(), Vec::new()),
                Origin::Git { remote, .. } => {
                    (installed.name.as_str(), "unknown", remote.iter().map(String::as_str).collect())
                }
                Origin::File | Origin::Folder => {
                    (installed.name.as_str(), "unknown", vec![installed.name.as_str()])
                }
            };
            Ok(json!({ "id": pack, "version": version, "ui_id": id, "files": files }))
        }
    }
}

/// What the fourth generation wants to know of a task.
fn tasked(id: &str, task: &Task) -> Result<Value, ManagerError> {
    let (kind, params) = match task {
        Task::Install { source: Source::Registry { id: pack, version }, .. } => (
            "install",
            json!({ "id": pack, "version": version, "selected_version": version, "mode": "remote",
                "channel": "default", "skip_post_install": false }),
        ),
        Task::Install { .. } => return Err(ManagerError::Cannot("a clone is no task of its queue")),
        Task::Uninstall { installed, .. } => {
            let is_known = matches!(installed.origin, Origin::Registry { .. });
            let name = if is_known { installed.id().unwrap_or(&installed.name) } else { &installed.name };
            ("uninstall", json!({ "node_name": name, "is_unknown": !is_known }))
        }
    };
    Ok(json!({ "ui_id": id, "client_id": CLIENT, "kind": kind, "params": params }))
}

fn text(answer: &ExtensionAnswer) -> String {
    String::from_utf8_lossy(&answer.body).trim().trim_matches('"').to_owned()
}

/// The first two numbers of a version such as `V3.39.2`.
fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.trim_start_matches(['v', 'V']).split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(numbers("V3.39.2"), Some((3, 39)));
        assert!(numbers("V3.9").unwrap() < POSTS && numbers("3.40").unwrap() >= POSTS);
        assert_eq!(numbers("unknown"), None);
    }
}
