//! Folders of workflows, for commands that read and write them.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use comfyport_workflow::route;

/// Every workflow below a folder, in order. Links to folders are not followed.
pub(super) fn workflows_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    below(folder, &|name| route::of_file(name).is_some())
}

/// Every file below a folder whose name is wanted, in order. Links are not followed.
pub(super) fn below(folder: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder, is_wanted, &mut files)?;
    Ok(files)
}

fn collect(folder: &Path, is_wanted: &dyn Fn(&str) -> bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, is_wanted, files)?;
        } else if is_wanted(&name) {
            files.push(path);
        }
    }
    Ok(())
}

/// Writes a file whole, or leaves it as it is.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = OsString::from(path);
    partial.push(".partial");
    fs::write(&partial, bytes)?;
    fs::rename(&partial, path)
}
