//! What the simulator saw and did, in order, for tests to look at.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// Entries beyond this many are counted, not kept.
const MAX_ENTRIES: usize = 200_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub at: u64,
    /// What happened.
    pub event: LedgerEvent,
    /// The prompt it happened to, if to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_id: Option<String>,
    /// A file, a client id, a fault: whatever tells entries apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LedgerEvent {
    /// A prompt was accepted.
    Received,
    /// A prompt was refused.
    Rejected,
    /// The worker took a prompt.
    Started,
    /// A prompt ran to its end.
    Succeeded,
    /// A node of a prompt failed.
    Failed,
    /// A prompt was interrupted.
    Interrupted,
    /// An interrupt was asked for.
    InterruptRequested,
    /// A prompt was deleted from the queue.
    Deleted,
    /// A prompt was deleted from the history.
    HistoryDeleted,
    /// A file was uploaded.
    Uploaded,
    /// A file was fetched.
    Viewed,
    /// A WebSocket was opened.
    Connected,
    /// A WebSocket was closed.
    Disconnected,
    /// Memory was asked to be freed.
    Freed,
    /// A fault was acted out.
    Fault,
}

impl LedgerEvent {
    /// Whether the worker began or ended a prompt.
    fn is_of_execution(self) -> bool {
        matches!(self, Self::Started | Self::Succeeded | Self::Failed | Self::Interrupted)
    }
}

/// The record. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: Arc<Mutex<Vec<Entry>>>,
    file: Option<Arc<Mutex<File>>>,
}

impl Ledger {
    /// A record whose starts and ends of prompts are also added to a file.
    pub(crate) fn open(path: &Path) -> Result<Self, io::Error> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { file: Some(Arc::new(Mutex::new(file))), ..Self::default() })
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often something happened.
    pub fn count(&self, event: LedgerEvent) -> usize {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter(|entry| entry.event == event).count()
    }

    pub(crate) fn note(&self, event: LedgerEvent, prompt_id: Option<&str>, detail: impl Into<String>) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let entry = Entry {
            at: u64::try_from(at).unwrap_or(u64::MAX),
            event,
            prompt_id: prompt_id.map(str::to_owned),
            detail: detail.into(),
        };
        if event.is_of_execution() {
            self.write_down(&entry);
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() < MAX_ENTRIES {
            entries.push(entry);
        }
    }

    fn write_down(&self, entry: &Entry) {
        let Some(file) = &self.file else { return };
        let Ok(mut line) = serde_json::to_vec(entry) else { return };
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // One call, so that a line is there or not, whenever the process is killed.
        if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
            tracing::error!(%error, "the ledger cannot be written");
        }
    }
}
