//! One engine with what is remembered about it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::Uploaded;
use crate::{
    engine::{Engine, EngineError},
    readiness::{Ages, Missing, Readiness, Requirement},
};

/// How an operator wants a place to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceSettings {
    /// How much work it takes beside others: a place of weight 2 is as busy with two prompts as one of weight 1 with
    /// one. Above 0.
    pub weight: f64,
    /// Words by which operators group places.
    pub tags: Vec<String>,
    /// Prompts of ours that may be there at the same time, the running one included. At least 1.
    pub concurrency: usize,
}

impl Default for PlaceSettings {
    fn default() -> Self {
        Self { weight: 1.0, tags: Vec::new(), concurrency: 2 }
    }
}

/// An engine with what is remembered about it.
#[derive(Debug)]
pub struct Place {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Its lists.
    pub readiness: Readiness,
    /// The input files it has.
    pub(crate) uploaded: Uploaded,
    settings: PlaceSettings,
    outstanding: AtomicUsize,
}

impl Place {
    /// Nothing is asked of the engine yet.
    pub fn new(engine: Arc<dyn Engine>, settings: PlaceSettings, ages: Ages) -> Self {
        Self {
            readiness: Readiness::new(Arc::clone(&engine), ages),
            engine,
            uploaded: Uploaded::default(),
            settings,
            outstanding: AtomicUsize::new(0),
        }
    }

    /// The engine's name.
    pub fn name(&self) -> &str {
        self.engine.name()
    }

    /// Prompts of ours that may be there at the same time.
    pub fn slots(&self) -> usize {
        self.settings.concurrency
    }

    /// How much work it takes beside others.
    pub fn weight(&self) -> f64 {
        self.settings.weight
    }

    /// Words by which operators group places.
    pub fn tags(&self) -> &[String] {
        &self.settings.tags
    }

    /// What the engine lacks of what is needed. Its lists are read again if they are old, or if something is missing
    /// and they are not brand new.
    pub async fn lacks(&self, need: &Requirement) -> Result<Missing, EngineError> {
        self.readiness.missing(need).await
    }

    /// Whether the engine has what is needed, as far as is remembered. Nothing is asked; `None` if something that
    /// decides it is not known, which [`Place::lacks`] finds out.
    pub fn could_run(&self, need: &Requirement) -> Option<bool> {
        self.readiness.remembered(need)
    }

    /// Work of ours that is with the engine or on its way there.
    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Counts one piece of work as outstanding until the answer is dropped.
    pub fn occupy(self: &Arc<Self>) -> Occupied {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Occupied(Arc::clone(self))
    }
}

/// A piece of work that is with an engine.
#[derive(Debug)]
pub struct Occupied(Arc<Place>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
