//! What callers used, counted here and written down now and then.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use comfyport_store::{
    State, Store, StoreError,
    usage::{DAY, Usage},
};

use crate::{jobs::JobCounter, problem::Code, run::Timing};

/// Counts by caller and kind.
#[derive(Debug, Default)]
pub struct UsageCounter(Mutex<HashMap<(String, &'static str), i64>>);

/// The names of owners and those of keys are told apart by this.
const OWNER: &str = "owner:";

impl UsageCounter {
    fn add(&self, subject: String, kind: &'static str, amount: i64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((subject, kind)).or_default() += amount;
    }

    /// Somebody with this key asked for something.
    pub(super) fn asked(&self, key: &str) {
        if !key.is_empty() {
            self.add(format!("key:{key}"), "requests", 1);
        }
    }

    /// Somebody was refused. Those without a key are one.
    pub(super) fn refused(&self, key: &str) {
        let key = if key.is_empty() { "none" } else { key };
        self.add(format!("key:{key}"), "refused", 1);
    }

    /// Writes down what was counted. What cannot be written is counted on.
    pub(super) async fn flush(&self, store: &Store) -> Result<(), StoreError> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.is_empty() {
            return Ok(());
        }
        let day = store.now() / DAY;
        let usage = |((subject, kind), amount): (&(String, &'static str), &i64)| Usage {
            subject: subject.clone(),
            day,
            kind: (*kind).to_owned(),
            amount: *amount,
        };
        let mut added: Vec<Usage> = counts.iter().map(usage).collect();
        // In one order, so that servers which share a store do not wait for each other in a circle.
        added.sort();
        let written = store.add_usage(added).await;
        if written.is_err() {
            for ((subject, kind), amount) in counts {
                self.add(subject, kind, amount);
            }
        }
        written
    }
}

impl JobCounter for UsageCounter {
    fn accepted(&self, owner: &str, _: &str) {
        self.add(format!("{OWNER}{owner}"), "jobs", 1);
    }

    fn ended(&self, owner: &str, _: &str, _: &str, state: State, timing: Option<Timing>) {
        let owner = format!("{OWNER}{owner}");
        if let Some(timing) = timing {
            self.add(owner.clone(), "engine_ms", i64::try_from(timing.engine_ms).unwrap_or(i64::MAX));
        }
        self.add(owner, state.as_str(), 1);
    }

    fn retried(&self, _: &str, _: Code) {}
}
