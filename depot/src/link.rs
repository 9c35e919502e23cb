//! From the cache into the models folder.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    LinkMode, ModelName, PullError, Settings, Sha256,
    cache::{Cache, Held, ask_for, sync_folder},
};

/// How a file got into the models folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It was there.
    Already,
    /// As a copy that shares its blocks.
    Reflink,
    /// As a hard link.
    Hard,
    /// As a copy.
    Copy,
    /// As a symbolic link.
    Symbolic,
}

/// Where a model goes. Its folder is made; on the way there, nothing leads out of the models folder.
pub(crate) fn place(models: &Path, name: &ModelName, links_may_leave: bool) -> Result<PathBuf, PullError> {
    fs::create_dir_all(models).map_err(PullError::io(models))?;
    let root = models.canonicalize().map_err(PullError::io(models))?;
    let mut path = root.clone();
    let mut parts: Vec<&str> = name.parts().collect();
    let file = parts.pop().unwrap_or_default();
    for part in parts {
        path.push(part);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(PullError::io(&path)(error));
            }
            _ => {}
        }
        let real = path.canonicalize().map_err(PullError::io(&path))?;
        if !links_may_leave && !real.starts_with(&root) {
            return Err(PullError::Leaves { path });
        }
        path = real;
    }
    Ok(path.join(file))
}

/// Links content into its place. What is there already is left alone if it is the same, and an error otherwise, unless
/// the settings let it be overwritten.
pub(crate) fn link(
    held: &Held,
    target: &Path,
    settings: &Settings,
    cache: &Cache,
) -> Result<Linked, PullError> {
    let failed = PullError::io(target);
    match is_same(target, held.size, &held.sha256) {
        Ok(Some(true)) => return Ok(Linked::Already),
        Ok(Some(false)) if !settings.overwrite => {
            return Err(PullError::Conflict { path: target.to_owned() });
        }
        Ok(_) => {}
        Err(error) => return Err(failed(error)),
    }
    let mut linker = Linker { held, target, overwrite: settings.overwrite, reserve: settings.reserve };
    let linked = match settings.link {
        LinkMode::Auto => linker.share(),
        LinkMode::Copy => linker.copy(),
        LinkMode::Symlink => {
            let root = settings.models.canonicalize().unwrap_or_else(|_| settings.models.clone());
            cache.note_root(&root).map_err(PullError::io(cache.root()))?;
            linker.symlink()
        }
    };
    let linked = linked?;
    let folder = target.parent().unwrap_or(target);
    sync_folder(folder).map_err(PullError::io(folder))?;
    Ok(linked)
}

/// Whether a file is there, and whether it has some content.
pub(crate) fn is_same(path: &Path, size: u64, sha256: &Sha256) -> io::Result<Option<bool>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // A link that leads nowhere is in the way nevertheless.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(fs::symlink_metadata(path).is_ok().then_some(false));
        }
        Err(error) => return Err(error),
    };
    if !metadata.is_file() || metadata.len() != size {
        return Ok(Some(false));
    }
    Ok(Some(Sha256::of_file(path)?.0 == *sha256))
}

struct Linker<'l> {
    held: &'l Held,
    target: &'l Path,
    overwrite: bool,
    reserve: u64,
}

impl Linker<'_> {
    fn folder(&self) -> &Path {
        self.target.parent().unwrap_or(Path::new("."))
    }

    fn temporary(&self) -> Result<tempfile::NamedTempFile, PullError> {
        use std::os::unix::fs::PermissionsExt as _;
        let mut builder = tempfile::Builder::new();
        // As any file: whoever runs ComfyUI has to read it.
        builder.prefix(".comfyport-").permissions(fs::Permissions::from_mode(0o644));
        builder.tempfile_in(self.folder()).map_err(PullError::io(self.folder()))
    }

    fn share(&mut self) -> Result<Linked, PullError> {
        let temporary = self.temporary()?;
        let blob = File::open(&self.held.path).map_err(PullError::io(&self.held.path))?;
        if rustix::fs::ioctl_ficlone(temporary.as_file(), &blob).is_ok() {
            self.settle(temporary)?;
            return Ok(Linked::Reflink);
        }
        drop(temporary);
        match self.under_new_name(|path| fs::hard_link(&self.held.path, path)) {
            Ok(()) => Ok(Linked::Hard),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(self.conflict()),
            Err(_) => self.copy(),
        }
    }

    fn copy(&mut self) -> Result<Linked, PullError> {
        ask_for(self.folder(), self.held.size, self.reserve)?;
        let mut temporary = self.temporary()?;
        let mut blob = File::open(&self.held.path).map_err(PullError::io(&self.held.path))?;
        io::copy(&mut blob, temporary.as_file_mut()).map_err(PullError::io(self.folder()))?;
        self.settle(temporary)?;
        Ok(Linked::Copy)
    }

    fn symlink(&mut self) -> Result<Linked, PullError> {
        match self.under_new_name(|path| std::os::unix::fs::symlink(&self.held.path, path)) {
            Ok(()) => Ok(Linked::Symbolic),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(self.conflict()),
            Err(error) => Err(PullError::io(self.target)(error)),
        }
    }

    /// Makes a link that appears at once, and in the place of another file only if that is allowed.
    fn under_new_name(&self, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        if !self.overwrite {
            return make(self.target);
        }
        let temporary = self.folder().join(format!(".comfyport-{:016x}", fastrand::u64(..)));
        make(&temporary)?;
        fs::rename(&temporary, self.target).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }

    fn settle(&self, temporary: tempfile::NamedTempFile) -> Result<(), PullError> {
        temporary.as_file().sync_all().map_err(PullError::io(self.target))?;
        let settled = if self.overwrite {
            temporary.persist(self.target)
        } else {
            temporary.persist_noclobber(self.target)
        };
        settled.map(drop).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => self.conflict(),
            _ => PullError::io(self.target)(error.error),
        })
    }

    fn conflict(&self) -> PullError {
        PullError::Conflict { path: self.target.to_owned() }
    }
}
