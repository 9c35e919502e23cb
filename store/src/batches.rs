//! Jobs that were asked for together.

use uuid::Uuid;

use crate::{
    Job, State, Store, StoreError,
    database::{Row, Tx},
    events,
    transition::{Cancelled, cancel},
};

/// A batch to accept with its jobs.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Its public id, random.
    pub id: Uuid,
    /// The endpoint's path.
    pub workflow: String,
    /// Whose it is.
    pub owner: String,
    /// How its jobs came about, as JSON.
    pub shape: String,
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its public id.
    pub id: Uuid,
    /// The endpoint's path.
    pub workflow: String,
    /// Whose it is.
    pub owner: String,
    /// When it was accepted, in milliseconds since 1970.
    pub created_at: i64,
    /// How many jobs it was made of.
    pub size: u32,
    /// How they came about, as JSON.
    pub shape: String,
}

impl NewBatch {
    pub(crate) fn insert(&self, tx: &mut dyn Tx, size: usize, now: i64) -> Result<(), StoreError> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        tx.execute(
            "INSERT INTO batches (id, workflow, owner, created_at, size, shape) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            &[
                self.id.into(),
                self.workflow.as_str().into(),
                self.owner.as_str().into(),
                now.into(),
                size.into(),
                self.shape.as_str().into(),
            ],
        )?;
        Ok(())
    }
}

impl Batch {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed(0)?,
            workflow: row.text(1)?,
            owner: row.text(2)?,
            created_at: row.int(3)?,
            size: row.count(4)?,
            shape: row.text(5)?,
        })
    }
}

impl Store {
    /// A batch with its jobs, in the order they were asked for; those that are no longer kept are missing.
    pub async fn batch(&self, id: Uuid) -> Result<Option<(Batch, Vec<Job>)>, StoreError> {
        self.read(move |tx| {
            let sql = "SELECT id, workflow, owner, created_at, size, shape FROM batches WHERE id = ?1";
            let Some(row) = tx.query_one(sql, &[id.into()])? else { return Ok(None) };
            let sql = format!("SELECT {} FROM jobs WHERE batch = ?1 ORDER BY batch_index", Job::COLUMNS);
            let jobs = tx.query(&sql, &[id.into()])?;
            Ok(Some((Batch::read(&row)?, jobs.iter().map(Job::read).collect::<Result<_, _>>()?)))
        })
        .await
    }

    /// Cancels what has not ended of a batch, and answers how many jobs heard of it. `None` if there is no such batch.
    pub async fn cancel_batch(&self, id: Uuid) -> Result<Option<usize>, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| {
            if tx.query_one("SELECT id FROM batches WHERE id = ?1", &[id.into()])?.is_none() {
                return Ok(None);
            }
            let open = tx.query(
                "SELECT id FROM jobs WHERE batch = ?1 AND state IN ('queued', 'running') ORDER BY batch_index",
                &[id.into()],
            )?;
            let mut heard = 0;
            for row in open {
                let one = cancel(tx, &render, row.parsed(0)?, now)?;
                heard += usize::from(matches!(one, Cancelled::Now(_) | Cancelled::Told(_)));
            }
            Ok(Some(heard))
        })
        .await
    }

    /// The newest job that succeeded with what identical requests have in common.
    pub async fn cached(&self, key: String, since: i64) -> Result<Option<Job>, StoreError> {
        self.read(move |tx| {
            let sql = "SELECT id FROM jobs WHERE cache_key = ?1 AND cache_key IS NOT NULL \
                       AND state = 'succeeded' ORDER BY seq DESC LIMIT 1";
            let Some(row) = tx.query_one(sql, &[key.as_str().into()])? else { return Ok(None) };
            let job = events::load(tx, row.parsed(0)?)?;
            Ok(job.filter(|job| job.state == State::Succeeded && job.created_at >= since))
        })
        .await
    }
}
