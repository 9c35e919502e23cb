//! A ComfyUI on this machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::installed::{self, Installed};

/// Where a virtual environment of ComfyUI lies, below its folder or beside it.
const PYTHONS: [&str; 7] = [
    "venv/bin/python",
    ".venv/bin/python",
    "../venv/bin/python",
    "../.venv/bin/python",
    "venv/Scripts/python.exe",
    ".venv/Scripts/python.exe",
    "../python_embeded/python.exe",
];

/// The folder, below that of ComfyUI, for what is on its way in or out. It lies beside `custom_nodes`, so that a pack
/// gets in and out by being renamed, and ComfyUI does not look into it.
const WORKSHOP: &str = ".comfyport";

/// A ComfyUI on this machine: its folder and its Python.
#[derive(Debug, Clone)]
pub struct Place {
    folder: PathBuf,
    custom_nodes: PathBuf,
    python: Option<PathBuf>,
}

/// A folder in which nothing can be installed.
#[derive(Debug, thiserror::Error)]
pub enum BadPlace {
    /// ComfyUI is not there.
    #[error(
        "{} has no folder `custom_nodes`: give the folder of ComfyUI, or the one it was started with as `--base-directory`", .0.display()
    )]
    NoCustomNodes(PathBuf),
    /// The Python that was named is not there.
    #[error("{} is no file: give the Python that ComfyUI runs with", .0.display())]
    NoPython(PathBuf),
    /// Something cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Place {
    /// The ComfyUI whose `custom_nodes` are in `folder`. It runs with `python`, if that is given, or else with that of a
    /// virtual environment in the folder or beside it.
    pub fn new(folder: &Path, python: Option<&Path>) -> Result<Self, BadPlace> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |error| BadPlace::Unreadable { path, error }
        };
        let custom_nodes = folder.join("custom_nodes");
        if !custom_nodes.is_dir() {
            return Err(BadPlace::NoCustomNodes(folder.to_owned()));
        }
        // Where it is a link, packs are renamed into what it leads to.
        let custom_nodes = custom_nodes.canonicalize().map_err(unreadable(&custom_nodes))?;
        let folder = folder.canonicalize().map_err(unreadable(folder))?;
        let python = match python {
            // Not canonical: a virtual environment's Python is a link, and what it leads to knows nothing of it.
            Some(python) if python.is_file() => {
                Some(std::path::absolute(python).map_err(unreadable(python))?)
            }
            Some(python) => return Err(BadPlace::NoPython(python.to_owned())),
            None => PYTHONS.iter().map(|python| folder.join(python)).find(|python| python.is_file()),
        };
        Ok(Self { folder, custom_nodes, python })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its packs are.
    pub fn custom_nodes(&self) -> &Path {
        &self.custom_nodes
    }

    /// The Python it runs with, if it is known.
    pub fn python(&self) -> Option<&Path> {
        self.python.as_deref()
    }

    /// What is installed, by name. It is read from files; nobody is asked.
    pub fn installed(&self) -> Result<Vec<Installed>, BadPlace> {
        installed::list(&self.custom_nodes)
            .map_err(|error| BadPlace::Unreadable { path: self.custom_nodes.clone(), error })
    }

    /// A folder on the same file system as the packs, for what is on its way.
    pub(crate) fn workshop(&self, room: &str) -> io::Result<PathBuf> {
        let parent = self.custom_nodes.parent().unwrap_or(&self.folder);
        let folder = parent.join(WORKSHOP).join(room);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
