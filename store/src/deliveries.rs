//! The outbox of webhooks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Job, Notice, Render, Store, StoreError,
    database::{Dialect, Row, Tx, Value},
};

/// Who wants to hear of a job, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// Events such as `job.succeeded`.
    pub events: Vec<String>,
}

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It will be tried, maybe again.
    Pending,
    /// It arrived.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Pending, Self::Delivered, Self::Dead].into_iter().find(|one| one.as_str() == text).ok_or(())
    }
}

/// A webhook on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the order of events.
    pub seq: i64,
    /// The same for every try: what receivers tell repetitions by.
    pub id: String,
    /// The job it is about.
    pub job: Uuid,
    /// Such as `job.succeeded`.
    pub event: String,
    /// Where to.
    pub url: String,
    /// What is sent, the same at every try.
    pub body: String,
    /// Where it is.
    pub state: DeliveryState,
    /// Tries so far.
    pub attempts: u32,
    /// When the next try is due, in milliseconds since 1970.
    pub due_at: i64,
    /// When it was written.
    pub created_at: i64,
    /// When it arrived or was given up.
    pub ended_at: Option<i64>,
    /// The status of the last answer.
    pub status: Option<i64>,
    /// What went wrong the last time.
    pub said: Option<String>,
}

const COLUMNS: &str =
    "seq, id, job, event, url, body, state, attempts, due_at, created_at, ended_at, status, said";

impl Delivery {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.int(0)?,
            id: row.text(1)?,
            job: row.parsed(2)?,
            event: row.text(3)?,
            url: row.text(4)?,
            body: row.text(5)?,
            state: row.parsed(6)?,
            attempts: row.count(7)?,
            due_at: row.int(8)?,
            created_at: row.int(9)?,
            ended_at: row.maybe_int(10)?,
            status: row.maybe_int(11)?,
            said: row.maybe_text(12)?,
        })
    }
}

/// What became of a try.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Where the delivery is now.
    pub state: DeliveryState,
    /// When it is tried again, in milliseconds since 1970.
    pub due_at: i64,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong.
    pub said: Option<String>,
    /// Whether nothing more is to be sent to this address, and why.
    pub disable: Option<String>,
}

/// Which deliveries. Everything that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Of this job.
    pub job: Option<Uuid>,
    /// Written before the one with this number.
    pub before: Option<i64>,
}

/// Who has a delivery in hand holds it for this long, in milliseconds: longer than any try takes.
const IN_HAND: i64 = 60_000;

impl Store {
    /// Takes deliveries that are due, for a try each. Nobody else takes them meanwhile. `busy` are addresses that have
    /// enough on their way. Answers also when the next one is due.
    pub async fn due_deliveries(
        &self,
        holder: String,
        busy: Vec<String>,
        limit: u32,
    ) -> Result<(Vec<Delivery>, Option<i64>), StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let lock = match tx.dialect() {
                Dialect::Sqlite => "",
                Dialect::Postgres => "FOR UPDATE SKIP LOCKED",
            };
            let by = tx.dialect().by("deliveries_due");
            let mut values: Vec<Value> = vec![now.into(), limit.into()];
            let mut except = String::new();
            for url in &busy {
                values.push(url.as_str().into());
                except.push_str(&format!(" AND url <> ?{}", values.len()));
            }
            let found = tx.query(
                &format!(
                    "SELECT seq FROM deliveries {by} WHERE state = 'pending' AND due_at <= ?1{except} \
                     ORDER BY due_at, seq LIMIT ?2 {lock}"
                ),
                &values,
            )?;
            let mut taken = Vec::with_capacity(found.len());
            let sql = format!(
                "UPDATE deliveries SET due_at = ?2, attempts = attempts + 1, holder = ?3 \
                 WHERE seq = ?1 RETURNING {COLUMNS}"
            );
            for row in found {
                let values = [row.int(0)?.into(), (now + IN_HAND).into(), holder.as_str().into()];
                taken.extend(
                    tx.query(&sql, &values)?.iter().map(Delivery::read).collect::<Result<Vec<_>, _>>()?,
                );
            }
            let next = format!("SELECT min(due_at) FROM deliveries {by} WHERE state = 'pending'");
            let next = tx.query_one(&next, &[])?;
            Ok((taken, next.map_or(Ok(None), |row| row.maybe_int(0))?))
        })
        .await
    }

    /// Notes what became of a try. A delivery that was given up or arrived meanwhile stays as it is.
    pub async fn delivery_tried(&self, id: String, attempt: Attempt) -> Result<(), StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let ended = (attempt.state != DeliveryState::Pending).then_some(now);
            tx.execute(
                "UPDATE deliveries SET state = ?2, due_at = ?3, status = ?4, said = ?5, ended_at = ?6, holder = NULL \
                 WHERE id = ?1 AND state = 'pending'",
                &[
                    id.as_str().into(),
                    attempt.state.as_str().into(),
                    attempt.due_at.into(),
                    attempt.status.map(i64::from).into(),
                    attempt.said.as_deref().into(),
                    ended.into(),
                ],
            )?;
            if let Some(reason) = &attempt.disable {
                disable(tx, &id, reason, now)?;
            }
            Ok(())
        })
        .await
    }

    /// Delivers again what arrived or was given up, the same body under the same id. `None` if the job has no such
    /// delivery.
    pub async fn redeliver(&self, job: Uuid, id: String) -> Result<Option<Delivery>, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let sql = format!(
                "UPDATE deliveries SET state = 'pending', due_at = ?3, attempts = 0, ended_at = NULL \
                 WHERE id = ?1 AND job = ?2 RETURNING {COLUMNS}"
            );
            let Some(row) = tx.query_one(&sql, &[id.as_str().into(), job.into(), now.into()])? else {
                return Ok(None);
            };
            let delivery = Delivery::read(&row)?;
            tx.execute("DELETE FROM disabled_targets WHERE url = ?1", &[delivery.url.as_str().into()])?;
            tx.notify(Notice::Webhook);
            Ok(Some(delivery))
        })
        .await
    }

    /// The newest deliveries that a filter lets through, the newest first.
    pub async fn deliveries(&self, filter: DeliveryFilter, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.read(move |tx| {
            let mut values: Vec<Value> = Vec::new();
            let mut conditions = vec!["1 = 1".to_owned()];
            let mut condition = |text: &str, value: Value| {
                values.push(value);
                conditions.push(format!("{text} ?{}", values.len()));
            };
            if let Some(state) = filter.state {
                condition("state =", state.as_str().into());
            }
            if let Some(job) = filter.job {
                condition("job =", job.into());
            }
            if let Some(before) = filter.before {
                condition("seq <", before.into());
            }
            values.push(limit.into());
            let sql = format!(
                "SELECT {COLUMNS} FROM deliveries WHERE {} ORDER BY seq DESC LIMIT ?{}",
                conditions.join(" AND "),
                values.len()
            );
            tx.query(&sql, &values)?.iter().map(Delivery::read).collect()
        })
        .await
    }
}

/// Puts a webhook into the outbox, if this event is one that is wanted.
pub(crate) fn enqueue(
    tx: &mut dyn Tx,
    render: &Arc<dyn Render>,
    job: &Job,
    webhook: &str,
    event: &str,
    now: i64,
) -> Result<(), StoreError> {
    let webhook: Webhook = serde_json::from_str(webhook)
        .map_err(|error| StoreError::Nonsense(format!("a webhook of job {}: {error}", job.id)))?;
    if !webhook.events.iter().any(|wanted| wanted == event) {
        return Ok(());
    }
    let disabled =
        tx.query_one("SELECT reason FROM disabled_targets WHERE url = ?1", &[webhook.url.as_str().into()])?;
    let reason = disabled.map(|row| row.text(0)).transpose()?;
    let state = if reason.is_some() { DeliveryState::Dead } else { DeliveryState::Pending };
    // The number of the event tells a second `job.running` from the first.
    let id = format!("msg_{}_{}", job.id.simple(), job.events);
    tx.execute(
        "INSERT INTO deliveries (id, job, event, url, body, state, attempts, due_at, created_at, ended_at, said) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
        &[
            id.into(),
            job.id.into(),
            event.into(),
            webhook.url.as_str().into(),
            render.webhook(job, event, now).into(),
            state.as_str().into(),
            now.into(),
            reason.as_ref().map(|_| now).into(),
            reason.into(),
        ],
    )?;
    tx.notify(Notice::Webhook);
    Ok(())
}

/// Gives up everything that waits for an address, and what will come.
fn disable(tx: &mut dyn Tx, id: &str, reason: &str, now: i64) -> Result<(), StoreError> {
    let row = tx.query_one("SELECT url FROM deliveries WHERE id = ?1", &[id.into()])?;
    let Some(url) = row.map(|row| row.text(0)).transpose()? else { return Ok(()) };
    tx.execute(
        "INSERT INTO disabled_targets (url, since, reason) VALUES (?1, ?2, ?3) ON CONFLICT (url) DO NOTHING",
        &[url.as_str().into(), now.into(), reason.into()],
    )?;
    tx.execute(
        "UPDATE deliveries SET state = 'dead', ended_at = ?2, said = ?3 WHERE url = ?1 AND state = 'pending'",
        &[url.into(), now.into(), reason.into()],
    )?;
    Ok(())
}
