//! How models are fetched and kept.

use std::{path::PathBuf, time::Duration};

use crate::Retries;

/// How models are fetched and kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of what was fetched.
    pub cache: PathBuf,
    /// ComfyUI's models folder.
    pub models: PathBuf,
    /// How files get from the one into the other.
    pub link: LinkMode,
    /// How many bytes the cache may hold.
    pub cache_limit: Option<u64>,
    /// How many bytes of a disk stay free.
    pub reserve: u64,
    /// How many models are fetched at a time.
    pub parallel: usize,
    /// How many bytes a model may have at most.
    pub largest: u64,
    /// How often something is tried again.
    pub retries: Retries,
    /// Whether files are fetched that can run code when they are loaded.
    pub pickles: bool,
    /// Whether a file that is something else is overwritten.
    pub overwrite: bool,
    /// Whether folders of the models folder may be links that leave it.
    pub links_may_leave: bool,
    /// How often what arrived is brought onto the disk for sure, so that it need not be fetched again.
    pub sync_every: Duration,
}

impl Settings {
    /// As usual, for two folders.
    pub fn new(cache: impl Into<PathBuf>, models: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            models: models.into(),
            link: LinkMode::default(),
            cache_limit: None,
            reserve: 1 << 30,
            parallel: 3,
            largest: 200 << 30,
            retries: Retries::default(),
            pickles: false,
            overwrite: false,
            links_may_leave: false,
            sync_every: Duration::from_secs(5),
        }
    }
}

/// How a file gets from the cache into the models folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// As a copy that shares its blocks, where the file system can do that; else as a hard link; else as a copy.
    #[default]
    Auto,
    /// As a copy.
    Copy,
    /// As a symbolic link.
    Symlink,
}
