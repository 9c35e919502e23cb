//! What engines ran, as they wrote it down before they ran it.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use serde_json::Value;
use uuid::Uuid;

/// The file of one engine, read as it grows.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) path: PathBuf,
    read: u64,
    entries: usize,
}

impl Ledger {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0, entries: 0 }
    }

    /// How many starts and ends there are.
    pub(crate) fn entries(&mut self) -> usize {
        let Ok(mut file) = File::open(&self.path) else { return 0 };
        file.seek(SeekFrom::Start(self.read)).unwrap();
        let mut news = Vec::new();
        file.read_to_end(&mut news).unwrap();
        self.read += news.len() as u64;
        self.entries += news.split(|byte| *byte == b'\n').count() - 1;
        self.entries
    }

    /// How often each prompt was begun.
    pub(crate) fn begun(&self) -> HashMap<Uuid, usize> {
        let mut begun = HashMap::new();
        for line in std::fs::read_to_string(&self.path).unwrap_or_default().lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            if entry["event"] == "started" {
                let id = entry["prompt_id"].as_str().unwrap().parse().unwrap();
                *begun.entry(id).or_default() += 1;
            }
        }
        begun
    }
}
