//! What happened to a job, numbered, for those who watch it and for those who come back later.

use uuid::Uuid;

use crate::{
    Job, Notice, Store, StoreError,
    database::{Row, Tx},
    transition::announce,
};

/// One thing that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// 1, 2, 3… of each job.
    pub number: i64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// A state, `retrying` or `progress`.
    pub kind: String,
    /// More, as JSON.
    pub data: String,
}

impl Event {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { number: row.int(0)?, at: row.int(1)?, kind: row.text(2)?, data: row.text(3)? })
    }
}

impl Store {
    /// The events of a job after one number, and the job as of the last of them. `None` if there is no such job.
    pub async fn events(&self, id: Uuid, after: i64) -> Result<Option<(Job, Vec<Event>)>, StoreError> {
        self.read(move |tx| {
            let Some(job) = load(tx, id)? else { return Ok(None) };
            let rows = tx.query(
                "SELECT number, at, kind, data FROM events WHERE job = ?1 AND number > ?2 ORDER BY number",
                &[id.into(), after.into()],
            )?;
            Ok(Some((job, rows.iter().map(Event::read).collect::<Result<_, _>>()?)))
        })
        .await
    }

    /// Keeps how far a running job is, as an event of its own. Whoever lost the job changes nothing, and hears it.
    pub async fn progressed(&self, id: Uuid, fence: i64, progress: String) -> Result<bool, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| {
            let sql = format!(
                "UPDATE jobs SET progress = ?3 WHERE id = ?1 AND fence = ?2 AND state = 'running' RETURNING {}",
                Job::COLUMNS
            );
            let values = [id.into(), fence.into(), progress.as_str().into()];
            let Some(row) = tx.query_one(&sql, &values)? else { return Ok(false) };
            let mut job = Job::read(&row)?;
            add(tx, &mut job, now, "progress", &progress)?;
            announce(tx, &render, &job, "job.progress", now)?;
            Ok(true)
        })
        .await
    }
}

/// A job by its id.
pub(crate) fn load(tx: &mut dyn Tx, id: Uuid) -> Result<Option<Job>, StoreError> {
    let sql = format!("SELECT {} FROM jobs WHERE id = ?1", Job::COLUMNS);
    tx.query_one(&sql, &[id.into()])?.map(|row| Job::read(&row)).transpose()
}

/// Adds an event to a job whose row this transaction has changed, so that nobody else numbers events meanwhile.
pub(crate) fn add(
    tx: &mut dyn Tx,
    job: &mut Job,
    now: i64,
    kind: &str,
    data: &str,
) -> Result<(), StoreError> {
    let row = tx.query_one(
        "UPDATE jobs SET events = events + 1 WHERE seq = ?1 RETURNING events",
        &[job.seq.into()],
    )?;
    job.events = row.ok_or_else(|| StoreError::Nonsense("a job without a row".to_owned()))?.int(0)?;
    write(tx, job, now, kind, data)
}

/// Writes the event that a job's row counts as its last one.
pub(crate) fn write(tx: &mut dyn Tx, job: &Job, now: i64, kind: &str, data: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO events (job, number, at, kind, data) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[job.id.into(), job.events.into(), now.into(), kind.into(), data.into()],
    )?;
    tx.notify(Notice::Job(job.id));
    Ok(())
}
