//! Which node packs workflows need, as the lock says, or else the workflows.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use comfyport_endpoint::Endpoint;
use comfyport_needs::{LockedPack, ProjectLock, same_repository};
use serde::Serialize;

use crate::{
    commands::lock::project::{LOCK, Project},
    supplies::read_lock,
};

/// Where a project has its workflows.
const WORKFLOWS: &str = "workflow_templates";

/// The packs that workflows need.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Those that can be installed: each at its pin.
    pub(crate) packs: Vec<LockedPack>,
    /// Those that cannot.
    pub(crate) loose: Vec<Loose>,
    /// The lock they are from, if there is one.
    pub(crate) lock: Option<PathBuf>,
}

/// A pack that is not installed, since nobody said exactly which it is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Loose {
    pub(crate) pack: String,
    pub(crate) classes: Vec<String>,
    pub(crate) workflows: Vec<String>,
    pub(crate) why: String,
    pub(crate) help: String,
}

impl Needed {
    /// What is needed by these workflows, or by all of them.
    pub(crate) fn gather(
        endpoints: &[&Endpoint],
        lock: Option<&Path>,
        workflows: &[String],
    ) -> Result<Self, String> {
        let usual = Path::new(WORKFLOWS).join(LOCK);
        let path = lock.map(Path::to_owned).or_else(|| usual.is_file().then_some(usual));
        let mut found = Self { lock: path, ..Self::default() };
        let mut known = BTreeSet::new();
        match &found.lock {
            Some(path) => {
                let lock = read_lock(Some(path))?;
                known.extend(lock.models.iter().flat_map(|model| model.workflows.iter().cloned()));
                found.add(lock.packs, &mut known, workflows);
            }
            None if Path::new(WORKFLOWS).is_dir() => found.infer(&mut known, workflows)?,
            None => {}
        }
        for endpoint in endpoints {
            known.insert(endpoint.path.to_string());
            if is_chosen(&endpoint.path, workflows) {
                found.add_compiled(endpoint);
            }
        }
        match workflows.iter().find(|path| !known.contains(*path)) {
            None => Ok(found),
            Some(missing) => Err(format!(
                "there is no workflow `{missing}`; `comfyport nodes list` names those that need packs"
            )),
        }
    }

    fn add(&mut self, packs: Vec<LockedPack>, known: &mut BTreeSet<String>, workflows: &[String]) {
        for mut pack in packs {
            known.extend(pack.workflows.iter().cloned());
            pack.workflows.retain(|path| is_chosen(path, workflows));
            if pack.workflows.is_empty() {
                continue;
            }
            if pack.pin().is_some() {
                self.packs.push(pack);
                continue;
            }
            self.loose.push(Loose {
                pack: pack.id,
                classes: pack.classes,
                workflows: pack.workflows,
                why: "no version or commit of it is known".to_owned(),
                help: "`comfyport lock --resolve` pins the newest one, or name one in a sidecar file, \
                       [node_packs.<id>] with `version`"
                    .to_owned(),
            });
        }
    }

    /// Without a lock: the workflows of the project, pinned as far as they say what they were saved with.
    fn infer(&mut self, known: &mut BTreeSet<String>, workflows: &[String]) -> Result<(), String> {
        let (needs, _) = Project::open(Path::new(WORKFLOWS))?.needs(None)?;
        self.add(ProjectLock::default().updated(&needs).packs, known, workflows);
        let chosen = |all: &mut dyn Iterator<Item = &String>| -> Vec<String> {
            all.filter(|path| is_chosen(path, workflows)).cloned().collect()
        };
        for pack in needs.packs.iter().filter(|pack| pack.is_ambiguous()) {
            let workflows = chosen(&mut pack.workflows.iter());
            if !workflows.is_empty() {
                self.loose.push(Loose {
                    pack: pack.id.clone(),
                    classes: pack.doubtful.clone(),
                    workflows,
                    why: format!("it is undecided: {} have these classes, too", pack.candidates.join(", ")),
                    help: "name one in a sidecar file, [node_packs.<id>] with `repository` and `classes`"
                        .to_owned(),
                });
            }
        }
        for (class, users) in &needs.unresolved {
            let workflows = chosen(&mut users.iter());
            if !workflows.is_empty() {
                self.loose.push(Loose {
                    pack: class.clone(),
                    classes: vec![class.clone()],
                    workflows,
                    why: "no node pack is known for this class".to_owned(),
                    help: "`comfyport lock --resolve` asks the Comfy Registry for it, or name one in a sidecar file"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// What was compiled in and is not spoken of yet: its pins are in the lock of the project that it was compiled from.
    fn add_compiled(&mut self, endpoint: &Endpoint) {
        for pack in &*endpoint.node_packs {
            let is_it = |id: &str, repository: Option<&String>| {
                let repositories = repository.zip(pack.repository.as_ref());
                id.eq_ignore_ascii_case(&pack.id)
                    || repositories.is_some_and(|(left, right)| same_repository(left, right))
            };
            let path = endpoint.path.to_string();
            let classes: Vec<String> = pack.classes.iter().map(ToString::to_string).collect();
            if let Some(locked) =
                self.packs.iter_mut().find(|locked| is_it(&locked.id, locked.repository.as_ref()))
            {
                merge(&mut locked.workflows, path);
                continue;
            }
            let named = |loose: &&mut Loose| {
                is_it(&loose.pack, None) || classes.iter().all(|class| loose.classes.contains(class))
            };
            if let Some(loose) = self.loose.iter_mut().find(named) {
                merge(&mut loose.workflows, path);
                continue;
            }
            let why = match &self.lock {
                Some(lock) => format!("{} does not pin it", lock.display()),
                None => "there is no lock that pins it".to_owned(),
            };
            self.loose.push(Loose {
                pack: pack.id.to_string(),
                classes,
                workflows: vec![path],
                why,
                help: "`comfyport lock --resolve` in the project pins it; --lock names its comfyport.lock"
                    .to_owned(),
            });
        }
    }
}

fn merge(workflows: &mut Vec<String>, path: String) {
    if !workflows.contains(&path) {
        workflows.push(path);
    }
}

fn is_chosen(path: &str, workflows: &[String]) -> bool {
    workflows.is_empty() || workflows.iter().any(|one| one == path)
}
