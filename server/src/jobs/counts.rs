//! What is counted of jobs, for whoever shows it.

use std::sync::{Arc, Mutex, PoisonError};

use comfyport_store::{Job, State, list::Depth};

use crate::{problem::Code, run::Timing};

/// Whoever shows what is counted.
pub trait JobCounter: Send + Sync + std::fmt::Debug {
    /// A job was accepted.
    fn accepted(&self, owner: &str, workflow: &str);
    /// A job has ended. Times are known of those that succeeded.
    fn ended(&self, owner: &str, workflow: &str, engine: &str, state: State, timing: Option<Timing>);
    /// A try of a job went wrong, and it is tried again.
    fn retried(&self, workflow: &str, code: Code);
}

/// What is counted of jobs.
#[derive(Debug, Default)]
pub struct Counts {
    counters: Mutex<Vec<Arc<dyn JobCounter>>>,
    depth: Mutex<Depth>,
    kept: std::sync::atomic::AtomicU64,
}

impl Counts {
    /// Tells somebody more from now on.
    pub fn tell(&self, counter: Arc<dyn JobCounter>) {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).push(counter);
    }

    /// How much waits and runs, as last counted.
    pub fn last_depth(&self) -> Depth {
        self.depth.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many bytes of output files are kept, as last counted.
    pub fn kept_bytes(&self) -> u64 {
        self.kept.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn depth(&self, depth: Depth) {
        *self.depth.lock().unwrap_or_else(PoisonError::into_inner) = depth;
    }

    pub(super) fn kept(&self, bytes: u64) {
        self.kept.store(bytes, std::sync::atomic::Ordering::Relaxed);
    }

    pub(super) fn accepted(&self, job: &Job) {
        self.with(|counter| counter.accepted(&job.owner, &job.workflow));
    }

    pub(super) fn ended(&self, job: &Job, state: State, engine: &str, timing: Option<Timing>) {
        self.with(|counter| counter.ended(&job.owner, &job.workflow, engine, state, timing));
    }

    /// A job ended where it waited.
    pub fn unrun(&self, job: &Job) {
        self.ended(job, job.state, "", None);
    }

    pub(super) fn retried(&self, job: &Job, code: Code) {
        self.with(|counter| counter.retried(&job.workflow, code));
    }

    fn with(&self, tell: impl Fn(&dyn JobCounter)) {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for counter in &counters {
            tell(&**counter);
        }
    }
}
