//! Packs of a ComfyUI on this machine: planned, put in and taken out.

mod item;
mod prepare;
mod prove;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use comfyport_needs::LockedPack;
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    archive::ArchiveLimits,
    engine::Engine,
    git::{Git, GitError},
    installed::Installed,
    outcome::{Became, Outcome},
    place::{BadPlace, Place},
    plan::{Action, Plan},
    python::{Packages, Python, PythonError},
    registry::Registry,
    sources::Sources,
};

use item::Item;

/// What is done, and what is not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// How much an archive may hold.
    pub archive: ArchiveLimits,
    /// Whether `install.py` of packs is run.
    pub run_install_scripts: bool,
}

/// Installs packs into a ComfyUI on this machine.
#[derive(Debug)]
pub struct Installer {
    /// Where it is.
    pub place: Place,
    /// What clones are made with.
    pub git: Git,
    /// Where archives are from; `None`: packs that are locked at a version are not installed.
    pub registry: Option<Registry>,
    /// What requirements are installed with; `None`: packs that have any are not installed.
    pub python: Option<Python>,
    /// The ComfyUI that has to live with them; `None`: nothing is proved.
    pub engine: Option<Engine>,
    /// What else is done.
    pub settings: Settings,
}

/// Why nothing could be done at all.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The place cannot be read.
    #[error(transparent)]
    Place(#[from] BadPlace),
    /// Somebody else is at it.
    #[error("somebody else is installing there at this moment ({} is locked)", .0.display())]
    Busy(PathBuf),
    /// A folder beside `custom_nodes` cannot be used.
    #[error("{} cannot be written: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The Python of ComfyUI does not work.
    #[error(transparent)]
    Python(#[from] PythonError),
}

/// What is written down before anything is done, and again at the end.
#[derive(Serialize)]
struct Record<'r> {
    begun: &'r str,
    custom_nodes: &'r Path,
    installed: &'r [Installed],
    packages: Option<&'r Packages>,
    plan: &'r Plan,
    outcomes: Option<&'r [Outcome]>,
}

/// Where things are while work goes on. All of it is on the file system of the packs.
struct Rooms {
    begun: String,
    staging: TempDir,
    trash: PathBuf,
    record: PathBuf,
    lock: File,
}

impl Installer {
    /// What it takes for these packs to be there as they are locked. Nothing is changed.
    pub async fn plan_install(&self, locked: &[LockedPack]) -> Result<Plan, BadPlace> {
        let mut plan = Plan::install(&self.place.installed()?, locked, self.git.transports);
        for step in &mut plan.steps {
            let clone = self.place.custom_nodes().join(&step.folder);
            let is_clone = matches!(step.action, Action::Update { to: crate::Source::Git { .. }, .. });
            if is_clone && let Err(error) = self.git.is_untouched(&clone).await {
                step.action = Action::Conflict(error.to_string());
            }
        }
        Ok(plan)
    }

    /// What it takes for packs of these names, or for all that can be, to be at their newest; and how they would be
    /// locked then. Packs that are turned off stay as they are.
    pub async fn plan_update(&self, names: &[String]) -> Result<(Vec<LockedPack>, Plan), BadPlace> {
        let installed = self.place.installed()?;
        let sources = Sources { git: self.git.clone(), registry: self.registry.clone() };
        let (newest, refused) = sources.newest_of(&installed, names).await;
        let mut plan = self.plan_install(&newest).await?;
        plan.steps.extend(refused);
        Ok((newest, plan))
    }

    /// What it takes for packs of these names to be gone. Nothing is changed.
    pub fn plan_remove(&self, names: &[String]) -> Result<Plan, BadPlace> {
        Ok(Plan::remove(&self.place.installed()?, names))
    }

    /// Carries a plan out: one outcome for each step, in their order. What ComfyUI cannot live with is taken back.
    pub async fn carry_out(&self, plan: &Plan) -> Result<Vec<Outcome>, WorkError> {
        let mut items: Vec<Item> = plan.steps.iter().map(Item::new).collect();
        if plan.is_idle() {
            self.look_at(&mut items).await;
            self.mention_changes(&mut items).await;
            return Ok(items.into_iter().map(Item::into_outcome).collect());
        }
        let rooms = self.rooms()?;
        let installed = self.place.installed()?;
        let packages = match &self.python {
            Some(python) => Some(python.packages().await?),
            None => None,
        };
        let mut record = Record {
            begun: &rooms.begun,
            custom_nodes: self.place.custom_nodes(),
            installed: &installed,
            packages: packages.as_ref(),
            plan,
            outcomes: None,
        };
        write(&rooms.record, &record)?;
        self.look_at(&mut items).await;
        for item in items.iter_mut().filter(|item| item.is_open()) {
            if let Err(why) = self.prepare(item, &rooms).await {
                item.became = Some(Became::Failed(why));
            }
        }
        for item in items.iter_mut().filter(|item| item.is_open()) {
            if let Err(why) = self.apply(item).await {
                let left = self.undo(item).await;
                item.notes.extend(left);
                item.became = Some(Became::Failed(why));
            }
        }
        self.prove(&mut items).await;
        for item in &mut items {
            discard(item, &rooms);
        }
        self.mention_changes(&mut items).await;
        let outcomes: Vec<Outcome> = items.into_iter().map(Item::into_outcome).collect();
        record.outcomes = Some(&outcomes);
        write(&rooms.record, &record)?;
        Ok(outcomes)
    }

    /// Says of clones that were kept whether they are more than their commit.
    async fn mention_changes(&self, items: &mut [Item<'_>]) {
        for item in items.iter_mut().filter(|item| matches!(item.became, Some(Became::Kept))) {
            let clone = self.place.custom_nodes().join(&item.step.folder);
            // What is no clone has no changes that anybody knew of.
            if clone.join(".git").exists()
                && let Err(GitError::Changed(files)) = self.git.is_untouched(&clone).await
            {
                item.notes.push(format!("it is at its commit, and was changed by hand: {files}"));
            }
        }
    }

    fn rooms(&self) -> Result<Rooms, WorkError> {
        let room = |name: &str| {
            self.place.workshop(name).map_err(|error| WorkError::Io { path: name.into(), error })
        };
        let path = room("")?.join("lock");
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| WorkError::Io { path, error }
        };
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WorkError::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(WorkError::Io { path, error }),
        }
        let staging = room("staging")?;
        // Nobody else is here: whatever there is was left by somebody who was killed.
        for left in fs::read_dir(&staging).map_err(io(&staging))?.flatten() {
            // What cannot be removed takes room and does no harm.
            let _ = fs::remove_dir_all(left.path());
        }
        let begun = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3f").to_string();
        Ok(Rooms {
            staging: tempfile::tempdir_in(&staging).map_err(io(&staging))?,
            trash: room("trash")?,
            record: room("records")?.join(format!("{begun}.json")),
            begun,
            lock,
        })
    }
}

impl Rooms {
    /// Where something of a pack is put that is taken out.
    fn trash_for(&self, folder: &str, why: &str) -> PathBuf {
        self.trash.join(format!("{}-{}-{why}", self.begun, folder.replace('/', "_")))
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        // Closing it would not do while a process that is just being started by another thread still has a copy. What
        // cannot be unlocked is so when the last copy is closed.
        let _ = self.lock.unlock();
    }
}

/// Puts what did not stay into the trash, where somebody can look at it.
fn discard(item: &mut Item, rooms: &Rooms) {
    let took_back = matches!(item.became, Some(Became::RolledBack(_)));
    let left = item.change.as_ref().and_then(|change| change.left_over()).filter(|left| left.exists());
    let Some(left) = left.filter(|_| took_back) else { return };
    let trash = rooms.trash_for(&item.step.folder, "rolled-back");
    match fs::rename(left, &trash) {
        Ok(()) => item.notes.push(format!("what was taken out is in {}", trash.display())),
        Err(error) => item.notes.push(format!("what was taken out could not be kept: {error}")),
    }
}

fn write(path: &Path, record: &Record<'_>) -> Result<(), WorkError> {
    let io = |error| WorkError::Io { path: path.to_owned(), error };
    let text = serde_json::to_vec_pretty(record).map_err(|error| io(error.into()))?;
    let parent = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(io)?;
    io::Write::write_all(&mut file, &text).map_err(io)?;
    file.persist(path).map(drop).map_err(|error| io(error.error))
}
