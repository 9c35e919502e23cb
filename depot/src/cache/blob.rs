//! Content that is complete.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Cache, is_at, now, read_json, remove, sync_folder, write_json};
use crate::{PullError, Sha256};

/// Content that stays for as long as this is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) sha256: Sha256,
    pub(crate) size: u64,
    pub(crate) path: PathBuf,
    pub(crate) record: Record,
    /// A shared lock, without which it may be let go of.
    _lock: File,
}

/// What is known of content.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) size: u64,
    /// In nanoseconds since 1970: when it was last written to, as long as nobody else did.
    pub(crate) modified: i128,
    /// Where it came from.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// The commit of the repository that had it.
    #[serde(default)]
    pub(crate) commit: Option<String>,
    /// In seconds since 1970.
    #[serde(default)]
    pub(crate) used: u64,
}

pub(crate) fn modified(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

impl Cache {
    pub(super) fn record_of(blob: &Path) -> PathBuf {
        blob.with_extension("json")
    }

    /// Content, if it is there and still what it was. It counts as used now.
    pub(crate) fn find(&self, sha256: &Sha256) -> Result<Option<Held>, PullError> {
        let path = self.blob(sha256);
        hold(*sha256, &path).map_err(PullError::io(&path))
    }

    /// Gives a file that is complete, checked and on the disk the name of its content.
    pub(crate) fn publish(
        &self,
        file: &Path,
        sha256: Sha256,
        source: String,
        commit: Option<String>,
    ) -> Result<Held, PullError> {
        let path = self.blob(&sha256);
        self.rename(file, sha256, &path, source, commit).map_err(PullError::io(&path))
    }

    fn rename(
        &self,
        file: &Path,
        sha256: Sha256,
        path: &Path,
        source: String,
        commit: Option<String>,
    ) -> io::Result<Held> {
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let lock = File::open(file)?;
        lock.lock_shared()?;
        let metadata = lock.metadata()?;
        let record = Record {
            size: metadata.len(),
            modified: modified(&metadata),
            source: Some(source),
            commit,
            used: now(),
        };
        write_json(&Self::record_of(path), &record)?;
        fs::rename(file, path)?;
        sync_folder(folder)?;
        sync_folder(&self.root.join("sha256"))?;
        Ok(Held { sha256, size: record.size, path: path.to_owned(), record, _lock: lock })
    }
}

fn hold(sha256: Sha256, path: &Path) -> io::Result<Option<Held>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file.lock_shared()?;
    if !is_at(&file, path) {
        return Ok(None);
    }
    let metadata = file.metadata()?;
    let mut record: Record = read_json(&Cache::record_of(path)).unwrap_or_default();
    if (record.size, record.modified) != (metadata.len(), modified(&metadata)) {
        // Somebody wrote to it, perhaps by way of a link, or its record was lost.
        let (actual, size) = Sha256::of_reader(&mut &file)?;
        if actual != sha256 {
            remove(path)?;
            remove(&Cache::record_of(path))?;
            return Ok(None);
        }
        (record.size, record.modified) = (size, modified(&metadata));
    }
    record.used = now();
    write_json(&Cache::record_of(path), &record)?;
    Ok(Some(Held { sha256, size: record.size, path: path.to_owned(), record, _lock: file }))
}
