//! What becomes of a job whose try went wrong: a table, published in `docs/jobs.md`.

use std::time::Duration;

use comfyport_store::Job;

use crate::run::RunError;

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It failed.
    Fail,
    /// It failed because engines do not survive it.
    Park,
    /// Somebody cancelled it on the engine.
    Cancel,
    /// It is tried again.
    Again(Again),
}

/// How a job is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Again {
    /// Whether the try counts.
    pub(super) counts: bool,
    /// Whether the engine did not survive it.
    pub(super) crashed: bool,
    /// Whether another engine is better, if there is one.
    pub(super) elsewhere: bool,
    /// Whether the engine is to unload its models first.
    pub(super) free: bool,
    /// How long to wait.
    pub(super) pause: Option<Duration>,
}

/// After so many tries that engines did not survive, a job is parked.
pub(super) const CRASHES: u32 = 3;

/// After so many servers died while they had a job, it is parked.
pub(super) const TAKEOVERS: u32 = 10;

/// A job that runs out of memory is tried so often.
const OOM_ATTEMPTS: u32 = 2;

/// What becomes of `job` after `error`. `others`: whether another engine could run it.
pub(super) fn fate(error: &RunError, job: &Job, others: bool) -> Fate {
    let last = job.attempts >= job.max_attempts;
    let crash = Again { counts: true, crashed: true, elsewhere: true, ..Again::default() };
    let again = match error {
        RunError::Unreachable { .. } | RunError::NoEngine { .. } => {
            Again { elsewhere: true, pause: Some(Duration::from_millis(500)), ..Again::default() }
        }
        RunError::Lost | RunError::Away { .. } | RunError::Stalled if job.crashes + 1 >= CRASHES => {
            return Fate::Park;
        }
        RunError::Lost => Again { elsewhere: false, ..crash },
        RunError::Away { .. } | RunError::Stalled => crash,
        RunError::Protocol { .. } => {
            Again { counts: true, elsewhere: true, pause: Some(backoff(job.attempts)), ..Again::default() }
        }
        RunError::OutOfMemory { .. } if job.attempts >= OOM_ATTEMPTS => return Fate::Fail,
        RunError::OutOfMemory { .. } => {
            Again { counts: true, elsewhere: true, free: true, ..Again::default() }
        }
        RunError::NotReady { .. } | RunError::FileTooLarge { .. } if others => {
            Again { counts: true, elsewhere: true, ..Again::default() }
        }
        RunError::Cancelled => return Fate::Cancel,
        RunError::NotReady { .. }
        | RunError::FileTooLarge { .. }
        | RunError::Request { .. }
        | RunError::Rejected { .. }
        | RunError::Failed { .. }
        | RunError::Timeout { .. }
        | RunError::OutputMissing { .. }
        | RunError::Storage { .. }
        | RunError::Gone { .. }
        | RunError::Busy
        | RunError::Stopping => return Fate::Fail,
    };
    if again.counts && last { Fate::Fail } else { Fate::Again(again) }
}

/// 1 s, 2 s, 4 s … 30 s, each up to a quarter more or less.
fn backoff(attempts: u32) -> Duration {
    let seconds = 2_f64.powi(i32::try_from(attempts.clamp(1, 6)).unwrap_or(1) - 1).min(30.0);
    Duration::from_secs_f64(seconds * (0.75 + fastrand::f64() / 2.0))
}
