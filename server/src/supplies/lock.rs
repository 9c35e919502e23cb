//! The project's lock: what is known of models and node packs beside the workflows.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use comfyport_needs::ProjectLock;

/// Where a project has its lock.
const LOCK: &str = "workflow_templates/comfyport.lock";

/// The lock at a path, or where a project has it; an empty one if it has none.
pub(crate) fn read_lock(path: Option<&Path>) -> Result<ProjectLock, String> {
    let usual = Path::new(LOCK);
    let Some(path) = path.or_else(|| usual.is_file().then_some(usual)) else {
        return Ok(ProjectLock::default());
    };
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    ProjectLock::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The lock as of now: it is read again when its file changed.
#[derive(Debug)]
pub(super) struct Locked {
    path: Option<PathBuf>,
    known: Mutex<(Option<SystemTime>, Arc<ProjectLock>)>,
}

impl Locked {
    /// A lock that is there must be one.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, String> {
        let known = (age(path.as_deref()), Arc::new(read_lock(path.as_deref())?));
        Ok(Self { path, known: Mutex::new(known) })
    }

    /// What it says. Where it has become unreadable, what it said before stands.
    pub(super) fn now(&self) -> Arc<ProjectLock> {
        let age = age(self.path.as_deref());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != age {
            known.0 = age;
            match read_lock(self.path.as_deref()) {
                Ok(lock) => known.1 = Arc::new(lock),
                Err(error) => tracing::error!(error, "the lock cannot be read; what it said before stands"),
            }
        }
        Arc::clone(&known.1)
    }
}

fn age(path: Option<&Path>) -> Option<SystemTime> {
    fs::metadata(path.unwrap_or(Path::new(LOCK))).and_then(|metadata| metadata.modified()).ok()
}
