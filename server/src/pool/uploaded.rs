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

    /// Forgets some files: the engine may not have them any more.
    pub(crate) fn forget_these<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if recent.values.remove(name).is_some() {
                recent.order.retain(|kept| **kept != *name);
            }
        }
    }

    /// Forgets everything: the engine does not seem to have what it was given.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Recent::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_makes_room() {
        let uploaded = Uploaded::default();
        let put = |name: &str| uploaded.insert(name.into(), format!("comfyport/{name}").into());
        (0..REMEMBERED).for_each(|number| put(&number.to_string()));
        assert_eq!(uploaded.get("0").as_deref(), Some("comfyport/0"));
        uploaded.forget_these(["1", "none"].into_iter());
        put("new");
        assert!(uploaded.get("0").is_some() && uploaded.get("1").is_none() && uploaded.get("new").is_some());
        put("newer");
        assert!(uploaded.get("0").is_none() && uploaded.get("2").is_some());
        uploaded.forget();
        assert!(uploaded.get("new").is_none());
    }
}
