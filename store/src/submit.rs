//! New jobs.

use std::sync::{Arc, LazyLock};

use uuid::Uuid;

use crate::{
    Job, Notice, Render, State, Store, StoreError,
    batches::NewBatch,
    database::{Dialect, Tx, Value},
    events,
    transition::announce,
};

/// A job to accept.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its public id, random.
    pub id: Uuid,
    /// The endpoint's path.
    pub workflow: String,
    /// Whose it is; empty where callers are not told apart.
    pub owner: String,
    /// 0 to 9; higher goes first.
    pub priority: u8,
    /// What it needs of an engine: a short id, and the requirement itself as JSON.
    pub need: (String, String),
    /// What to run, as JSON.
    pub request: String,
    /// How, as JSON.
    pub options: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Who wants to hear of it, as JSON.
    pub webhook: Option<String>,
    /// When it is to have ended, in milliseconds since 1970.
    pub deadline: Option<i64>,
    /// Tries allowed.
    pub max_attempts: u32,
    /// What identical requests have in common.
    pub cache_key: Option<String>,
    /// Files of the request, by their names in the store of files.
    pub inputs: Vec<String>,
    /// How many jobs of the owner may wait or run together, this one included.
    pub most_active: Option<u32>,
}

/// A caller's name for a request, by which he may repeat it.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Whose keys these are.
    pub scope: String,
    /// The key.
    pub key: String,
    /// What was asked for: another one under the same key is a mistake.
    pub fingerprint: String,
    /// Until when it is remembered, in milliseconds since 1970.
    pub expires_at: i64,
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// These are on disk now.
    New(Vec<Job>),
    /// The key was used before for the same: this is the id of the job or batch that it led to.
    Replay(Uuid),
    /// The key was used before for something else.
    Mismatch,
    /// The owner has as many jobs that wait or run as are allowed: nothing was accepted.
    TooMany,
}

impl Store {
    /// Accepts jobs, all of them or none. Its answer means that they are on disk.
    pub async fn submit(
        &self,
        jobs: Vec<NewJob>,
        batch: Option<NewBatch>,
        idempotency: Option<Idempotency>,
    ) -> Result<Submitted, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| {
            let target = batch.as_ref().map(|batch| batch.id).or_else(|| jobs.first().map(|job| job.id));
            if !are_allowed(tx, &jobs)? {
                return Ok(Submitted::TooMany);
            }
            if let (Some(idempotency), Some(target)) = (&idempotency, target)
                && let Some(known) = remember(tx, idempotency, target, now)?
            {
                return Ok(known);
            }
            if let Some(batch) = &batch {
                batch.insert(tx, jobs.len(), now)?;
            }
            let place = |index| batch.as_ref().map(|batch| (batch.id, index));
            let mut accepted = Vec::with_capacity(jobs.len());
            for (index, job) in (0_u32..).zip(&jobs) {
                accepted.push(insert(tx, &render, job, place(index), now)?);
            }
            tx.notify(Notice::Queue);
            Ok(Submitted::New(accepted))
        })
        .await
    }

    /// What a key of a caller led to, if it is still remembered.
    pub async fn remembered(&self, scope: String, key: String) -> Result<Option<(String, Uuid)>, StoreError> {
        let now = self.now();
        self.read(move |tx| {
            let values = [scope.as_str().into(), key.as_str().into(), now.into()];
            let found = tx.query_one(
                "SELECT fingerprint, target FROM idempotency WHERE scope = ?1 AND key = ?2 AND expires_at > ?3",
                &values,
            )?;
            found.map(|row| Ok((row.text(0)?, row.parsed(1)?))).transpose()
        })
        .await
    }

    /// The requirement behind the id of a need.
    pub async fn need(&self, id: String) -> Result<Option<String>, StoreError> {
        self.read(move |tx| {
            let found = tx.query_one("SELECT requirement FROM needs WHERE id = ?1", &[id.as_str().into()])?;
            found.map(|row| row.text(0)).transpose()
        })
        .await
    }
}

/// Whether the owner may have so many more. Those who come together are counted one after the other.
fn are_allowed(tx: &mut dyn Tx, jobs: &[NewJob]) -> Result<bool, StoreError> {
    let limit = jobs.first().and_then(|job| Some((job.owner.as_str(), i64::from(job.most_active?))));
    let Some((owner, most)) = limit else { return Ok(true) };
    if tx.dialect() == Dialect::Postgres {
        let lock = "SELECT CAST(pg_advisory_xact_lock(hashtext('comfyport owner'), hashtext(?1)) AS TEXT)";
        tx.query(lock, &[owner.into()])?;
    }
    let by = tx.dialect().by("jobs_active");
    let row = tx.query_one(
        &format!(
            "SELECT count(*) FROM (SELECT 1 FROM jobs {by} WHERE owner = ?1 AND ended_at IS NULL LIMIT ?2) AS active"
        ),
        &[owner.into(), most.into()],
    )?;
    let active = row.map_or(Ok(0), |row| row.int(0))?;
    Ok(active.saturating_add(i64::try_from(jobs.len()).unwrap_or(i64::MAX)) <= most)
}

/// Claims a key for a target. `Some` if it was claimed before.
fn remember(
    tx: &mut dyn Tx,
    idempotency: &Idempotency,
    target: Uuid,
    now: i64,
) -> Result<Option<Submitted>, StoreError> {
    let (scope, key) = (Value::from(idempotency.scope.as_str()), Value::from(idempotency.key.as_str()));
    tx.execute(
        "DELETE FROM idempotency WHERE scope = ?1 AND key = ?2 AND expires_at <= ?3",
        &[scope.clone(), key.clone(), now.into()],
    )?;
    let claimed = tx.execute(
        "INSERT INTO idempotency (scope, key, fingerprint, target, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (scope, key) DO NOTHING",
        &[
            scope.clone(),
            key.clone(),
            idempotency.fingerprint.as_str().into(),
            target.into(),
            idempotency.expires_at.into(),
        ],
    )?;
    if claimed > 0 {
        return Ok(None);
    }
    let known = tx
        .query_one(
            "SELECT fingerprint, target FROM idempotency WHERE scope = ?1 AND key = ?2",
            &[scope, key],
        )?
        .ok_or(StoreError::Contended)?;
    let same = known.text(0)? == idempotency.fingerprint;
    Ok(Some(if same { Submitted::Replay(known.parsed(1)?) } else { Submitted::Mismatch }))
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO jobs (id, workflow, owner, state, rank, need, ready, created_at, fence, attempts, max_attempts, \
         crashes, takeovers, submitted, cancel, request, options, webhook, deadline, cache_key, batch, batch_index, \
         events) VALUES (?1, ?2, ?3, 'queued', ?4, ?5, 1, ?6, 0, 0, ?7, 0, 0, 0, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 1) \
         RETURNING {}",
        Job::COLUMNS
    )
});

fn insert(
    tx: &mut dyn Tx,
    render: &Arc<dyn Render>,
    new: &NewJob,
    batch: Option<(Uuid, u32)>,
    now: i64,
) -> Result<Job, StoreError> {
    let (need, requirement) = &new.need;
    tx.execute(
        "INSERT INTO needs (id, requirement) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING",
        &[need.as_str().into(), requirement.as_str().into()],
    )?;
    let values = [
        new.id.into(),
        new.workflow.as_str().into(),
        new.owner.as_str().into(),
        i64::from(9 - new.priority.min(9)).into(),
        need.as_str().into(),
        now.into(),
        new.max_attempts.into(),
        new.request.as_str().into(),
        new.options.as_str().into(),
        new.webhook.as_deref().into(),
        new.deadline.into(),
        new.cache_key.as_deref().into(),
        batch.map(|(id, _)| id).into(),
        batch.map(|(_, index)| index).into(),
    ];
    let row = tx.query_one(&INSERT, &values)?;
    let row = row.ok_or_else(|| StoreError::Nonsense("an insert without a row".to_owned()))?;
    let job = Job::read(&row)?;
    for tag in &new.tags {
        tx.execute(
            "INSERT INTO tags (tag, seq) VALUES (?1, ?2) ON CONFLICT (tag, seq) DO NOTHING",
            &[tag.as_str().into(), job.seq.into()],
        )?;
    }
    for file in &new.inputs {
        tx.execute(
            "INSERT INTO inputs (job, file) VALUES (?1, ?2) ON CONFLICT (job, file) DO NOTHING",
            &[job.id.into(), file.as_str().into()],
        )?;
    }
    events::write(tx, &job, now, State::Queued.as_str(), "{}")?;
    announce(tx, render, &job, "job.queued", now)?;
    Ok(job)
}
