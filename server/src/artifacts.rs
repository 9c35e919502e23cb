//! Files of jobs: what engines yielded, and what requests brought along.
//!
//! A file has a name of ours, random or made from its content. It lies in a folder of the data directory, on disk
//! before anybody is told of it; where servers share nothing but a database, it lies there, in pieces. Which files there
//! are, and of which job, the job store knows.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use comfyport_store::{Store, artifacts::NewArtifact};
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

mod inspect;
pub mod range;
mod received;
mod store;
pub(crate) use store::hex;

pub use inspect::Defect;
pub use received::{ReceiveError, Received};
pub use store::{Source, StoreError};

/// One output file on its way. Unless it is kept, it is removed when its last owner lets go.
#[derive(Debug)]
pub struct Artifact {
    path: PathBuf,
    /// Its name among our files.
    pub file: String,
    /// Its media type.
    pub content_type: String,
    /// The name to save it under.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Width and height in pixels, of pictures and films.
    pub dimensions: Option<(u32, u32)>,
    /// How long it lasts, of films and sounds.
    pub duration: Option<Duration>,
    /// Pictures in a second, of films.
    pub fps: Option<f64>,
    kept: AtomicBool,
}

impl Artifact {
    /// Where it lies until it is let go of.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A job refers to it now.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// What the job store is to remember of it.
    pub fn record(&self, output: &str, position: u32) -> NewArtifact {
        NewArtifact {
            output: output.to_owned(),
            position,
            file: self.file.clone(),
            content_type: self.content_type.clone(),
            filename: self.filename.clone(),
            size: self.size,
            sha256: self.sha256.clone(),
            dimensions: self.dimensions,
        }
    }
}

impl Drop for Artifact {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            store::remove(&self.path);
        }
    }
}

/// Where files of jobs are.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    /// A single output file larger than this is refused, in bytes.
    largest: u64,
    /// Where they are, if servers share them.
    shared: Option<Store>,
    /// Held by whoever looks at a file's age to remove it, or makes it young again.
    ages: Arc<Mutex<()>>,
}

/// Files in a database are in pieces of this size.
const PIECE: usize = 256 << 10;

/// Read ahead of slow readers by no more than this.
const CHUNK: usize = 64 << 10;

impl Files {
    /// In a folder below `data_dir`; with `shared`, in that store, and below `data_dir` only on their way.
    pub fn open(data_dir: &Path, largest: u64, shared: Option<Store>) -> io::Result<Self> {
        let folder = data_dir.join("files");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, largest, shared, ages: Arc::default() })
    }

    /// Makes an output file last: from now on it is there for whoever the job store tells of it.
    pub async fn publish(&self, artifact: &Artifact) -> io::Result<()> {
        match &self.shared {
            None => Ok(()),
            Some(store) => {
                let mut file = tokio::fs::File::open(&artifact.path).await?;
                send(store, &artifact.file, &mut file).await
            }
        }
    }

    /// An output file that has not been published yet.
    pub async fn spooled(&self, artifact: &Artifact) -> io::Result<Bytes> {
        tokio::fs::read(&artifact.path).await.map(Bytes::from)
    }

    /// Whether files that were published lie in our own folder.
    pub fn are_ours(&self) -> bool {
        self.shared.is_none()
    }

    /// Keeps a file under a name that is made from its content.
    async fn put(&self, name: &str, data: Bytes) -> io::Result<()> {
        if let Some(store) = &self.shared {
            return send(store, name, &mut &data[..]).await;
        }
        let (path, ages) = (self.path(name)?, Arc::clone(&self.ages));
        let written = tokio::task::spawn_blocking(move || {
            if is_there_and_young(&path, &ages)? { Ok(()) } else { store::write_whole(&path, &data) }
        });
        written.await.map_err(io::Error::other)?
    }

    /// A whole file; `None` if it is not there.
    pub async fn get(&self, name: &str) -> io::Result<Option<Bytes>> {
        match tokio::fs::read(self.path(name)?).await {
            Ok(data) => return Ok(Some(data.into())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        let Some(store) = &self.shared else { return Ok(None) };
        let mut data = Vec::new();
        let mut number = 0;
        while let Some(piece) = piece(store, name, number).await? {
            data.extend_from_slice(&piece);
            number += 1;
        }
        Ok((number > 0).then(|| data.into()))
    }

    /// A part of a file; `None` if it is not there. A file that is removed meanwhile is read to its end.
    pub async fn read(
        &self,
        name: &str,
        start: u64,
        length: u64,
    ) -> io::Result<Option<BoxStream<'static, io::Result<Bytes>>>> {
        match tokio::fs::File::open(self.path(name)?).await {
            Ok(mut file) => {
                if start > 0 {
                    file.seek(io::SeekFrom::Start(start)).await?;
                }
                return Ok(Some(ReaderStream::with_capacity(file.take(length), CHUNK).boxed()));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        let Some(store) = self.shared.clone() else { return Ok(None) };
        let (first, skip) = (start / PIECE as u64, start % PIECE as u64);
        let number = i64::try_from(first).unwrap_or(i64::MAX);
        if piece(&store, name, number).await?.is_none() && length > 0 {
            return Ok(None);
        }
        let state = Pieces { store, name: name.to_owned(), number, skip, left: length };
        Ok(Some(stream::unfold(state, Pieces::next).boxed()))
    }

    /// Removes files that nothing refers to any more. Whoever reads one at the moment reads it to its end.
    pub fn remove(&self, names: &[String]) {
        for name in names {
            if let Ok(path) = self.path(name) {
                store::remove(&path);
            }
        }
    }

    /// Removes files that nothing refers to, unless they were written or put again within `age`.
    pub fn remove_old(&self, names: &[String], age: Duration) {
        for path in names.iter().filter_map(|name| self.path(name).ok()) {
            let _held = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
            if std::fs::metadata(&path).is_ok_and(|file| rested(&file) >= Some(age)) {
                store::remove(&path);
            }
        }
    }

    /// Files of the folder that are older than `age`, for whoever knows which of them are wanted.
    pub fn old(&self, age: Duration) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let old = rested(&entry.metadata()?) >= Some(age);
            if let Some(name) = entry.file_name().to_str().filter(|_| old) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Names are ours; one that is not never becomes a path.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        let ours = !name.is_empty() && !name.starts_with('.') && name.len() <= 128 && name.bytes().all(plain);
        if ours { Ok(self.folder.join(name)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }
}

/// How long a file was left alone.
fn rested(file: &std::fs::Metadata) -> Option<Duration> {
    file.modified().ok()?.elapsed().ok()
}

fn is_there_and_young(path: &Path, ages: &Mutex<()>) -> io::Result<bool> {
    let _held = ages.lock().unwrap_or_else(PoisonError::into_inner);
    match std::fs::File::open(path) {
        Ok(file) => file.set_modified(SystemTime::now()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

async fn send(store: &Store, name: &str, file: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<()> {
    let mut number = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut *file).take(PIECE as u64).read_to_end(&mut piece).await?;
        // An empty file is one empty piece.
        if piece.is_empty() && number > 0 {
            return Ok(());
        }
        let last = piece.len() < PIECE;
        store.write_chunk(name.to_owned(), number, piece).await.map_err(io::Error::other)?;
        if last {
            return Ok(());
        }
        number += 1;
    }
}

async fn piece(store: &Store, name: &str, number: i64) -> io::Result<Option<Vec<u8>>> {
    store.read_chunk(name.to_owned(), number).await.map_err(io::Error::other)
}

/// A file in a database, being read.
struct Pieces {
    store: Store,
    name: String,
    number: i64,
    skip: u64,
    left: u64,
}

impl Pieces {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.left == 0 {
            return None;
        }
        let read = piece(&self.store, &self.name, self.number).await;
        let piece = read.and_then(|piece| piece.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        let piece = match piece {
            Ok(piece) => Bytes::from(piece),
            Err(error) => {
                self.left = 0;
                return Some((Err(error), self));
            }
        };
        let from = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let part = piece.slice(from..piece.len().min(from.saturating_add(most)));
        self.number += 1;
        self.skip = 0;
        self.left -= part.len() as u64;
        Some((Ok(part), self))
    }
}

#[cfg(test)]
mod tests {
    use comfyport_pictures::Metadata;

    use super::*;

    #[tokio::test]
    async fn files_are_kept_read_in_part_and_removed() {
        let data = tempfile::tempdir().unwrap();
        let files = Files::open(data.path(), 100, None).unwrap();
        files.put("abc.png", Bytes::from_static(b"0123456789")).await.unwrap();
        assert_eq!(files.get("abc.png").await.unwrap().unwrap(), "0123456789");
        let part = files.read("abc.png", 3, 4).await.unwrap().unwrap();
        let part: Vec<Bytes> = part.map(Result::unwrap).collect().await;
        assert_eq!(part.concat(), b"3456");
        let reading = files.read("abc.png", 0, 10).await.unwrap().unwrap();
        files.remove(&["abc.png".to_owned()]);
        let whole: Vec<Bytes> = reading.map(Result::unwrap).collect().await;
        assert_eq!(whole.concat(), b"0123456789");
        assert!(files.get("abc.png").await.unwrap().is_none());
        for name in ["../x", "a/b", "", ".hidden"] {
            assert!(files.get(name).await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_put_again_is_no_stray() {
        let data = tempfile::tempdir().unwrap();
        let files = Files::open(data.path(), 100, None).unwrap();
        let (long, name) = (Duration::from_hours(1), "abc.png".to_owned());
        let age = || {
            let file = std::fs::File::open(data.path().join("files").join(&name)).unwrap();
            file.set_modified(SystemTime::now() - 2 * long).unwrap();
        };
        files.put(&name, Bytes::from_static(b"x")).await.unwrap();
        age();
        let old = files.old(long).unwrap();
        assert_eq!(old, [name.as_str()]);
        // Between the look and the deed.
        files.put(&name, Bytes::from_static(b"x")).await.unwrap();
        files.remove_old(&old, long);
        assert!(files.get(&name).await.unwrap().is_some());
        age();
        files.remove_old(&old, long);
        assert!(files.get(&name).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_not_kept_goes() {
        let data = tempfile::tempdir().unwrap();
        let files = Files::open(data.path(), 100, None).unwrap();
        let source = Source {
            content_type: None,
            length: None,
            filename: "x.txt".to_owned(),
            stem: "text".to_owned(),
            embedded: Metadata::Strip,
        };
        let store = async || {
            let data = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"x"))]);
            files.store(source.clone(), data).await.unwrap()
        };
        let (kept, dropped) = (store().await, store().await);
        kept.keep();
        let names = [kept.file.clone(), dropped.file.clone()];
        drop((kept, dropped));
        assert!(files.get(&names[0]).await.unwrap().is_some());
        assert!(files.get(&names[1]).await.unwrap().is_none());
    }
}
