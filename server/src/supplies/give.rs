//! Giving model files to those who ask for them, such as another server of this kind.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
};

use comfyport_depot::{ModelName, Settings, Shelf};

use super::Supplies;

/// A model file to be given out.
#[derive(Debug)]
pub struct Given {
    /// The file.
    pub file: File,
    /// In bytes.
    pub size: u64,
    /// The same for as long as the file is.
    pub etag: String,
}

impl Supplies {
    /// Opens a model file of any of the models folders. `None` if none has it, or it is no model. It blocks.
    pub fn give(&self, name: &ModelName) -> io::Result<Option<Given>> {
        if !Shelf::is_model(name) {
            return Ok(None);
        }
        for settings in self.models() {
            if let Some(given) = open(settings, name)? {
                return Ok(Some(given));
            }
        }
        Ok(None)
    }
}

fn open(settings: &Settings, name: &ModelName) -> io::Result<Option<Given>> {
    let path = settings.models.join(name.folder()).join(name.file());
    let Some(place) = there(fs::canonicalize(&path))? else { return Ok(None) };
    let within = |folder| {
        Ok::<_, io::Error>(there(fs::canonicalize(folder))?.is_some_and(|folder| place.starts_with(folder)))
    };
    // A link in the folder could show any file of this machine.
    if !settings.links_may_leave && !within(&settings.models)? && !within(&settings.cache)? {
        return Ok(None);
    }
    let Some(file) = there(File::open(&place))? else { return Ok(None) };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    Ok(Some(Given { size: metadata.len(), etag: etag(&metadata), file }))
}

/// Content that is put in a file's place has another number there, and what is written into it another time.
fn etag(metadata: &Metadata) -> String {
    let changed = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    format!("\"{:x}-{:x}-{changed:x}\"", metadata.ino(), metadata.len())
}

fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
