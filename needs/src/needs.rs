//! All that workflows need, together.

use std::collections::{BTreeMap, BTreeSet};

use comfyport_workflow::Endpoint;
use serde::Serialize;

use crate::{
    hidden,
    list::ModelList,
    lock::{LockedPack, ProjectLock},
    manager::ManagerModels,
    model::{Evidence, ModelNeed, Use},
    pack::{PackNeed, plain},
};

/// What workflows need to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Models by folder and file.
    pub models: Vec<ModelNeed>,
    /// Packs by id.
    pub packs: Vec<PackNeed>,
    /// Classes that no known pack has, with the workflows that need them.
    pub unresolved: BTreeMap<String, BTreeSet<String>>,
}

impl Needs {
    /// What inference found in each of these.
    pub fn of<'e>(endpoints: impl IntoIterator<Item = &'e Endpoint>) -> Self {
        let mut models: BTreeMap<(String, String), ModelNeed> = BTreeMap::new();
        let mut packs: BTreeMap<String, PackNeed> = BTreeMap::new();
        let mut unresolved: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for endpoint in endpoints {
            for found in &endpoint.models {
                let key = (found.folder.clone(), found.file.clone());
                let model = models.entry(key).or_insert_with(|| ModelNeed::new(&found.folder, &found.file));
                model.uses.push(Use {
                    workflow: endpoint.path.clone(),
                    node: found.node.clone(),
                    input: found.input.clone(),
                });
                if let Some(url) = &found.url {
                    model.add_source(url, Evidence::Workflow);
                }
                model.sha256 = model.sha256.take().or_else(|| found.sha256.clone());
                model.fetched_by_node |= found.auto_download;
                if let Some(licence) = &mut model.licence {
                    licence.accepted |= found.licence_accepted;
                }
            }
            for found in &endpoint.node_packs {
                let pack = packs.entry(found.id.to_lowercase()).or_insert_with(|| PackNeed {
                    id: found.id.clone(),
                    repository: None,
                    version: None,
                    classes: Vec::new(),
                    workflows: Vec::new(),
                    doubtful: Vec::new(),
                    candidates: Vec::new(),
                    evidence: found.evidence.clone(),
                });
                for class in &found.classes {
                    // Whoever is sure settles it for the others.
                    if !found.doubtful.contains(class) {
                        pack.doubtful.retain(|doubtful| doubtful != class);
                    } else if !pack.classes.contains(class) {
                        pack.doubtful.push(class.clone());
                    }
                }
                for other in &found.candidates {
                    if !pack.candidates.contains(other) {
                        pack.candidates.push(other.clone());
                    }
                }
                pack.repository = pack.repository.take().or_else(|| found.repository.clone());
                pack.version = newest(pack.version.take(), found.version.clone());
                pack.classes.extend(found.classes.iter().cloned());
                pack.workflows.push(endpoint.path.clone());
            }
            for class in &endpoint.unknown_classes {
                unresolved.entry(class.clone()).or_default().insert(endpoint.path.clone());
            }
        }
        let mut needs =
            Self { models: models.into_values().collect(), packs: packs.into_values().collect(), unresolved };
        for pack in &mut needs.packs {
            pack.classes.sort_unstable();
            pack.classes.dedup();
            pack.settle();
        }
        needs.tell_hidden();
        needs
    }

    /// What packs are known to fetch when they first run.
    fn tell_hidden(&mut self) {
        for weights in hidden::known() {
            let mut uses = Vec::new();
            for pack in &self.packs {
                let is_it =
                    pack.repository.as_deref().is_some_and(|one| plain(one) == plain(&weights.repository));
                let has_class = weights.classes.is_empty()
                    || pack.classes.iter().any(|class| weights.classes.contains(class));
                if is_it && has_class {
                    uses.extend(pack.workflows.iter().map(|workflow| Use {
                        workflow: workflow.clone(),
                        node: String::new(),
                        input: String::new(),
                    }));
                }
            }
            if uses.is_empty() {
                continue;
            }
            for file in &weights.files {
                if self.models.iter().any(|model| model.name() == file.name()) {
                    continue;
                }
                let mut model = ModelNeed::new(&weights.folder, &file.file);
                model.uses.clone_from(&uses);
                model.fetched_by_node = true;
                if let Some(url) = &file.url {
                    model.add_source(url, Evidence::Hidden);
                }
                self.models.push(model);
            }
        }
        self.models.sort_by(|left, right| (&left.folder, &left.file).cmp(&(&right.folder, &right.file)));
    }

    /// Lays the project's own list over it.
    pub fn learn_list(&mut self, list: &ModelList) {
        for model in &mut self.models {
            let Some(listed) = list.find(&model.folder, &model.file) else { continue };
            for url in &listed.urls {
                model.add_source(url, Evidence::Project);
            }
            model.sha256 = listed.sha256.clone().or_else(|| model.sha256.take());
            model.size = listed.size.or(model.size);
            if model.folder == UNKNOWN
                && let Some(folder) = &listed.folder
            {
                model.folder.clone_from(folder);
            }
            if let Some(licence) = &mut model.licence {
                licence.accepted |= listed.licence_accepted;
            }
        }
    }

    /// Looks models that nobody nearer knows a source of up in a list of ComfyUI-Manager. It has no hashes, so what it
    /// says is weaker than what anybody else says.
    pub fn learn_manager(&mut self, list: &ManagerModels) {
        for model in self.models.iter_mut().filter(|model| model.sources.is_empty()) {
            for url in list.find(&model.folder, model.name()) {
                model.add_source(url, Evidence::Manager);
            }
        }
    }

    /// Settles packs by the modules of a live engine: `custom_nodes.<folder>` of each class it has.
    /// `folders` tells the repository or registry id of an installed folder, where that is known.
    pub fn learn_modules<'m>(
        &mut self,
        module_of: impl Fn(&str) -> Option<&'m str>,
        folders: &BTreeMap<String, String>,
    ) {
        for pack in self.packs.iter_mut().filter(|pack| pack.is_ambiguous()) {
            let mut owners = BTreeSet::new();
            for class in &pack.classes {
                let folder = module_of(class).and_then(|module| module.strip_prefix("custom_nodes."));
                owners.extend(folder.map(|folder| folder.split('.').next().unwrap_or(folder)));
            }
            let [folder] = owners.into_iter().collect::<Vec<_>>()[..] else { continue };
            let origin = folders.get(folder);
            let known: Vec<&String> = pack.repository.iter().chain(&pack.candidates).collect();
            let is_named = |repository: &&&String| {
                origin.map_or_else(
                    || plain(repository).rsplit('/').next() == Some(&folder.to_ascii_lowercase()),
                    |origin| plain(repository) == plain(origin),
                )
            };
            let Some(repository) = known.iter().find(is_named).map(|one| (*one).clone()) else { continue };
            let evidence = format!("the engine has these classes from custom_nodes/{folder}");
            pack.decide(last_part(&repository), repository, evidence);
        }
    }

    /// Takes over what somebody decided when a lock was written: of several packs that have a class, the one that is
    /// locked for it.
    pub fn learn_lock(&mut self, lock: &ProjectLock) {
        for pack in self.packs.iter_mut().filter(|pack| pack.is_ambiguous()) {
            let is_candidate = |locked: &&LockedPack| {
                let known = pack.repository.iter().chain(&pack.candidates);
                let named = locked
                    .repository
                    .as_deref()
                    .is_some_and(|one| known.clone().any(|other| plain(other) == plain(one)));
                named && pack.doubtful.iter().all(|class| locked.classes.contains(class))
            };
            let locked = lock.packs.iter().find(is_candidate);
            if let Some((locked, repository)) = locked.and_then(|one| Some((one, one.repository.clone()?))) {
                pack.decide(locked.id.clone(), repository, "the lock".to_owned());
            }
        }
    }

    /// Models that nobody knows a source of, and that no node fetches by itself.
    pub fn sourceless(&self) -> impl Iterator<Item = &ModelNeed> {
        self.models.iter().filter(|model| model.sources.is_empty() && !model.fetched_by_node)
    }
}

/// The folder of models whose folder was not found out.
pub(crate) const UNKNOWN: &str = "unknown";

pub(crate) fn last_part(repository: &str) -> String {
    let plain = repository.trim_end_matches('/');
    let plain = plain.strip_suffix(".git").unwrap_or(plain);
    plain.rsplit('/').next().unwrap_or(plain).to_owned()
}

/// The later of two versions, if both are numbers; else the first.
fn newest(left: Option<String>, right: Option<String>) -> Option<String> {
    let (Some(left), Some(right)) = (&left, &right) else { return left.or(right) };
    let number = |text: &str| -> Option<Vec<u64>> {
        text.trim_start_matches('v').split('.').map(|part| part.parse().ok()).collect()
    };
    let later = number(left).zip(number(right)).is_some_and(|(left, right)| right > left);
    Some(if later { right.clone() } else { left.clone() })
}
