//! The files of the three folders, in memory.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use indexmap::IndexMap;

/// Output and temp files beyond this many bytes push out the oldest.
const MAX_BYTES: usize = 256 << 20;

/// The folder a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Folder {
    Input,
    Output,
    Temp,
}

impl Folder {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "input" => Some(Self::Input),
            "output" => Some(Self::Output),
            "temp" => Some(Self::Temp),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Temp => "temp",
        }
    }
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub folder: Folder,
    pub subfolder: String,
    pub name: String,
}

impl Place {
    /// What a loader node names: `sub/name.png`, perhaps with ` [temp]` behind it.
    pub(crate) fn annotated(text: &str) -> Self {
        let (path, folder) = ["input", "output", "temp"]
            .iter()
            .find_map(|name| {
                let path = text.strip_suffix(&format!("[{name}]"))?;
                // Python cuts the space before the bracket off unseen.
                Some((path.get(..path.len().saturating_sub(1))?, Folder::parse(name)?))
            })
            .unwrap_or((text, Folder::Input));
        let path = normalize(path).unwrap_or_default();
        let (subfolder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        Self { folder, subfolder: subfolder.to_owned(), name: name.to_owned() }
    }
}

/// Resolves `.` and `..`; `None` if the path leaves the folder.
pub(crate) fn normalize(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if path.starts_with('/') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub data: Bytes,
    pub modified: SystemTime,
    /// Tells versions of a file apart.
    pub version: u64,
}

#[derive(Debug, Default)]
struct Files {
    by_place: IndexMap<Place, Arc<File>>,
    /// The last number given to a prefix of saved files.
    counters: IndexMap<(Folder, String, String), u32>,
    bytes: usize,
    versions: u64,
}

/// The folders.
#[derive(Debug, Default)]
pub(crate) struct Store {
    files: Mutex<Files>,
}

impl Store {
    pub(crate) fn get(&self, place: &Place) -> Option<Arc<File>> {
        self.with(|files| files.by_place.get(place).cloned())
    }

    pub(crate) fn put(&self, place: Place, data: Bytes) {
        self.with(|files| {
            files.versions += 1;
            files.bytes += data.len();
            let file = Arc::new(File { data, modified: SystemTime::now(), version: files.versions });
            if let Some(old) = files.by_place.insert(place, file) {
                files.bytes -= old.data.len();
            }
            while files.bytes > MAX_BYTES {
                let Some(index) = files.by_place.keys().position(|place| place.folder != Folder::Input)
                else {
                    break;
                };
                if let Some((_, old)) = files.by_place.swap_remove_index(index) {
                    files.bytes -= old.data.len();
                }
            }
        });
    }

    pub(crate) fn remove(&self, place: &Place) {
        self.with(|files| {
            if let Some(old) = files.by_place.swap_remove(place) {
                files.bytes -= old.data.len();
            }
        });
    }

    /// The number of the next file that a node saves under a prefix.
    pub(crate) fn next_number(&self, folder: Folder, subfolder: &str, prefix: &str) -> u32 {
        self.with(|files| {
            let key = (folder, subfolder.to_owned(), prefix.to_owned());
            let number = files.counters.entry(key).or_insert(0);
            *number += 1;
            *number
        })
    }

    /// Names of the files directly in a folder.
    pub(crate) fn names(&self, folder: Folder) -> Vec<String> {
        self.with(|files| {
            let places =
                files.by_place.keys().filter(|place| place.folder == folder && place.subfolder.is_empty());
            let mut names: Vec<String> = places.map(|place| place.name.clone()).collect();
            names.sort();
            names
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Files) -> T) -> T {
        act(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_choose_the_folder() {
        let place = Place::annotated("a/b/x.png [temp]");
        assert_eq!(
            (place.folder, place.subfolder.as_str(), place.name.as_str()),
            (Folder::Temp, "a/b", "x.png")
        );
        assert_eq!(Place::annotated("x.png").folder, Folder::Input);
        assert_eq!(normalize("a/../b/./c"), Some("b/c".to_owned()));
        assert_eq!(normalize("../b"), None);
    }
}
