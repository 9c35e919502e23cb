//! Room for what is to come.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Cache, Record, key, read_json, remove};
use crate::{PullError, files::walk};

/// Something in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// When it was last asked for, in seconds since 1970.
    pub used: u64,
    /// Whether it is linked from elsewhere, or somebody works with it right now. Such things are never let go of.
    pub in_use: bool,
}

/// How many bytes are free for us on the disk of a folder.
pub fn free_space(folder: &Path) -> Result<u64, PullError> {
    let state = rustix::fs::statvfs(folder).map_err(|error| PullError::io(folder)(error.into()))?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

/// Fails unless so many bytes fit onto the disk of a folder.
pub(crate) fn ask_for(folder: &Path, needed: u64, reserve: u64) -> Result<(), PullError> {
    let free = free_space(folder)?;
    if free >= needed.saturating_add(reserve) {
        return Ok(());
    }
    Err(PullError::NoSpace { path: folder.to_owned(), needed, free, reserve })
}

impl Cache {
    /// Makes room for so many bytes more: within the limit of the cache, by letting go of what was not used for the
    /// longest time, and on the disk.
    pub(crate) fn make_room(&self, needed: u64) -> Result<(), PullError> {
        if let Some(limit) = self.limit {
            self.shrink(limit, needed)?;
        }
        ask_for(&self.root, needed, self.reserve)
    }

    fn shrink(&self, limit: u64, needed: u64) -> Result<(), PullError> {
        let mut kept = self.contents()?;
        kept.sort_by_key(|one| one.used);
        let mut held: u64 = kept.iter().map(|one| one.size).sum();
        let fixed = kept.iter().filter(|one| one.in_use).map(|one| one.size).sum::<u64>();
        // Nothing is let go of in vain.
        if fixed.saturating_add(needed) > limit {
            return Err(PullError::CacheFull { limit, needed, held: fixed });
        }
        for one in kept.iter().filter(|one| !one.in_use) {
            if held.saturating_add(needed) <= limit {
                break;
            }
            if Self::let_go(&one.path)? {
                held -= one.size;
            }
        }
        Ok(())
    }

    /// All that is in the cache.
    pub(crate) fn contents(&self) -> Result<Vec<Kept>, PullError> {
        let linked = self.linked();
        let mut kept = Vec::new();
        for folder in ["sha256", "parts"] {
            let folder = self.root.join(folder);
            for (path, metadata) in walk(&folder).map_err(PullError::io(&folder))? {
                if path.extension().is_some_and(|extension| extension != "part") || !metadata.is_file() {
                    continue;
                }
                let record: Option<Record> = read_json(&Self::record_of(&path));
                let modified = u64::try_from(metadata.mtime()).unwrap_or(0);
                let used = record.map_or(modified, |record| record.used);
                let in_use = metadata.nlink() > 1 || linked.contains(&path) || is_locked(&path);
                kept.push(Kept { size: metadata.len(), used, in_use, path });
            }
        }
        Ok(kept)
    }

    /// Removes something from the cache, unless somebody works with it. What links elsewhere stays there.
    pub(crate) fn let_go(path: &Path) -> Result<bool, PullError> {
        let remove_all = || -> io::Result<bool> {
            let guard = lock_of(path);
            let Ok(lock) = File::open(&guard) else { return Ok(false) };
            if lock.try_lock().is_err() {
                return Ok(false);
            }
            remove(path)?;
            remove(&Self::record_of(path))?;
            if guard != path {
                remove(&guard)?;
            }
            Ok(true)
        };
        remove_all().map_err(PullError::io(path))
    }

    /// Remembers that a models folder has symbolic links into the cache.
    pub(crate) fn note_root(&self, models: &Path) -> io::Result<()> {
        let text = models.to_string_lossy();
        fs::write(self.root.join("roots").join(key(&text)), text.as_bytes())
    }

    /// What symbolic links of the models folders lead to.
    fn linked(&self) -> BTreeSet<PathBuf> {
        let roots = fs::read_dir(self.root.join("roots")).into_iter().flatten().flatten();
        let folders = roots.filter_map(|root| fs::read_to_string(root.path()).ok());
        let files = folders.filter_map(|folder| walk(Path::new(&folder)).ok()).flatten();
        let links = files.filter(|(_, metadata)| metadata.is_symlink());
        links.filter_map(|(path, _)| path.canonicalize().ok()).collect()
    }
}

/// The file whose lock says that somebody works with another.
fn lock_of(path: &Path) -> PathBuf {
    let part = path.extension().is_some_and(|extension| extension == "part");
    if part { path.with_extension("lock") } else { path.to_owned() }
}

fn is_locked(path: &Path) -> bool {
    File::open(lock_of(path)).is_ok_and(|file| file.try_lock().is_err())
}
