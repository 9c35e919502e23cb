//! What admins did and who was refused, a line of JSON each, in a file of its own.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use serde::Serialize;

/// Lines on their way to the file. Under a flood of refusals some are left out, and counted.
const WAITING: usize = 4096;

/// Earlier files that are kept: `audit.jsonl.1` is the newest of them.
const EARLIER: u32 = 4;

/// One thing worth remembering.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    /// When, such as `2030-01-31T12:00:00.123Z`.
    pub(super) at: String,
    /// `admin` or `refused`.
    pub(super) kind: &'static str,
    /// The id of the key, if there was one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) subject: String,
    /// Where the caller is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    /// The method and the path, without the query.
    pub(super) request: String,
    /// The status of the answer.
    pub(super) status: u16,
    /// The request's id, as in the log.
    pub(super) request_id: String,
}

/// The file, and the thread that writes it.
pub struct Audit {
    lines: Mutex<Option<SyncSender<Vec<u8>>>>,
    left_out: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Audit").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

impl Audit {
    /// Adds to this file, and begins another one when it has so many bytes.
    pub fn open(path: PathBuf, largest: u64) -> io::Result<Self> {
        let mut file = Rotating::open(path, largest)?;
        let (lines, orders): (_, Receiver<Vec<u8>>) = sync_channel(WAITING);
        let write = move || {
            while let Ok(line) = orders.recv() {
                if let Err(error) = file.write(&line) {
                    tracing::error!(%error, "the audit log cannot be written");
                }
            }
        };
        let writer = std::thread::Builder::new().name("audit".to_owned()).spawn(write)?;
        Ok(Self {
            lines: Mutex::new(Some(lines)),
            left_out: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Writes it down. Never waits.
    pub(super) fn note(&self, entry: &Entry) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        let mut line = serde_json::to_vec(entry).unwrap_or_default();
        line.push(b'\n');
        if left_out > 0 {
            let gap = format!("{{\"at\":\"{}\",\"kind\":\"gap\",\"left_out\":{left_out}}}\n", entry.at);
            line.splice(..0, gap.into_bytes());
        }
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let full = lines.as_ref().map(|lines| lines.try_send(line));
        if let Some(Err(TrySendError::Full(_))) = full {
            self.left_out.fetch_add(left_out + 1, Ordering::Relaxed);
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            writer.join().ok();
        }
    }
}

/// A file that is put aside when it is large.
struct Rotating {
    path: PathBuf,
    largest: u64,
    file: File,
    size: u64,
}

impl Rotating {
    fn open(path: PathBuf, largest: u64) -> io::Result<Self> {
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, largest, file, size })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.largest {
            let earlier = |number: u32| {
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            };
            for number in (1..EARLIER).rev() {
                if let Err(error) = std::fs::rename(earlier(number), earlier(number + 1))
                    && error.kind() != io::ErrorKind::NotFound
                {
                    return Err(error);
                }
            }
            std::fs::rename(&self.path, earlier(1))?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u16) -> Entry {
        Entry {
            at: "2030-01-31T12:00:00Z".to_owned(),
            kind: "refused",
            subject: String::new(),
            address: None,
            request: "GET /jobs".to_owned(),
            status: number,
            request_id: "r".to_owned(),
        }
    }

    #[test]
    fn large_files_are_put_aside_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(path.clone(), 250).unwrap();
        for number in 0..40 {
            audit.note(&entry(number));
        }
        drop(audit);
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        names.sort();
        assert_eq!(names.len(), 1 + EARLIER as usize);
        assert!(names.iter().all(|name| std::fs::metadata(name).unwrap().len() <= 250));
        assert!(read(path).lines().last().unwrap().contains("\"status\":39"));
        assert!(
            names
                .into_iter()
                .flat_map(|name| read(name).lines().map(str::to_owned).collect::<Vec<_>>())
                .all(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap()["kind"] == "refused")
        );
    }
}
