//! Taking jobs from the queue.
//!
//! Queued jobs stand in *lanes*: one for each priority, caller and need. All jobs of a lane can go to the same engines,
//! the oldest first. Whoever gives out work looks at the heads of the lanes alone, so the cost of taking a job does not
//! grow with the number of those behind it.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    Job, Notice, Store, StoreError,
    database::{Dialect, Row, Tx, Value},
    events,
    transition::announce,
};

/// Jobs of one priority, caller and need.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// 9 less the priority: lower goes first.
    pub rank: i64,
    /// The caller.
    pub owner: String,
    /// The id of the need.
    pub need: String,
}

/// The oldest job of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The lane.
    pub lane: Lane,
    /// The job's place in the order of submission.
    pub seq: i64,
    /// Its endpoint's path.
    pub workflow: String,
    /// When it was accepted.
    pub created_at: i64,
    /// An engine that it should not go to again, if there is another.
    pub avoid: Option<String>,
}

/// A job for an engine.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Where to take it from.
    pub lane: Lane,
    /// Who is to run it.
    pub engine: String,
    /// How many that engine may have at once, of all servers together.
    pub concurrency: u32,
}

impl Store {
    /// The heads of the first lanes after one, in order.
    pub async fn heads(&self, after: Option<Lane>, limit: usize) -> Result<Vec<Head>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.read(move |tx| match tx.dialect() {
            Dialect::Sqlite => heads_one_by_one(tx, after.clone(), limit),
            Dialect::Postgres => heads_at_once(tx, after.clone(), limit),
        })
        .await
    }

    /// Takes the oldest job of each lane that still has one and whose engine still has room, for `holder`.
    pub async fn claim(&self, assignments: Vec<Assignment>, holder: String) -> Result<Vec<Job>, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| {
            lock_engines(tx, &assignments)?;
            let mut taken = Vec::new();
            for assignment in &assignments {
                if !has_room(tx, assignment)? {
                    continue;
                }
                let Some(mut job) = take(tx, assignment, &holder, now)? else { continue };
                let data = serde_json::json!({"attempt": job.attempts, "engine": assignment.engine});
                events::add(tx, &mut job, now, "running", &data.to_string())?;
                announce(tx, &render, &job, "job.running", now)?;
                taken.push(job);
            }
            Ok(taken)
        })
        .await
    }

    /// Lets jobs whose pause is over back into their lanes, and says when the next pause ends.
    pub async fn wake(&self) -> Result<Option<i64>, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let later = tx.dialect().by("jobs_later");
            let woken = tx.execute(
                &format!(
                    "UPDATE jobs {later} SET ready = 1 WHERE state = 'queued' AND ready = 0 AND run_after <= ?1"
                ),
                &[now.into()],
            )?;
            if woken > 0 {
                tx.notify(Notice::Queue);
            }
            let next = format!("SELECT min(run_after) FROM jobs {later} WHERE state = 'queued' AND ready = 0");
            let next = tx.query_one(&next, &[])?;
            next.map_or(Ok(None), |row| row.maybe_int(0))
        })
        .await
    }
}

const HEAD: &str = "rank, owner, need, seq, workflow, created_at, avoid";
const IN_LANE: &str = "state = 'queued' AND ready = 1";

fn head(row: &Row) -> Result<Head, StoreError> {
    Ok(Head {
        lane: Lane { rank: row.int(0)?, owner: row.text(1)?, need: row.text(2)? },
        seq: row.int(3)?,
        workflow: row.text(4)?,
        created_at: row.int(5)?,
        avoid: row.maybe_text(6)?,
    })
}

fn position(lane: Option<&Lane>) -> [Value; 3] {
    // Ranks begin at 0, so everything is after -1.
    lane.map_or([(-1_i64).into(), "".into(), "".into()], |lane| {
        [lane.rank.into(), lane.owner.as_str().into(), lane.need.as_str().into()]
    })
}

/// A step is a look or two into the index. What is after a lane is asked for in three parts, the nearest first: for all
/// three columns in one comparison SQLite goes through the whole lane.
fn heads_one_by_one(tx: &mut dyn Tx, after: Option<Lane>, limit: usize) -> Result<Vec<Head>, StoreError> {
    let by = tx.dialect().by("jobs_lane");
    let part = |next: &str| {
        format!(
            "SELECT {HEAD} FROM jobs {by} WHERE {IN_LANE} AND {next} ORDER BY rank, owner, need, seq LIMIT 1"
        )
    };
    let parts = ["rank = ?1 AND owner = ?2 AND need > ?3", "rank = ?1 AND owner > ?2", "rank > ?1"].map(part);
    let mut heads: Vec<Head> = Vec::new();
    let mut place = position(after.as_ref());
    while heads.len() < limit {
        let mut found = None;
        for (sql, values) in parts.iter().zip([3, 2, 1]) {
            found = tx.query_one(sql, place.get(..values).unwrap_or_default())?;
            if found.is_some() {
                break;
            }
        }
        let Some(row) = found else { break };
        let found = head(&row)?;
        place = position(Some(&found.lane));
        heads.push(found);
    }
    Ok(heads)
}

/// The same in one journey.
fn heads_at_once(tx: &mut dyn Tx, after: Option<Lane>, limit: usize) -> Result<Vec<Head>, StoreError> {
    let step = |place: &str| {
        format!(
            "SELECT {HEAD} FROM jobs WHERE {IN_LANE} AND (rank, owner, need) > {place} \
             ORDER BY rank, owner, need, seq LIMIT 1"
        )
    };
    let sql = format!(
        "WITH RECURSIVE lanes AS ( \
           (SELECT found.*, CAST(1 AS BIGINT) AS place FROM ({first}) AS found) \
           UNION ALL \
           SELECT next.*, lanes.place + 1 FROM lanes, \
             LATERAL ({next}) AS next WHERE lanes.place < ?4 \
         ) SELECT {HEAD} FROM lanes ORDER BY rank, owner, need",
        first = step("(?1, ?2, ?3)"),
        next = step("(lanes.rank, lanes.owner, lanes.need)"),
    );
    let [rank, owner, need] = position(after.as_ref());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    tx.query(&sql, &[rank, owner, need, limit.into()])?.iter().map(head).collect()
}

/// Servers that share an engine take turns in counting what it has, all of them in the same order.
fn lock_engines(tx: &mut dyn Tx, assignments: &[Assignment]) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let engines: BTreeSet<&str> = assignments.iter().map(|assignment| assignment.engine.as_str()).collect();
    for engine in engines {
        let engine = [engine.into()];
        let lock = "SELECT name FROM engines WHERE name = ?1 FOR UPDATE";
        if tx.query_one(lock, &engine)?.is_none() {
            tx.execute(
                "INSERT INTO engines (name, drained) VALUES (?1, 0) ON CONFLICT (name) DO NOTHING",
                &engine,
            )?;
            tx.query_one(lock, &engine)?;
        }
    }
    Ok(())
}

fn has_room(tx: &mut dyn Tx, assignment: &Assignment) -> Result<bool, StoreError> {
    let engine = assignment.engine.as_str().into();
    let by = tx.dialect().by("jobs_running");
    let count = format!("SELECT count(*) FROM jobs {by} WHERE state = 'running' AND engine = ?1");
    let running = tx.query_one(&count, &[engine])?;
    Ok(running.map_or(Ok(0), |row| row.int(0))? < i64::from(assignment.concurrency))
}

fn take(tx: &mut dyn Tx, assignment: &Assignment, holder: &str, now: i64) -> Result<Option<Job>, StoreError> {
    let by = tx.dialect().by("jobs_lane");
    let (lane, lock) = match tx.dialect() {
        Dialect::Sqlite => ("rank = ?1 AND owner = ?2 AND need = ?3 ORDER BY seq", ""),
        // A job that somebody else is taking is passed over rather than waited for. Said as a range, only the index of
        // lanes has the order, whatever is believed of the table.
        Dialect::Postgres => (
            "(rank, owner, need) >= (?1, ?2, ?3) AND (rank, owner, need) <= (?1, ?2, ?3) \
             ORDER BY rank, owner, need, seq",
            "FOR UPDATE SKIP LOCKED",
        ),
    };
    let found = tx.query_one(
        &format!("SELECT seq, id, fence FROM jobs {by} WHERE {IN_LANE} AND {lane} LIMIT 1 {lock}"),
        &position(Some(&assignment.lane)),
    )?;
    let Some(found) = found else { return Ok(None) };
    let (seq, id, fence) = (found.int(0)?, found.parsed::<Uuid>(1)?, found.int(2)? + 1);
    let sql = format!(
        "UPDATE jobs SET state = 'running', ready = 0, run_after = NULL, fence = ?2, attempts = attempts + 1, \
         holder = ?3, engine = ?4, started_at = coalesce(started_at, ?5), prompt_id = ?6, submitted = 0, \
         progress = NULL WHERE seq = ?1 RETURNING {}",
        Job::COLUMNS
    );
    let values = [
        seq.into(),
        fence.into(),
        holder.into(),
        assignment.engine.as_str().into(),
        now.into(),
        prompt_id(id, fence).into(),
    ];
    tx.query_one(&sql, &values)?.map(|row| Job::read(&row)).transpose()
}

/// The id of a prompt follows from its job and the number of the try, so that it is known before anything is sent and
/// after everything else is forgotten.
pub fn prompt_id(job: Uuid, fence: i64) -> Uuid {
    Uuid::new_v5(&job, &fence.to_be_bytes())
}
