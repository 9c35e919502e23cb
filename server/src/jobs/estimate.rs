//! How long jobs of a workflow usually run.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How much the newest run counts.
const WEIGHT: f64 = 0.2;

/// Usual run times, by workflow, in seconds. Workflows are a closed set, so this does not grow.
#[derive(Debug, Default)]
pub(super) struct Estimates(Mutex<HashMap<String, f64>>);

impl Estimates {
    /// Notes a run.
    pub(super) fn note(&self, workflow: &str, ran: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = ran.as_secs_f64();
        let known = all.entry(workflow.to_owned()).or_insert(seconds);
        *known += WEIGHT * (seconds - *known);
    }

    /// How long one runs; `None` before the first.
    pub(super) fn of(&self, workflow: &str) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(workflow).and_then(|seconds| Duration::try_from_secs_f64(*seconds).ok())
    }

    /// How long any of them runs, on average over workflows.
    pub(super) fn usual(&self) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = all.values().sum::<f64>() / all.len() as f64;
        Duration::try_from_secs_f64(mean).ok()
    }
}
