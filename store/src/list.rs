//! Looking for jobs.

use uuid::Uuid;

use crate::{
    Job, State, Store, StoreError,
    database::{Tx, Value},
    events,
};

/// Which jobs. Everything that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In one of these states; any if there is none.
    pub states: Vec<State>,
    /// Of this endpoint.
    pub workflow: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of this caller.
    pub owner: Option<String>,
    /// Of this batch.
    pub batch: Option<Uuid>,
    /// Accepted at this time or later.
    pub since: Option<i64>,
    /// Accepted before this time.
    pub until: Option<i64>,
    /// Accepted before the job with this number.
    pub before: Option<i64>,
}

/// How much waits and runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that wait, by endpoint.
    pub queued: Vec<(String, u64)>,
    /// Jobs that run, by engine.
    pub running: Vec<(String, u64)>,
    /// When the oldest waiting job was accepted.
    pub oldest: Option<i64>,
    /// Webhooks to deliver.
    pub webhooks: u64,
}

/// A place in the queue is counted up to here.
pub const MOST_COUNTED: i64 = 1000;

impl Store {
    /// A job.
    pub async fn job(&self, id: Uuid) -> Result<Option<Job>, StoreError> {
        self.read(move |tx| events::load(tx, id)).await
    }

    /// The newest jobs that a filter lets through, the newest first.
    pub async fn list(&self, filter: Filter, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.read(move |tx| {
            let (sql, values) = statement(&filter, limit);
            tx.query(&sql, &values)?.iter().map(Job::read).collect()
        })
        .await
    }

    /// How many jobs are before one that waits, counted up to [`MOST_COUNTED`], so that asking stays cheap.
    pub async fn place(&self, job: &Job) -> Result<i64, StoreError> {
        let (rank, seq) = (i64::from(9 - job.priority), job.seq);
        self.read(move |tx| {
            let by = tx.dialect().by("jobs_line");
            // In two parts: for both columns in one comparison SQLite goes on through all that is behind the job.
            let part = |before: &str| {
                format!(
                    "SELECT * FROM (SELECT seq FROM jobs {by} WHERE state = 'queued' AND {before} \
                     ORDER BY rank, seq LIMIT ?3) AS part"
                )
            };
            let (higher, older) = (part("rank < ?1"), part("rank = ?1 AND seq < ?2"));
            let sql = format!(
                "SELECT count(*) FROM (SELECT * FROM ({higher} UNION ALL {older}) AS ahead LIMIT ?3) AS before"
            );
            let row = tx.query_one(&sql, &[rank.into(), seq.into(), MOST_COUNTED.into()])?;
            row.map_or(Ok(0), |row| row.int(0))
        })
        .await
    }

    /// The tags of a job.
    pub async fn tags(&self, job: &Job) -> Result<Vec<String>, StoreError> {
        let seq = job.seq;
        self.read(move |tx| {
            let rows = tx.query("SELECT tag FROM tags WHERE seq = ?1 ORDER BY tag", &[seq.into()])?;
            rows.iter().map(|row| row.text(0)).collect()
        })
        .await
    }

    /// How many jobs of an endpoint are in each state, of one caller or of all. It counts all of them.
    pub async fn tally(
        &self,
        workflow: String,
        owner: Option<String>,
    ) -> Result<Vec<(State, u64)>, StoreError> {
        self.read(move |tx| {
            let sql = "SELECT state, count(*) FROM jobs WHERE workflow = ?1 \
                       AND (CAST(?2 AS TEXT) IS NULL OR owner = ?2) GROUP BY state";
            let rows = tx.query(sql, &[workflow.as_str().into(), owner.as_deref().into()])?;
            rows.iter().map(|row| Ok((row.parsed(0)?, u64::try_from(row.int(1)?).unwrap_or(0)))).collect()
        })
        .await
    }

    /// How much waits and runs. It counts all of it: not for every request.
    pub async fn depth(&self) -> Result<Depth, StoreError> {
        self.read(|tx| {
            let mut counts = |sql: &str| {
                let rows = tx.query(sql, &[])?;
                let count = |row: &crate::database::Row| {
                    Ok((row.maybe_text(0)?.unwrap_or_default(), u64::try_from(row.int(1)?).unwrap_or(0)))
                };
                rows.iter().map(count).collect::<Result<Vec<_>, StoreError>>()
            };
            let queued = counts(
                "SELECT workflow, count(*) FROM jobs WHERE state = 'queued' GROUP BY workflow ORDER BY workflow",
            )?;
            let running = counts(
                "SELECT engine, count(*) FROM jobs WHERE state = 'running' GROUP BY engine ORDER BY engine",
            )?;
            let webhooks = counts("SELECT 'all', count(*) FROM deliveries WHERE state = 'pending'")?;
            let oldest = oldest(tx)?;
            let webhooks = webhooks.first().map_or(0, |(_, count)| *count);
            Ok(Depth { queued, running, oldest, webhooks })
        })
        .await
    }
}

fn oldest(tx: &mut dyn Tx) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT created_at FROM jobs WHERE state = 'queued' ORDER BY seq LIMIT 1";
    tx.query_one(sql, &[])?.map(|row| row.int(0)).transpose()
}

fn statement(filter: &Filter, limit: u32) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut conditions = Vec::new();
    let mut condition = |text: &str, value: Value| {
        values.push(value);
        conditions.push(text.replace('?', &format!("?{}", values.len())));
    };
    if let Some(workflow) = &filter.workflow {
        condition("workflow = ?", workflow.as_str().into());
    }
    if let Some(tag) = &filter.tag {
        condition("seq IN (SELECT seq FROM tags WHERE tag = ?)", tag.as_str().into());
    }
    if let Some(owner) = &filter.owner {
        condition("owner = ?", owner.as_str().into());
    }
    if let Some(batch) = filter.batch {
        condition("batch = ?", batch.into());
    }
    if let Some(since) = filter.since {
        condition("created_at >= ?", since.into());
    }
    if let Some(until) = filter.until {
        condition("created_at < ?", until.into());
    }
    if let Some(before) = filter.before {
        condition("seq < ?", before.into());
    }
    values.push(limit.into());
    let last = format!("ORDER BY seq DESC LIMIT ?{}", values.len());
    let all = |conditions: &[String]| {
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) }
    };
    // Names of ours, not text of callers.
    let of_state = |state: &State| [conditions.clone(), vec![format!("state = '{state}'")]].concat();
    let conditions = match filter.states.as_slice() {
        [] => all(&conditions),
        [state] => all(&of_state(state)),
        // The newest of each, and the newest of those: together they would have to be sorted first.
        states => {
            let newest = |state| {
                format!("SELECT * FROM (SELECT seq FROM jobs {} {last}) AS {state}", all(&of_state(state)))
            };
            let newest: Vec<String> = states.iter().map(newest).collect();
            format!("WHERE seq IN ({})", newest.join(" UNION ALL "))
        }
    };
    (format!("SELECT {} FROM jobs {conditions} {last}", Job::COLUMNS), values)
}
