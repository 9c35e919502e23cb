//! Which file of an engine a model is that a caller chose.

use std::collections::BTreeSet;

use super::plain;

/// Which file of the engine it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundFile {
    /// This one.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

/// By name, a file is the one with this name; by address, the only one with this name in any folder.
pub fn find_file(name: &str, by_address: bool, files: &BTreeSet<String>) -> Option<FoundFile> {
    if !by_address {
        return files.contains(&plain(name)).then(|| FoundFile::One(name.to_owned()));
    }
    let is_it = |file: &&String| file.rsplit('/').next() == Some(name);
    let mut found: Vec<String> = files.iter().filter(is_it).cloned().collect();
    match found.len() {
        0 => None,
        1 => found.pop().map(FoundFile::One),
        _ => Some(FoundFile::Several(found)),
    }
}
