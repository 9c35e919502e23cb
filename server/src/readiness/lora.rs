//! Which file of an engine a LoRA is.

use std::collections::BTreeSet;

use super::plain;

/// Which file of the engine a LoRA is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoraFile {
    /// This one.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

/// By name, a file is the one with this name; by address, the only one with this name in any folder.
pub fn find_lora(name: &str, by_address: bool, files: &BTreeSet<String>) -> Option<LoraFile> {
    if !by_address {
        return files.contains(&plain(name)).then(|| LoraFile::One(name.to_owned()));
    }
    let is_it = |file: &&String| file.rsplit('/').next() == Some(name);
    let mut found: Vec<String> = files.iter().filter(is_it).cloned().collect();
    match found.len() {
        0 => None,
        1 => found.pop().map(LoraFile::One),
        _ => Some(LoraFile::Several(found)),
    }
}
