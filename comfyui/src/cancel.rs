use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{Client, ClientError, Outcome, http::quote};

/// What became of a prompt that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It waited and was taken out of the queue; it leaves no history.
    Removed,
    /// It ran and was interrupted.
    Interrupted,
    /// It had ended, or ended on its own before the interrupt took effect.
    Finished,
    /// It is neither in the queue nor in history.
    Unknown,
    /// It still runs: its node does not look at interrupts. It was told.
    StillRunning,
}

/// How often a running prompt is told again.
const REPEAT: Duration = Duration::from_secs(2);

impl Client {
    /// Cancels one prompt, and only that one: out of the queue if it waits, by an interrupt with its id if it runs.
    /// Repeats until it is gone, because it may start meanwhile, at most `cancel_timeout`.
    pub async fn cancel(&self, prompt_id: Uuid) -> Result<CancelOutcome, ClientError> {
        let id = prompt_id.to_string();
        let deadline = Instant::now() + self.config().cancel_timeout;
        let step = (self.config().poll_min / 5).max(Duration::from_millis(10));
        let mut waited = false;
        let mut told: Option<Instant> = None;
        loop {
            let queue = self.queue().await?;
            if queue.pending.contains(&id) {
                waited = true;
                self.http().command("queue", format!(r#"{{"delete":[{}]}}"#, quote(&id))).await?;
                // Deleted or started in between: only another look tells.
                if !self.queue().await?.contains(&id) && self.entry(&id).await?.is_none() {
                    self.removed(&id);
                    return Ok(CancelOutcome::Removed);
                }
            } else if queue.running.contains(&id) {
                if told.is_none_or(|at| at.elapsed() >= REPEAT) {
                    // Never without the id: an empty body stops whatever runs.
                    self.http().command("interrupt", format!(r#"{{"prompt_id":{}}}"#, quote(&id))).await?;
                    told = Some(Instant::now());
                }
            } else {
                return self.gone(&id, waited).await;
            }
            if Instant::now() >= deadline {
                return Ok(CancelOutcome::StillRunning);
            }
            sleep(step).await;
        }
    }

    async fn gone(&self, id: &str, waited: bool) -> Result<CancelOutcome, ClientError> {
        Ok(match self.entry(id).await? {
            Some(entry) if matches!(Outcome::read(&entry), Outcome::Cancelled) => CancelOutcome::Interrupted,
            Some(_) => CancelOutcome::Finished,
            None if waited => {
                self.removed(id);
                CancelOutcome::Removed
            }
            None => CancelOutcome::Unknown,
        })
    }

    fn removed(&self, id: &str) {
        if let Some(waiter) = self.socket().waiter(id) {
            waiter.removed.store(true, Ordering::Relaxed);
            waiter.look.notify_one();
        }
    }
}
