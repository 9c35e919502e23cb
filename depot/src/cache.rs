//! What was fetched, kept by its content.
//!
//! ```text
//! sha256/ab/cd…        content, called by its SHA-256
//! sha256/ab/cd….json   where it came from and when it was used
//! parts/KEY.part       content on its way, with KEY.json (how far it is) and KEY.lock (who fetches it)
//! names/KEY.json       what an address without a known SHA-256 had
//! roots/KEY            a models folder that has symbolic links into the cache
//! ```
//!
//! Files appear under their names by renaming, once they are complete, checked and on the disk. Processes keep out of
//! each other's way by locks that end with them.

mod alias;
mod blob;
mod part;
mod room;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};

pub use self::room::{Kept, free_space};
pub(crate) use self::{
    alias::Alias,
    blob::{Held, Record, modified},
    part::{Part, State},
    room::ask_for,
};
use crate::{PullError, Sha256};

/// A folder of content.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
    limit: Option<u64>,
    reserve: u64,
}

impl Cache {
    /// Opens or makes it.
    pub(crate) fn open(root: &Path, limit: Option<u64>, reserve: u64) -> Result<Self, PullError> {
        for folder in ["sha256", "parts", "names", "roots"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(PullError::io(&folder))?;
        }
        let root = root.canonicalize().map_err(PullError::io(root))?;
        Ok(Self { root, limit, reserve })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where content is, if it is there.
    pub(crate) fn blob(&self, sha256: &Sha256) -> PathBuf {
        let digits = sha256.to_string();
        let (first, rest) = digits.split_at(2);
        self.root.join("sha256").join(first).join(rest)
    }
}

/// Text of any length as the name of a file.
pub(crate) fn key(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Reads JSON. What is not there, or is not what it should be, is nothing.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes JSON, so that readers see the former or the new content.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    serde_json::to_writer(&mut file, value)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether an open file is still the one at a path.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Makes names in a folder last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file, which may be gone.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
