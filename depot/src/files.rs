//! Files below a folder.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

/// Nobody nests deeper, and links in circles end.
const DEEPEST: usize = 32;

/// All files and symbolic links below a folder, in the order of their names, with what is known of them. Folders that
/// cannot be read are passed over, the first one excepted; links are not followed.
pub(crate) fn walk(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    let mut first = true;
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if first => return Err(error),
            Err(_) => continue,
        };
        first = false;
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                if depth < DEEPEST {
                    folders.push((entry.path(), depth + 1));
                }
            } else {
                found.push((entry.path(), metadata));
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}
