//! What lies in a folder of workflows, and whether it changed.

use std::{
    collections::BTreeMap,
    fs::{self, DirEntry, Metadata},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use comfyport_workflow::{
    Diagnostic, printable,
    route::{self, OBJECT_INFO},
};

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    modified: Option<SystemTime>,
    identity: Identity,
}

/// A file that was put in the place of another may have its size and time.
#[cfg(unix)]
type Identity = (u64, i64, i64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok(), identity: identity(metadata) }
    }
}

/// A file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

impl Found {
    /// Whether it is another now than when it was found.
    pub(super) fn has_changed(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |metadata| Stamp::of(&metadata) != self.stamp)
    }
}

/// Everything in the folder that matters.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files by their path below the folder, with `/` between folders.
    pub(super) files: BTreeMap<String, Found>,
    /// The file of each route.
    pub(super) routes: BTreeMap<String, String>,
    /// What could not be looked at or is no use, by its path below the folder.
    pub(super) left_out: BTreeMap<String, Diagnostic>,
    /// From where on nothing was looked at, because it would be too much.
    cut: Option<String>,
}

impl Listing {
    /// The state of a file, if it is there.
    pub(super) fn stamp(&self, name: &str) -> Option<&Stamp> {
        self.files.get(name).map(|found| &found.stamp)
    }

    /// Whether nobody can say if this file is there.
    pub(super) fn is_hidden(&self, name: &str) -> bool {
        let beyond =
            |out: &str| name == out || name.strip_prefix(out).is_some_and(|rest| rest.starts_with('/'));
        let after = |cut: &String| name.split('/').ge(cut.split('/'));
        self.cut.as_ref().is_some_and(after) || self.left_out.keys().any(|out| beyond(out))
    }

    /// Finds the file of each route. Where there are several, `in_use` come first.
    fn assign_routes<'u>(&mut self, in_use: impl Iterator<Item = &'u str>) {
        let used: Vec<&str> = in_use.filter(|name| self.files.contains_key(*name)).collect();
        let rest = self.files.keys().map(String::as_str).filter(|name| !used.contains(name));
        let (routes, twins) = route::of_files(used.iter().copied().chain(rest));
        self.routes = routes.into_iter().map(|(route, name)| (route.to_owned(), name.to_owned())).collect();
        self.left_out.extend(twins);
    }

    /// A sidecar or a lock without its workflow is probably misspelt.
    fn find_lonely(&mut self) {
        for name in self.files.keys() {
            if let Some(stem) = route::of_companion(name).filter(|stem| !self.routes.contains_key(*stem)) {
                let message = format!("there is no {}.json beside it", printable(stem));
                self.left_out.insert(name.clone(), Diagnostic::error("lonely-file", message));
            }
        }
    }
}

/// Workflows, sidecars and locks below a folder, of which at most `most` files and folders are looked at. Links that
/// lead out of it are not followed. A file that is `in_use` keeps its route if there is another of the same one.
pub(super) fn walk<'u>(
    root: &Path,
    most: usize,
    in_use: impl Iterator<Item = &'u str>,
) -> io::Result<Listing> {
    let mut walker =
        Walker { real_root: root.canonicalize()?, left: most, most, listing: Listing::default() };
    walker.folder(root, "")?;
    let mut listing = walker.listing;
    listing.assign_routes(in_use);
    listing.find_lonely();
    Ok(listing)
}

struct Walker {
    real_root: PathBuf,
    /// How many more may be looked at.
    left: usize,
    most: usize,
    listing: Listing,
}

impl Walker {
    fn folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let mut entries: Vec<_> = fs::read_dir(folder)?.filter_map(Result::ok).collect();
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if self.left == 0 {
                let message = format!(
                    "there are more than {} files and folders (`workflows.max_files`); this and all after it are left out",
                    self.most
                );
                self.listing.cut.get_or_insert_with(|| name.clone());
                self.leave_out(name, "too-many-files", message);
                return Ok(());
            }
            self.left -= 1;
            if let Err(error) = self.entry(&entry, &name)
                // It went away between two looks at it.
                && error.kind() != io::ErrorKind::NotFound
            {
                self.leave_out(name, "unreadable", format!("it cannot be read: {error}"));
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, name: &str) -> io::Result<()> {
        let path = entry.path();
        let is_link = entry.file_type()?.is_symlink();
        if is_link && !path.canonicalize()?.starts_with(&self.real_root) {
            let message = "it is a link that leads out of the folder".to_owned();
            self.leave_out(name.to_owned(), "outside", message);
            return Ok(());
        }
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            // A link may lead to a folder that it is in.
            return if is_link { Ok(()) } else { self.folder(&path, name) };
        }
        let matters = name == OBJECT_INFO
            || route::of_file(name).is_some()
            || [".toml", ".lock"].iter().any(|ending| name.ends_with(ending));
        if !matters {
            return Ok(());
        }
        if metadata.is_file() {
            self.listing.files.insert(name.to_owned(), Found { path, stamp: Stamp::of(&metadata) });
        } else {
            // Reading a pipe may take for ever.
            self.leave_out(name.to_owned(), "no-file", "it is no regular file".to_owned());
        }
        Ok(())
    }

    fn leave_out(&mut self, name: String, code: &'static str, message: String) {
        self.listing.left_out.insert(name, Diagnostic::error(code, printable(&message)));
    }
}
