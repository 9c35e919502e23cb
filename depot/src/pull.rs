//! Fetching: from a source into the cache, and from there into the models folder.

mod run;
mod transfer;

use std::{path::PathBuf, sync::Arc};

use futures_util::{FutureExt, StreamExt, stream};

use crate::{
    Found, Inquiry, Kept, Linked, Listener, ModelName, PullError, Settings, Sha256, Wanted, Ways,
    cache::Cache,
    progress::{Event, Step},
};

/// Models, fetched, checked, kept and linked. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Depot(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) ways: Ways,
    pub(crate) cache: Cache,
}

/// A model that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its name.
    pub name: ModelName,
    /// Where it is.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// What it hashes to. `None` for a file that was there, of which nothing is known to compare it with.
    pub sha256: Option<Sha256>,
    /// How it came here.
    pub how: How,
    /// How it got into the models folder.
    pub linked: Linked,
    /// Where it came from, if that is known.
    pub source: Option<String>,
    /// The commit of the repository that had it, if that is known.
    pub commit: Option<String>,
}

/// How a model came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was in its place already.
    Present,
    /// It was in the cache already.
    Cached,
    /// It was fetched.
    Fetched {
        /// How many bytes came over the network this time.
        bytes: u64,
        /// How many were there from former tries.
        resumed: u64,
    },
}

impl Depot {
    /// Opens a cache.
    pub fn new(settings: Settings, ways: Ways) -> Result<Self, PullError> {
        let cache = Cache::open(&settings.cache, settings.cache_limit, settings.reserve)?;
        Ok(Self(Arc::new(Inner { settings, ways, cache })))
    }

    /// Fetches models, several at a time. Each has its own result, in the order in which they were asked for. If it is
    /// dropped, what has arrived is kept.
    pub async fn pull(&self, wanted: &[Wanted], listener: &Listener) -> Vec<Result<Pulled, PullError>> {
        let each = wanted.iter().enumerate().map(|(item, wanted)| {
            let run = run::Run { depot: Arc::clone(&self.0), item, wanted, listener };
            // Boxed here, so that callers may send it to other threads: no closure is left that takes references.
            async move {
                let outcome = run.pull().await;
                let step = match &outcome {
                    Ok(pulled) => Step::Done(pulled),
                    Err(error) => Step::Failed(error),
                };
                listener.tell(Event { item, name: &wanted.name, step });
                outcome
            }
            .boxed()
        });
        let each: Vec<_> = each.collect();
        stream::iter(each).buffered(self.0.settings.parallel.max(1)).collect().await
    }

    /// Asks CivitAI who has some content: a suggestion where no source is known. `None` if it does not know.
    pub async fn find_by_hash(&self, sha256: &Sha256) -> Result<Option<Found>, PullError> {
        Inquiry::new(self.0.ways.clone(), self.0.settings.retries).find_by_hash(sha256).await
    }

    /// What is in the cache. Blocks while folders are read.
    pub fn contents(&self) -> Result<Vec<Kept>, PullError> {
        self.0.cache.contents()
    }

    /// How it is set up.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }
}
