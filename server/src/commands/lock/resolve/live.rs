//! An engine on which the workflows run: which packs it has classes from, and at which versions.

use std::{collections::BTreeMap, time::Duration};

use comfyport_needs::{LockedPack, ProjectLock, same_repository};
use comfyport_packs::{Classes, Engine, Installed, Manager, Origin, Sources};
use comfyport_workflow::json::Value;

use super::Resolved;
use crate::{commands::target::Target, say};

/// What an engine says of itself.
pub(super) struct Live {
    name: String,
    version: Option<String>,
    python: Option<String>,
    pub(super) classes: Classes,
    installed: Vec<Installed>,
    /// The repositories of its folders, as far as they are known.
    pub(super) folders: BTreeMap<String, String>,
}

impl Live {
    /// Asks an engine, and its ComfyUI-Manager if there is one.
    pub(super) async fn ask(target: Target, sources: &Sources) -> Result<Self, String> {
        let Target { name, client, .. } = target;
        let said = |error: &dyn std::fmt::Display| format!("engine {name}: {error}");
        let stats = client.system_stats().await.map_err(|error| said(&error))?;
        let said_of = |key: &str| {
            let said = stats.get("system").and_then(|system| system.get(key)).and_then(Value::as_str)?;
            // Python says besides how it was built.
            said.split_whitespace().next().filter(|version| is_version(version)).map(str::to_owned)
        };
        let (version, python) = (said_of("comfyui_version"), said_of("python_version"));
        // It is never restarted.
        let engine = Engine::new(client.clone(), None, Duration::ZERO);
        let classes = engine.classes().await.map_err(|error| said(&error))?;
        let installed = match Manager::detect(client).await {
            Ok(manager) => manager.installed().await,
            Err(error) => Err(error),
        };
        let installed = installed.unwrap_or_else(|error| {
            say::line(format_args!(
                "warning: what is installed on {name} is known by folders alone: {error}"
            ));
            Vec::new()
        });
        let mut folders = BTreeMap::new();
        for one in &installed {
            let repository = match &one.origin {
                Origin::Git { remote, .. } => remote.clone(),
                Origin::Registry { id, .. } => sources.repository(id).await,
                Origin::File | Origin::Folder => None,
            };
            folders.extend(repository.map(|repository| (one.folder.clone(), repository)));
        }
        Ok(Self { name, version, python, classes, installed, folders })
    }

    /// What is not pinned yet is pinned as it is there; and the versions of ComfyUI and Python, unless somebody named them.
    pub(super) fn pin(&self, lock: &mut ProjectLock, resolved: &mut Resolved) {
        let name = &self.name;
        if let (None, Some(version)) = (&lock.comfyui, &self.version) {
            resolved.found.push(format!("ComfyUI {version}, as engine {name} has it"));
            lock.comfyui = Some(version.clone());
        }
        if let (None, Some(python)) = (&lock.python, &self.python) {
            resolved.found.push(format!("Python {python}, as engine {name} has it"));
            lock.python = Some(python.clone());
        }
        for pack in lock.packs.iter_mut().filter(|pack| pack.pin().is_none()) {
            let Some(there) = self.installed.iter().find(|one| one.enabled && self.is_it(one, pack)) else {
                continue;
            };
            match &there.origin {
                Origin::Registry { id, version } => {
                    pack.id.clone_from(id);
                    pack.version = Some(version.clone());
                }
                Origin::Git { commit: Some(commit), remote } => {
                    pack.commit = Some(commit.clone());
                    pack.repository = pack.repository.take().or_else(|| remote.clone());
                }
                _ => continue,
            }
            resolved.found.push(format!("node pack {}: {}, as engine {name} has it", pack.id, there.at()));
        }
    }

    fn is_it(&self, installed: &Installed, pack: &LockedPack) -> bool {
        let repositories = self.folders.get(&installed.folder).zip(pack.repository.as_ref());
        repositories.is_some_and(|(left, right)| same_repository(left, right))
            || installed.id().is_some_and(|id| id.eq_ignore_ascii_case(&pack.id))
    }

    /// The pack that it has a class from.
    pub(super) fn owner(&self, class: &str) -> Option<LockedPack> {
        let folder = self.classes.module(class)?.strip_prefix("custom_nodes.")?;
        let pack = LockedPack { id: folder.to_owned(), ..LockedPack::default() };
        let Some(there) = self.installed.iter().find(|one| one.folder == folder) else { return Some(pack) };
        Some(match there.origin.clone() {
            Origin::Registry { id, version } => LockedPack { id, version: Some(version), ..pack },
            Origin::Git { commit, remote } => LockedPack { commit, repository: remote, ..pack },
            Origin::File | Origin::Folder => pack,
        })
    }
}

/// Whether it may stand in a file of ours.
fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}
