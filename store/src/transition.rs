//! How jobs change. Every change says from which state, and of a running job from which fence: it happens once or not
//! at all.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    Job, Notice, Render, State, Store, StoreError,
    artifacts::NewArtifact,
    database::{Tx, Value},
    deliveries, events,
};

/// How a running job ends.
#[derive(Debug, Clone)]
pub struct Ending {
    /// A final state.
    pub state: State,
    /// What it yielded, as JSON.
    pub result: Option<String>,
    /// Why it did not, as JSON.
    pub problem: Option<String>,
    /// Its output files.
    pub artifacts: Vec<NewArtifact>,
}

/// Why a running job goes back into the queue.
#[derive(Debug, Clone)]
pub struct Return {
    /// Whether the try counts.
    pub counts: bool,
    /// Whether the engine did not survive it.
    pub crashed: bool,
    /// How long to wait before the next try, in milliseconds.
    pub pause: Option<i64>,
    /// An engine that it should not go to again, if there is another.
    pub avoid: Option<String>,
    /// The code of the problem, for those who watch.
    pub reason: String,
}

/// What became of a wish to cancel.
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// It waited, and is cancelled now.
    Now(Job),
    /// Somebody is running it and was told.
    Told(Job),
    /// It had been cancelled before.
    Before(Job),
    /// It has ended another way.
    TooLate(Job),
    /// There is no such job.
    Unknown,
}

impl Store {
    /// The engine took the prompt of this try. Whoever lost the job changes nothing, and hears it.
    pub async fn submitted(&self, id: Uuid, fence: i64) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE jobs SET submitted = 1 WHERE id = ?1 AND fence = ?2 AND state = 'running'",
                &[id.into(), fence.into()],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// Ends a running job. `None` if it was not this holder's any more: then nothing changed, output files included.
    pub async fn finish(&self, id: Uuid, fence: i64, ending: Ending) -> Result<Option<Job>, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| {
            let sql = format!(
                "UPDATE jobs SET state = ?3, ended_at = ?4, result = ?5, problem = ?6, holder = NULL, cancel = 0 \
                 WHERE id = ?1 AND fence = ?2 AND state = 'running' RETURNING {}",
                Job::COLUMNS
            );
            let values = [
                id.into(),
                fence.into(),
                ending.state.as_str().into(),
                now.into(),
                ending.result.as_deref().into(),
                ending.problem.as_deref().into(),
            ];
            let Some(row) = tx.query_one(&sql, &values)? else { return Ok(None) };
            let mut job = Job::read(&row)?;
            for artifact in &ending.artifacts {
                artifact.insert(tx, id, now)?;
            }
            ended(tx, &render, &mut job, now)?;
            tx.notify(Notice::Queue);
            Ok(Some(job))
        })
        .await
    }

    /// Puts a running job back into the queue; one that is to be cancelled ends there. `None` if it was not this holder's
    /// any more.
    pub async fn give_back(&self, id: Uuid, fence: i64, why: Return) -> Result<Option<Job>, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| {
            let sql = format!(
                "UPDATE jobs SET state = 'queued', holder = NULL, submitted = 0, progress = NULL, avoid = ?3, \
                 ready = ?4, run_after = ?5, attempts = attempts - ?6, crashes = crashes + ?7 \
                 WHERE id = ?1 AND fence = ?2 AND state = 'running' RETURNING {}",
                Job::COLUMNS
            );
            let run_after = why.pause.map(|pause| now.saturating_add(pause));
            let values = [
                id.into(),
                fence.into(),
                why.avoid.as_deref().into(),
                why.pause.is_none().into(),
                run_after.into(),
                (!why.counts).into(),
                why.crashed.into(),
            ];
            let Some(row) = tx.query_one(&sql, &values)? else { return Ok(None) };
            let mut job = Job::read(&row)?;
            let data = serde_json::json!({"reason": why.reason, "attempts": job.attempts, "engine": job.engine});
            tx.notify(Notice::Queue);
            if job.cancel
                && let Some(mut job) = end_waiting(tx, State::Cancelled, "id = ?1", &[id.into(), now.into()])?
            {
                ended(tx, &render, &mut job, now)?;
                return Ok(Some(job));
            }
            events::add(tx, &mut job, now, "retrying", &data.to_string())?;
            Ok(Some(job))
        })
        .await
    }

    /// Leaves a running job to whoever comes next, with its prompt on the engine. Answers whether it was still ours.
    pub async fn hand_over(&self, id: Uuid, fence: i64) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE jobs SET holder = NULL WHERE id = ?1 AND fence = ?2 AND state = 'running'",
                &[id.into(), fence.into()],
            )?;
            if changed > 0 {
                tx.notify(Notice::Fleet);
            }
            Ok(changed > 0)
        })
        .await
    }

    /// Cancels a job that waits, and has whoever runs it told if it runs.
    pub async fn cancel(&self, id: Uuid) -> Result<Cancelled, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| cancel(tx, &render, id, now)).await
    }

    /// Ends what waits longer than it may.
    pub async fn expire(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        let (render, now) = (self.render(), self.now());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.write(move |tx| {
            let by = tx.dialect().by("jobs_deadline");
            let due = tx.query(
                &format!(
                    "SELECT seq FROM jobs {by} WHERE state = 'queued' AND deadline IS NOT NULL AND deadline <= ?1 \
                     ORDER BY deadline LIMIT ?2"
                ),
                &[now.into(), limit.into()],
            )?;
            let mut expired = Vec::new();
            for row in due {
                let values = [row.int(0)?.into(), now.into()];
                if let Some(mut job) = end_waiting(tx, State::Expired, "seq = ?1", &values)? {
                    ended(tx, &render, &mut job, now)?;
                    expired.push(job);
                }
            }
            Ok(expired)
        })
        .await
    }
}

/// Cancels one job as part of a transaction.
pub(crate) fn cancel(
    tx: &mut dyn Tx,
    render: &Arc<dyn Render>,
    id: Uuid,
    now: i64,
) -> Result<Cancelled, StoreError> {
    if let Some(mut job) = end_waiting(tx, State::Cancelled, "id = ?1", &[id.into(), now.into()])? {
        ended(tx, render, &mut job, now)?;
        return Ok(Cancelled::Now(job));
    }
    let sql =
        format!("UPDATE jobs SET cancel = 1 WHERE id = ?1 AND state = 'running' RETURNING {}", Job::COLUMNS);
    if let Some(row) = tx.query_one(&sql, &[id.into()])? {
        tx.notify(Notice::Cancel(id));
        return Ok(Cancelled::Told(Job::read(&row)?));
    }
    Ok(match events::load(tx, id)? {
        None => Cancelled::Unknown,
        Some(job) if job.state == State::Cancelled => Cancelled::Before(job),
        // Between the two looks it went from running to queued or back; the caller may ask again.
        Some(job) if !job.state.is_final() => return Err(StoreError::Contended),
        Some(job) => Cancelled::TooLate(job),
    })
}

/// Ends a job where it waits. `which` has the time as `?2`, and perhaps the problem as `?3`.
pub(crate) fn end_waiting(
    tx: &mut dyn Tx,
    state: State,
    which: &str,
    values: &[Value],
) -> Result<Option<Job>, StoreError> {
    let problem = if values.len() > 2 { ", problem = ?3" } else { "" };
    let sql = format!(
        "UPDATE jobs SET state = '{state}', ended_at = ?2, ready = 0, run_after = NULL, cancel = 0{problem} \
         WHERE {which} AND state = 'queued' RETURNING {}",
        Job::COLUMNS
    );
    tx.query_one(&sql, values)?.map(|row| Job::read(&row)).transpose()
}

/// What every end has in common.
pub(crate) fn ended(
    tx: &mut dyn Tx,
    render: &Arc<dyn Render>,
    job: &mut Job,
    now: i64,
) -> Result<(), StoreError> {
    events::add(tx, job, now, job.state.as_str(), "{}")?;
    announce(tx, render, job, &format!("job.{}", job.state), now)
}

/// Puts a webhook into the outbox, if anybody wants to hear of this.
pub(crate) fn announce(
    tx: &mut dyn Tx,
    render: &Arc<dyn Render>,
    job: &Job,
    event: &str,
    now: i64,
) -> Result<(), StoreError> {
    let Some(webhook) = &job.webhook else { return Ok(()) };
    deliveries::enqueue(tx, render, job, webhook, event, now)
}
