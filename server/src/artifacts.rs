//! Output files, kept for a while and served to those who know their id.
//!
//! Each process owns one folder below the data directory, held by a lock on a file in it. Folders whose lock is free
//! belong to processes that are gone and are removed at start: the index lives in memory, so nothing could serve them.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

mod inspect;
pub mod range;
mod store;
pub(crate) use store::hex;

pub use inspect::Defect;
pub use store::{Source, StoreError};

/// How long and how much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Outputs of a run older than this are removed.
    pub age: Duration,
    /// Outputs of the oldest runs are removed while all together are larger than this, in bytes.
    pub bytes: u64,
    /// A single output file larger than this is refused, in bytes.
    pub file_bytes: u64,
}

/// One stored output file. The file is removed when its last owner lets go, so a download in progress finishes.
#[derive(Debug)]
pub struct Artifact {
    /// Where it lies.
    pub path: PathBuf,
    /// Its media type.
    pub content_type: String,
    /// The name to save it under.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Width and height in pixels, of pictures.
    pub dimensions: Option<(u32, u32)>,
}

impl Drop for Artifact {
    fn drop(&mut self) {
        store::remove(&self.path);
    }
}

/// The artifacts of this process.
#[derive(Debug)]
pub struct Artifacts {
    folder: PathBuf,
    retention: Retention,
    index: Mutex<Index>,
    /// Held for as long as the folder is in use.
    _lock: File,
}

#[derive(Debug, Default)]
struct Index {
    runs: HashMap<Uuid, Vec<Kept>>,
    /// Oldest first.
    order: VecDeque<(Instant, Uuid)>,
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    output: String,
    files: Vec<Arc<Artifact>>,
}

impl Artifacts {
    /// Opens a fresh folder below `data_dir` and removes those of processes that are gone.
    pub fn open(data_dir: &Path, retention: Retention) -> io::Result<Self> {
        let parent = data_dir.join("artifacts");
        std::fs::create_dir_all(&parent)?;
        remove_leftovers(&parent);
        let folder = parent.join(Uuid::new_v4().simple().to_string());
        std::fs::create_dir(&folder)?;
        let lock = File::create(folder.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        Ok(Self { folder, retention, index: Mutex::default(), _lock: lock })
    }

    /// Makes the outputs of a run available.
    pub fn publish(&self, run: Uuid, outputs: Vec<(String, Vec<Arc<Artifact>>)>) {
        let kept: Vec<Kept> = outputs
            .into_iter()
            .filter(|(_, files)| !files.is_empty())
            .map(|(output, files)| Kept { output, files })
            .collect();
        if kept.is_empty() {
            return;
        }
        let mut index = self.index();
        index.bytes += bytes_of(&kept);
        index.order.push_back((Instant::now(), run));
        index.runs.insert(run, kept);
        drop(index);
        self.sweep(Instant::now());
    }

    /// One output file of a run.
    pub fn find(&self, run: Uuid, output: &str, position: usize) -> Option<Arc<Artifact>> {
        let index = self.index();
        let kept = index.runs.get(&run)?.iter().find(|kept| kept.output == output)?;
        kept.files.get(position).map(Arc::clone)
    }

    /// Lets go of what is too old or too much as of `now`.
    pub fn sweep(&self, now: Instant) {
        let mut removed = Vec::new();
        let mut index = self.index();
        while let Some((since, run)) = index.order.front().copied() {
            let expired = now.saturating_duration_since(since) > self.retention.age;
            let newest = index.order.len() == 1;
            if !expired && (index.bytes <= self.retention.bytes || newest) {
                break;
            }
            index.order.pop_front();
            let kept = index.runs.remove(&run).unwrap_or_default();
            index.bytes = index.bytes.saturating_sub(bytes_of(&kept));
            removed.extend(kept);
        }
        drop(index);
        // Removing files takes time that nobody should spend waiting for the index.
        drop(removed);
    }

    /// Sweeps every so often for as long as anybody holds the artifacts.
    pub async fn keep_sweeping(this: std::sync::Weak<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let Some(this) = this.upgrade() else { return };
            tokio::task::spawn_blocking(move || this.sweep(Instant::now())).await.ok();
        }
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> u64 {
        self.index().bytes
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Artifacts {
    fn drop(&mut self) {
        // What is left behind after a crash is removed at the next start.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

const LOCK: &str = "lock";

fn bytes_of(kept: &[Kept]) -> u64 {
    kept.iter().flat_map(|kept| &kept.files).map(|file| file.size).sum()
}

fn remove_leftovers(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for folder in entries.flatten().map(|entry| entry.path()) {
        // Without its lock file a folder is not one of ours, or is being made right now.
        let Ok(lock) = File::open(folder.join(LOCK)) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove artifacts of an earlier process");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(artifacts: &Artifacts, size: u64) -> Arc<Artifact> {
        let path = artifacts.folder.join(Uuid::new_v4().simple().to_string());
        std::fs::write(&path, vec![0; usize::try_from(size).unwrap()]).unwrap();
        let content_type = "image/png".to_owned();
        let (filename, sha256) = ("x.png".to_owned(), String::new());
        Arc::new(Artifact { path, content_type, filename, size, sha256, dimensions: None })
    }

    fn open(folder: &Path) -> Artifacts {
        let retention = Retention { age: Duration::from_mins(1), bytes: 100, file_bytes: 100 };
        Artifacts::open(folder, retention).unwrap()
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = open(folder.path());
        let runs = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
        let publish = |at: usize, size| {
            let artifact = artifact(&artifacts, size);
            let path = artifact.path.clone();
            artifacts.publish(runs[at], vec![("image".to_owned(), vec![artifact])]);
            path
        };
        let known = || runs.iter().map(|run| artifacts.find(*run, "image", 0).is_some()).collect::<Vec<_>>();
        let first = publish(0, 60);
        assert!(first.exists());
        publish(1, 60);
        assert_eq!(known(), [false, true, false]);
        assert!(!first.exists());
        publish(2, 200);
        assert_eq!(known(), [false, false, true]);
        assert_eq!(artifacts.bytes(), 200);
        artifacts.sweep(Instant::now() + Duration::from_mins(2));
        assert_eq!(known(), [false; 3]);
        assert_eq!(artifacts.bytes(), 0);
    }

    #[test]
    fn folders_of_the_dead_are_removed_and_of_the_living_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let living = open(folder.path());
        let dead = folder.path().join("artifacts").join("dead");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        let other = open(folder.path());
        assert!(!dead.exists());
        assert!(living.folder.exists() && other.folder.exists());
    }
}
