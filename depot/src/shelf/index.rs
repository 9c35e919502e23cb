//! What files hash to, as long as they stay as they are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Model;
use crate::{
    PullError, Sha256,
    cache::{read_json, write_json},
};

/// What files hash to, by where they are.
#[derive(Debug, Default)]
pub(super) struct Index {
    path: Option<PathBuf>,
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    size: u64,
    modified: i128,
    inode: (u64, u64),
    sha256: Sha256,
}

impl Index {
    pub(super) fn read(path: Option<&Path>) -> Self {
        let entries = path.and_then(read_json).unwrap_or_default();
        Self { path: path.map(Path::to_owned), entries }
    }

    /// What a file hashes to. It is read only if it changed since the last time, or if that is not to be relied on.
    pub(super) fn digest(&mut self, model: &Model, afresh: bool) -> Result<Sha256, PullError> {
        let Model { size, modified, inode, path, .. } = model;
        let known = self.entries.get(path).filter(|_| !afresh);
        let known =
            known.filter(|entry| (entry.size, entry.modified, entry.inode) == (*size, *modified, *inode));
        if let Some(entry) = known {
            return Ok(entry.sha256);
        }
        let (sha256, read) = Sha256::of_file(path).map_err(PullError::io(path))?;
        if read == *size {
            let entry = Entry { size: *size, modified: *modified, inode: *inode, sha256 };
            self.entries.insert(path.clone(), entry);
        }
        Ok(sha256)
    }

    /// Keeps it, without what is there no longer.
    pub(super) fn save(&mut self) -> Result<(), PullError> {
        self.entries.retain(|path, _| path.exists());
        match &self.path {
            Some(path) => write_json(path, &self.entries).map_err(PullError::io(path)),
            None => Ok(()),
        }
    }
}
