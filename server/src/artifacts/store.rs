//! From the engine's answer to a file of ours: hashed, counted, checked, and without what ComfyUI wrote into it, unless
//! that is wanted.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use comfyport_pictures::Metadata;
use comfyport_probe::Facts;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncWriteExt};
use uuid::Uuid;

use super::{Artifact, Defect, Files, inspect::Inspector};
use crate::media::moving;

/// What an engine says about a file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its media type, as the engine declares it.
    pub content_type: Option<String>,
    /// How long it says the file is, in bytes.
    pub length: Option<u64>,
    /// The engine's name for it, for the ending.
    pub filename: String,
    /// The name to save it under, without ending.
    pub stem: String,
    /// Whether what programs wrote into a picture besides its pixels stays there.
    pub embedded: Metadata,
}

/// Why an output was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError<E> {
    /// The engine broke off.
    #[error("the engine broke off while sending it")]
    Engine(E),
    /// What it sent is not a whole file.
    #[error("{0}")]
    Defect(Defect),
    /// It is larger than allowed.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes allowed.
        limit: u64,
    },
    /// The data directory cannot be written.
    #[error("the data directory cannot be written: {0}")]
    Io(io::Error),
}

/// Files up to this size are collected in memory and written in one go, which is one task hop instead of many.
const SMALL: usize = 1 << 20;

impl Files {
    /// Stores one output file. Nothing is left behind on failure.
    pub async fn store<E>(
        &self,
        source: Source,
        mut data: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Arc<Artifact>, StoreError<E>> {
        let mut spool = Spool::new(&self.folder);
        let mut inspector = Inspector::new(source.embedded);
        let mut received = 0_u64;
        while let Some(chunk) = data.next().await {
            let chunk = chunk.map_err(StoreError::Engine)?;
            received += chunk.len() as u64;
            if received > self.largest {
                return Err(StoreError::TooLarge { limit: self.largest });
            }
            inspector.push(&chunk, &mut spool.pending);
            spool.write(false).await.map_err(StoreError::Io)?;
        }
        inspector.finish(&mut spool.pending);
        let cut = source.length.is_some_and(|length| length != received);
        let defect = if cut { Some(Defect::CutShort) } else { inspector.defect(claimed(&source)) };
        if let Some(defect) = defect {
            return Err(StoreError::Defect(defect));
        }
        let content_type = content_type(&source, inspector.head());
        let dimensions = content_type.starts_with("image/").then(|| inspector.dimensions()).flatten();
        let file = spool.file_name.clone();
        let (path, size, sha256) = spool.finish().await.map_err(StoreError::Io)?;
        let facts = match inspector.format() {
            Some(format) => moving::look(format, moving::Place::File(path.clone())).await,
            None => Facts::default(),
        };
        let filename = match extension(&source.filename) {
            Some(extension) => format!("{}.{extension}", source.stem),
            None => source.stem,
        };
        let kept = AtomicBool::new(false);
        Ok(Arc::new(Artifact {
            path,
            file,
            content_type,
            filename,
            size,
            sha256,
            dimensions: dimensions.or(facts.size),
            duration: facts.duration.filter(|duration| *duration < Duration::MAX),
            fps: facts.fps,
            kept,
        }))
    }
}

/// A file being written under a temporary name; removed unless finished.
pub(super) struct Spool {
    file_name: String,
    temporary: PathBuf,
    name: PathBuf,
    pub(super) pending: Vec<u8>,
    file: Option<File>,
    hash: Sha256,
    size: u64,
    finished: bool,
}

/// Where what was spooled is.
pub(super) enum Spooled {
    /// In memory: it is small.
    Here(Vec<u8>),
    /// In a file, and on disk.
    File(Temporary),
}

/// A file that goes when nobody has it any more.
#[derive(Debug)]
pub(super) struct Temporary(pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Who gave it another name left nothing to remove.
        remove(&self.0);
    }
}

impl Spool {
    pub(super) fn new(folder: &Path) -> Self {
        let file_name = Uuid::new_v4().simple().to_string();
        let name = folder.join(&file_name);
        Self {
            file_name,
            temporary: name.with_extension("part"),
            name,
            pending: Vec::new(),
            file: None,
            hash: Sha256::new(),
            size: 0,
            finished: false,
        }
    }

    pub(super) async fn write(&mut self, all: bool) -> io::Result<()> {
        if self.pending.len() < SMALL && !all {
            return Ok(());
        }
        self.hash.update(&self.pending);
        self.size += self.pending.len() as u64;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::create(&self.temporary).await?),
        };
        file.write_all(&self.pending).await?;
        self.pending.clear();
        Ok(())
    }

    /// Ends it without a name of its own. Answers its size and hash, too.
    pub(super) async fn close(mut self) -> io::Result<(Spooled, u64, String)> {
        let spooled = if self.file.is_some() {
            self.write(true).await?;
            if let Some(mut file) = self.file.take() {
                file.flush().await?;
                file.sync_all().await?;
            }
            self.finished = true;
            Spooled::File(Temporary(self.temporary.clone()))
        } else {
            self.hash.update(&self.pending);
            self.size = self.pending.len() as u64;
            Spooled::Here(std::mem::take(&mut self.pending))
        };
        Ok((spooled, self.size, hex(&self.hash.finalize_reset())))
    }

    async fn finish(mut self) -> io::Result<(PathBuf, u64, String)> {
        if self.file.is_some() {
            self.write(true).await?;
            if let Some(mut file) = self.file.take() {
                file.flush().await?;
                file.sync_all().await?;
            }
            let (temporary, name) = (self.temporary.clone(), self.name.clone());
            let renamed = tokio::task::spawn_blocking(move || rename(&temporary, &name));
            renamed.await.map_err(io::Error::other)??;
        } else {
            self.hash.update(&self.pending);
            self.size = self.pending.len() as u64;
            let (data, name) = (std::mem::take(&mut self.pending), self.name.clone());
            let written = tokio::task::spawn_blocking(move || write_whole(&name, &data));
            written.await.map_err(io::Error::other)??;
        }
        self.finished = true;
        Ok((self.name.clone(), self.size, hex(&self.hash.finalize_reset())))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.finished {
            remove(&self.temporary);
        }
    }
}

/// Writes a file so that it is either there, whole and on disk, or not there.
pub(super) fn write_whole(path: &Path, data: &[u8]) -> io::Result<()> {
    // Two may write the same at once: each to a name of its own.
    let temporary = path.with_extension(format!("{}.part", Uuid::new_v4().simple()));
    let written = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        io::Write::write_all(&mut file, data)?;
        file.sync_all()?;
        rename(&temporary, path)
    })();
    if written.is_err() {
        remove(&temporary);
    }
    written
}

/// The name is on disk only when its folder is.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    match to.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file that may already be gone.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove an artifact");
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| DIGITS[usize::from(digit)] as char).collect()
}

/// A file name ending that is safe to hand on.
fn extension(filename: &str) -> Option<String> {
    let (_, ending) = filename.rsplit_once('.')?;
    let plain =
        !ending.is_empty() && ending.len() <= 12 && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| ending.to_ascii_lowercase())
}

/// What the file must be, going by the engine's name for it.
fn claimed(source: &Source) -> Option<crate::media::Format> {
    use crate::media::Format;
    Some(match extension(&source.filename)?.as_str() {
        "png" => Format::Png,
        "jpg" | "jpeg" => Format::Jpeg,
        "webp" => Format::Webp,
        "gif" => Format::Gif,
        "mp4" => Format::Mp4,
        "webm" => Format::Webm,
        "glb" => Format::Glb,
        "flac" => Format::Flac,
        _ => return None,
    })
}

/// The bytes decide, then the ending, then the engine: it guesses from the ending too, with the tables of its system.
fn content_type(source: &Source, head: &[u8]) -> String {
    use crate::media::Format;
    let ending = extension(&source.filename);
    let by_ending = match ending.as_deref() {
        Some("svg") => Some("image/svg+xml"),
        Some("opus") => Some("audio/ogg"),
        Some("txt") => Some("text/plain; charset=utf-8"),
        Some("json") => Some("application/json"),
        Some("gltf") => Some("model/gltf+json"),
        Some("obj") => Some("model/obj"),
        Some("stl") => Some("model/stl"),
        Some("mkv") => Some("video/x-matroska"),
        Some("latent" | "safetensors" | "ckpt") => Some("application/octet-stream"),
        _ => None,
    };
    if let Some(known) = by_ending {
        return known.to_owned();
    }
    if let Some(format) = Format::sniff(head) {
        return format.content_type().to_owned();
    }
    source.content_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned())
}
