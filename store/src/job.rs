//! A job, as it is kept.

use std::fmt;

use uuid::Uuid;

use crate::{StoreError, database::Row};

/// Where a job is on its way. The last four never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits.
    Queued,
    /// Somebody has taken it.
    Running,
    /// It yielded its outputs.
    Succeeded,
    /// It did not.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
    /// Its deadline passed.
    Expired,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Expired];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Whether it never changes any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::str::FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A job. Times are milliseconds since 1970; `request`, `options`, `webhook`, `progress`, `result` and `problem` are
/// JSON that this crate does not look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its place in the order of submission.
    pub seq: i64,
    /// Its public id.
    pub id: Uuid,
    /// The endpoint's path.
    pub workflow: String,
    /// Whose it is; empty where callers are not told apart.
    pub owner: String,
    /// Where it is on its way.
    pub state: State,
    /// 0 to 9; higher goes first.
    pub priority: u8,
    /// What it needs of an engine, by the id of its requirement.
    pub need: String,
    /// When it was accepted.
    pub created_at: i64,
    /// When it was first taken.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// When it is to have ended.
    pub deadline: Option<i64>,
    /// When it may be taken again.
    pub run_after: Option<i64>,
    /// Grows whenever somebody takes it: whoever has an older number changes nothing.
    pub fence: i64,
    /// Tries so far, the present one included.
    pub attempts: u32,
    /// Tries allowed.
    pub max_attempts: u32,
    /// Tries that the engine did not survive.
    pub crashes: u32,
    /// How often a server died while it had it.
    pub takeovers: u32,
    /// The server that has it.
    pub holder: Option<String>,
    /// The engine of the present try, else of the last one.
    pub engine: Option<String>,
    /// An engine that it should not go to again, if there is another.
    pub avoid: Option<String>,
    /// The id of its prompt on the engine.
    pub prompt_id: Option<Uuid>,
    /// Whether the engine took that prompt.
    pub submitted: bool,
    /// Whether it is to be cancelled.
    pub cancel: bool,
    /// The batch it belongs to.
    pub batch: Option<Uuid>,
    /// Its place there.
    pub batch_index: Option<u32>,
    /// What to run.
    pub request: String,
    /// How.
    pub options: String,
    /// Who wants to hear of it.
    pub webhook: Option<String>,
    /// What identical requests have in common.
    pub cache_key: Option<String>,
    /// The number of its last event.
    pub events: i64,
    /// How far it is.
    pub progress: Option<String>,
    /// What it yielded.
    pub result: Option<String>,
    /// Why it yielded nothing.
    pub problem: Option<String>,
}

impl Job {
    /// The columns that [`Job::read`] expects.
    pub(crate) const COLUMNS: &'static str = "seq, id, workflow, owner, state, rank, need, created_at, started_at, \
        ended_at, deadline, run_after, fence, attempts, max_attempts, crashes, takeovers, holder, engine, avoid, \
        prompt_id, submitted, cancel, batch, batch_index, request, options, webhook, cache_key, events, progress, \
        result, problem";

    pub(crate) fn read(row: &Row) -> Result<Self, StoreError> {
        let rank = u8::try_from(row.int(5)?).unwrap_or(9).min(9);
        Ok(Self {
            seq: row.int(0)?,
            id: row.parsed(1)?,
            workflow: row.text(2)?,
            owner: row.text(3)?,
            state: row.parsed(4)?,
            priority: 9 - rank,
            need: row.text(6)?,
            created_at: row.int(7)?,
            started_at: row.maybe_int(8)?,
            ended_at: row.maybe_int(9)?,
            deadline: row.maybe_int(10)?,
            run_after: row.maybe_int(11)?,
            fence: row.int(12)?,
            attempts: row.count(13)?,
            max_attempts: row.count(14)?,
            crashes: row.count(15)?,
            takeovers: row.count(16)?,
            holder: row.maybe_text(17)?,
            engine: row.maybe_text(18)?,
            avoid: row.maybe_text(19)?,
            prompt_id: row.maybe_parsed(20)?,
            submitted: row.int(21)? != 0,
            cancel: row.int(22)? != 0,
            batch: row.maybe_parsed(23)?,
            batch_index: row.maybe_int(24)?.map(|index| u32::try_from(index).unwrap_or(0)),
            request: row.text(25)?,
            options: row.text(26)?,
            webhook: row.maybe_text(27)?,
            cache_key: row.maybe_text(28)?,
            events: row.int(29)?,
            progress: row.maybe_text(30)?,
            result: row.maybe_text(31)?,
            problem: row.maybe_text(32)?,
        })
    }
}
