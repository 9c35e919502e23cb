//! What the simulator saw and did, in order, for tests to look at.

use std::{
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

/// The record. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Ledger {
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
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() < MAX_ENTRIES {
            entries.push(Entry {
                at: u64::try_from(at).unwrap_or(u64::MAX),
                event,
                prompt_id: prompt_id.map(str::to_owned),
                detail: detail.into(),
            });
        }
    }
}
