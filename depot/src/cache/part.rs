//! Content on its way.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Cache, is_at, read_json, remove, write_json};
use crate::Sha256;

/// Content on its way, which nobody else fetches for as long as this is held.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    base: PathBuf,
    /// Shared with the threads that write: nobody else begins before they end.
    lock: Arc<File>,
}

/// How far content on its way is, as it is kept between tries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Where it comes from, without secrets.
    pub(crate) place: String,
    /// What it will hash to, if that is known.
    pub(crate) sha256: Option<Sha256>,
    /// By which the host can tell whether it still has the same. Strong.
    pub(crate) etag: Option<String>,
    /// In bytes, all of it.
    pub(crate) length: Option<u64>,
    /// So many bytes from the beginning are on the disk.
    pub(crate) synced: u64,
}

impl Cache {
    /// Content on its way, unless somebody else fetches it.
    pub(crate) fn part(&self, key: &str) -> io::Result<Option<Part>> {
        let base = self.root.join("parts").join(key);
        let path = base.with_extension("lock");
        loop {
            let lock = OpenOptions::new().create(true).append(true).open(&path)?;
            match lock.try_lock() {
                // Whoever had it may have removed it: then it keeps nobody out.
                Ok(()) if !is_at(&lock, &path) => {}
                Ok(()) => return Ok(Some(Part { base, lock: Arc::new(lock) })),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

impl Part {
    pub(crate) fn path(&self) -> PathBuf {
        self.base.with_extension("part")
    }

    fn state_path(&self) -> PathBuf {
        self.base.with_extension("json")
    }

    /// What a former try left.
    pub(crate) fn state(&self) -> Option<State> {
        let state: State = read_json(&self.state_path())?;
        let length = std::fs::metadata(self.path()).ok()?.len();
        (state.synced > 0 && state.synced <= length).then_some(state)
    }

    pub(crate) fn save(&self, state: &State) -> io::Result<()> {
        write_json(&self.state_path(), state)
    }

    /// Its file, of so many bytes.
    pub(crate) fn open(&self, length: u64) -> io::Result<File> {
        let file =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(self.path())?;
        file.set_len(length)?;
        Ok(file)
    }

    /// Forgets all that was fetched.
    pub(crate) fn clear(&self) -> io::Result<()> {
        remove(&self.state_path())?;
        remove(&self.path())
    }

    /// Leaves nothing behind.
    pub(crate) fn end(self) -> io::Result<()> {
        self.clear()?;
        remove(&self.base.with_extension("lock"))?;
        drop(self.lock);
        Ok(())
    }
}
