//! Which input files an engine was given.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// What an engine already has, and what it calls it.
#[derive(Debug, Default)]
pub(crate) struct Uploaded(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    values: HashMap<Arc<str>, Arc<str>>,
    order: VecDeque<Arc<str>>,
}

/// How many files are remembered for each engine.
const REMEMBERED: usize = 4096;

impl Uploaded {
    /// What the engine calls a file that it has.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values.get(name).map(Arc::clone)
    }

    /// Remembers what the engine calls a file.
    pub(crate) fn insert(&self, name: Arc<str>, value: Arc<str>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.values.insert(Arc::clone(&name), value).is_none() {
            recent.order.push_back(name);
        }
        if recent.order.len() > REMEMBERED
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.values.remove(&oldest);
        }
    }

    /// Forgets everything: the engine does not seem to have what it was given.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Recent::default();
    }
}
