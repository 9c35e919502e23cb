//! Plans to tidy up: made first, looked at, and then carried out.

use std::{collections::BTreeSet, fs};

use serde::Serialize;

use super::{Model, Shelf};
use crate::{Header, ModelName, PullError, link};

/// Folders that ComfyUI takes for one another.
const ALIKE: [[&str; 2]; 2] = [["diffusion_models", "unet"], ["text_encoders", "clip"]];

/// Folders whose content a file can be told to belong in, so that it is in the wrong one if it lies in another of them.
/// What lies in a folder of a node pack is where that pack looks for it.
const TOLD: [&str; 11] = [
    "checkpoints",
    "clip",
    "clip_vision",
    "controlnet",
    "diffusion_models",
    "embeddings",
    "loras",
    "style_models",
    "text_encoders",
    "unet",
    "vae",
];

/// What would be done to a models folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Planned>);

/// One thing that would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What.
    pub task: Task,
    /// The size of the file, in bytes.
    pub size: u64,
    /// How many bytes that sets free: none of a file that has other names as well.
    pub frees: u64,
    /// As which the file was seen. If it is another by then, nothing is done.
    seen: (i128, (u64, u64)),
}

/// What would be done to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// It is moved.
    Move {
        /// Where it is.
        #[serde(serialize_with = "as_text")]
        from: ModelName,
        /// Where it belongs.
        #[serde(serialize_with = "as_text")]
        to: ModelName,
    },
    /// It is removed.
    Remove {
        /// Where it is.
        #[serde(serialize_with = "as_text")]
        name: ModelName,
    },
}

fn as_text<S: serde::Serializer>(name: &ModelName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

impl Task {
    /// The file.
    pub fn name(&self) -> &ModelName {
        match self {
            Self::Move { from: name, .. } | Self::Remove { name } => name,
        }
    }
}

impl Plan {
    /// How many bytes it sets free.
    pub fn frees(&self) -> u64 {
        self.0.iter().map(|planned| planned.frees).sum()
    }
}

impl Planned {
    fn new(task: Task, model: &Model) -> Self {
        let frees = match task {
            Task::Remove { .. } if !model.symlink && model.links == 1 => model.size,
            _ => 0,
        };
        Self { task, size: model.size, frees, seen: (model.modified, model.inode) }
    }
}

impl Shelf {
    /// Moves what lies in the wrong folder, as far as the names of its tensors tell. Nothing is moved onto another file.
    pub fn organize(&self) -> Result<Plan, PullError> {
        let models = self.list()?;
        let mut taken: BTreeSet<ModelName> = models.iter().map(|model| model.name.clone()).collect();
        let mut plan = Plan::default();
        for model in &models {
            let folder = model.name.folder();
            if !TOLD.contains(&folder) || !matches!(model.name.extension().as_str(), "safetensors" | "sft") {
                continue;
            }
            // What cannot be read is not judged by its tensors.
            let Some(right) = Header::read(&model.path).ok().and_then(|header| header.folder()) else {
                continue;
            };
            if right == folder || ALIKE.iter().any(|pair| pair.contains(&right) && pair.contains(&folder)) {
                continue;
            }
            let to = ModelName::new(right, model.name.file())?;
            if taken.insert(to.clone()) {
                plan.0.push(Planned::new(Task::Move { from: model.name.clone(), to }, model));
            }
        }
        Ok(plan)
    }

    /// Removes what nobody needs. A file that is needed stays in whichever folder it lies: it may be found there too.
    pub fn cleanup(&self, needed: &[ModelName]) -> Result<Plan, PullError> {
        let last = |file: &str| file.rsplit('/').next().unwrap_or(file).to_owned();
        let files: BTreeSet<String> = needed.iter().map(|name| last(name.file())).collect();
        let models = self.list()?;
        let unneeded = models.iter().filter(|model| !files.contains(&last(model.name.file())));
        let remove = |model: &Model| Planned::new(Task::Remove { name: model.name.clone() }, model);
        Ok(Plan(unneeded.map(remove).collect()))
    }

    /// Carries a plan out. Each part of it has its own result; a file that changed since is left alone.
    pub fn carry_out(&self, plan: &Plan) -> Vec<Result<(), PullError>> {
        plan.0.iter().map(|planned| self.act(planned)).collect()
    }

    fn act(&self, planned: &Planned) -> Result<(), PullError> {
        let name = planned.task.name();
        let model = self.find(name).filter(|model| (model.modified, model.inode) == planned.seen);
        let model = model.ok_or_else(|| PullError::Stale { name: name.to_string() })?;
        // Where it is, by a way that does not leave the folder.
        let path = link::place(&self.root, name, self.links_may_leave)?;
        if path != model.path && !self.links_may_leave {
            return Err(PullError::Stale { name: name.to_string() });
        }
        match &planned.task {
            Task::Remove { .. } => fs::remove_file(&path).map_err(PullError::io(&path)),
            Task::Move { to, .. } => {
                use rustix::fs::{CWD, RenameFlags, renameat_with};
                let target = link::place(&self.root, to, self.links_may_leave)?;
                let moved = renameat_with(CWD, &path, CWD, &target, RenameFlags::NOREPLACE);
                moved.map_err(|error| match error {
                    rustix::io::Errno::EXIST => PullError::Conflict { path: target },
                    error => PullError::io(target)(error.into()),
                })
            }
        }
    }
}
