//! Getting a pack ready beside its place, and into it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::fs::File;

use crate::{
    archive,
    change::{Change, take_along},
    installed,
    plan::{Action, Source},
    python::{difference, requirements},
};

use super::{Installer, Item, Rooms};

/// What a pack runs after it was installed, if it is let.
const SCRIPT: &str = "install.py";

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Installer {
    /// Fetches what a step needs, and looks whether it would fit. Nothing that ComfyUI sees is changed.
    pub(super) async fn prepare(&self, item: &mut Item<'_>, rooms: &Rooms) -> Result<(), String> {
        let folder = &item.step.folder;
        let place = self.place.custom_nodes().join(folder);
        let old = |why: &str| Some(rooms.trash_for(folder, why));
        let change = match &item.step.action {
            Action::Keep { .. } | Action::Conflict(_) => return Ok(()),
            Action::Remove { .. } => {
                let old = old("removed");
                item.notes.extend(old.as_deref().map(|old| format!("it is in {}", old.display())));
                Change::Swap { place, new: None, old }
            }
            Action::Update { to: Source::Git { repository, commit }, .. } => {
                self.git.is_untouched(&place).await.map_err(said)?;
                let before = self.git.head(&place).await.map_err(said)?;
                let after = self.git.obtain(&place, repository, commit, false).await.map_err(said)?;
                Change::CheckOut { clone: place, before, after }
            }
            Action::Install(Source::Git { repository, commit }) => {
                let new = staged(rooms, folder)?;
                self.git.clone_at(repository, commit, &new).await.map_err(said)?;
                Change::Swap { place, new: Some(new), old: None }
            }
            Action::Install(Source::Registry { id, version }) => {
                let new = staged(rooms, folder)?;
                let notes = self.unpack(id, version, &new).await?;
                item.notes.extend(notes);
                Change::Swap { place, new: Some(new), old: None }
            }
            Action::Update { to: Source::Registry { id, version }, .. } => {
                let new = staged(rooms, folder)?;
                let notes = self.unpack(id, version, &new).await?;
                item.notes.extend(notes);
                let tracking = installed::read(&place.join(".tracking")).unwrap_or_default();
                let tracked: Vec<&str> = tracking.lines().collect();
                take_along(&place, &tracked, &new).map_err(said)?;
                Change::Swap { place, new: Some(new), old: old("updated") }
            }
        };
        if let Change::Swap { new: Some(new), .. } = &change {
            self.rehearse(new).await?;
        }
        item.change = Some(change);
        Ok(())
    }

    /// Makes the change of a step, with all it asks of Python. If that fails, some of it may be done.
    pub(super) async fn apply(&self, item: &mut Item<'_>) -> Result<(), String> {
        let Some(change) = &item.change else { return Ok(()) };
        change.apply(&self.git).await.map_err(said)?;
        item.applied = true;
        let Some(folder) = item.place().filter(|_| !item.is_removal()) else { return Ok(()) };
        item.requirements = requirements(&folder);
        let has_script = folder.join(SCRIPT).is_file();
        let runs_script = has_script && self.settings.run_install_scripts;
        if has_script && !runs_script {
            let note = "it has an `install.py`, which was not run: look at it, and allow it if it is needed";
            if !item.notes.iter().any(|known| known == note) {
                item.notes.push(note.to_owned());
            }
        }
        if item.requirements.is_empty() && !runs_script {
            return Ok(());
        }
        let python = self.python.as_ref().ok_or(NO_PYTHON)?;
        let before = python.packages().await.map_err(said)?;
        let mut done = Ok(());
        if !item.requirements.is_empty() {
            done = python.install(&folder, self.place.folder(), &before).await.map_err(said);
        }
        if runs_script && done.is_ok() {
            done = python.run(SCRIPT, &folder).await.map_err(said);
            item.notes.push("its `install.py` was run".to_owned());
        }
        let after = python.packages().await.map_err(said)?;
        item.packages = difference(&before, &after);
        done
    }

    /// Takes the change of a step back. It answers what could not be.
    pub(super) async fn undo(&self, item: &mut Item<'_>) -> Vec<String> {
        let mut left = Vec::new();
        if let Some(change) = item.change.as_ref().filter(|_| item.applied) {
            match change.undo(&self.git).await {
                Ok(()) => item.applied = false,
                Err(error) => left.push(format!("it could not be taken back: {error}")),
            }
        }
        let packages = std::mem::take(&mut item.packages);
        if let Some(python) = self.python.as_ref().filter(|_| !packages.is_empty()) {
            let failed = python.revert(&packages).await;
            left.extend(failed.into_iter().map(|why| format!("a package of Python is not as it was: {why}")));
        }
        left
    }

    async fn rehearse(&self, folder: &Path) -> Result<(), String> {
        if requirements(folder).is_empty() {
            return Ok(());
        }
        let python = self.python.as_ref().ok_or(NO_PYTHON)?;
        let now = python.packages().await.map_err(said)?;
        python.rehearse(folder, self.place.folder(), &now).await.map_err(said)
    }

    /// Fetches a version of the registry into a folder. It answers what people should know.
    async fn unpack(&self, id: &str, version: &str, into: &Path) -> Result<Vec<String>, String> {
        let registry = self.registry.as_ref().ok_or("no registry is known, and it is locked at a version")?;
        let release = registry.release(id, version).await.map_err(said)?;
        let file = tempfile::tempfile_in(into.parent().unwrap_or(into)).map_err(said)?;
        let mut file = File::from_std(file);
        registry.download(&release, &mut file).await.map_err(said)?;
        let (file, to, limits) = (file.into_std().await, into.to_owned(), self.settings.archive);
        let names = tokio::task::spawn_blocking(move || archive::unpack(file, &to, limits));
        let names = names.await.map_err(said)?.map_err(said)?;
        let project =
            installed::project(into).ok_or("its archive has no `pyproject.toml` that says what it is")?;
        let same_id = project.name.eq_ignore_ascii_case(&release.id);
        if !same_id || project.version.as_deref() != Some(&release.version) {
            let is = project.version.unwrap_or_default();
            return Err(format!("its archive says that it is {} {is}, not {id} {version}", project.name));
        }
        // As ComfyUI-Manager writes it, which is to know what it may replace.
        fs::write(into.join(".tracking"), names.join("\n")).map_err(said)?;
        let mut notes = Vec::new();
        if release.deprecated {
            notes.push(format!("version {version} is deprecated in the Comfy Registry"));
        }
        if release.counted {
            notes.push(
                "the Comfy Registry counted this as an installation: it named no archive otherwise"
                    .to_owned(),
            );
        }
        Ok(notes)
    }
}

const NO_PYTHON: &str = "it asks for packages of Python, and the Python of ComfyUI is not known: name it";

fn staged(rooms: &Rooms, folder: &str) -> Result<PathBuf, String> {
    let new = rooms.staging.path().join(folder);
    fs::create_dir(&new).map_err(said)?;
    Ok(new)
}
