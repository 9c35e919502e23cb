//! The outbox of webhooks.

use std::{collections::HashMap, sync::Arc};

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
    /// How it is worded, for whoever renders it; nothing for the usual words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
    /// Who else wants to hear of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Webhook>,
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

/// Who has a delivery in hand holds it for this long, in milliseconds: tries have to take less.
pub const IN_HAND: i64 = 60_000;

/// What somebody who sends webhooks can take in hand.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who it is.
    pub holder: String,
    /// How many deliveries at most.
    pub limit: u32,
    /// How many of them to one origin, such as `https://example.com:8443`.
    pub per_origin: u32,
    /// Origins that have room for fewer, and for how many.
    pub room: Vec<(String, u32)>,
}

/// Deliveries that were taken in hand.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The deliveries, the longest due first.
    pub deliveries: Vec<Delivery>,
    /// When the next one will be due that is not due yet, in milliseconds since 1970.
    pub next: Option<i64>,
}

/// The scheme, host and port that an address begins with. Addresses are kept in their normal form, where a path follows.
pub fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |found| found + 3);
    let end =
        url.get(host..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(url.len(), |found| host + found);
    url.get(..end).unwrap_or(url)
}

/// Origins that can take more, and how many more.
struct Rooms {
    per_origin: u32,
    left: HashMap<String, u32>,
}

impl Rooms {
    /// Takes a place, if there is one.
    fn enter(&mut self, origin: &str) -> bool {
        let left = self.left.entry(origin.to_owned()).or_insert(self.per_origin);
        let enters = *left > 0;
        *left = left.saturating_sub(1);
        enters
    }

    fn full(&self) -> impl Iterator<Item = &str> {
        self.left.iter().filter(|(_, left)| **left == 0).map(|(origin, _)| origin.as_str())
    }
}

/// Deliveries that are due. What happened to a job is told in order: the next only after the first try of the one
/// before it, which is either over or given up on.
fn due(tx: &mut dyn Tx, rooms: &Rooms, limit: usize, now: i64) -> Result<Vec<(i64, String)>, StoreError> {
    let lock = match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => "FOR UPDATE OF due SKIP LOCKED",
    };
    let by = tx.dialect().by("deliveries_due");
    let mut values: Vec<Value> = vec![now.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let mut except = String::new();
    for origin in rooms.full() {
        let beginning = format!("{origin}/");
        let length = beginning.chars().count();
        values.push(beginning.into());
        except.push_str(&format!(" AND substr(url, 1, {length}) <> ?{}", values.len()));
    }
    let sql = format!(
        "SELECT seq, url FROM deliveries AS due {by} WHERE state = 'pending' AND due_at <= ?1{except} AND NOT EXISTS \
         (SELECT 1 FROM deliveries AS earlier WHERE earlier.job = due.job AND earlier.seq < due.seq \
         AND earlier.state = 'pending' AND (earlier.attempts = 0 \
         OR earlier.attempts = 1 AND earlier.holder IS NOT NULL AND earlier.due_at > ?1)) \
         ORDER BY due_at, seq LIMIT ?2 {lock}"
    );
    tx.query(&sql, &values)?.iter().map(|row| Ok((row.int(0)?, row.text(1)?))).collect()
}

impl Store {
    /// Takes deliveries that are due, for a try each. Nobody else takes them meanwhile.
    pub async fn due_deliveries(&self, claim: Claim) -> Result<Taken, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let mut rooms =
                Rooms { per_origin: claim.per_origin, left: claim.room.iter().cloned().collect() };
            let limit = claim.limit as usize;
            let mut taken = Taken::default();
            let sql = format!(
                "UPDATE deliveries SET due_at = ?2, attempts = attempts + 1, holder = ?3 \
                 WHERE seq = ?1 RETURNING {COLUMNS}"
            );
            // Each look either finds enough, or all there is, or an origin that is left out of the next one.
            while taken.deliveries.len() < limit {
                let wanted = limit - taken.deliveries.len();
                let found = due(tx, &rooms, wanted, now)?;
                let is_all = found.len() < wanted;
                let before = taken.deliveries.len();
                let mut refused = false;
                for (seq, url) in found {
                    if !rooms.enter(origin(&url)) {
                        refused = true;
                        continue;
                    }
                    let values = [seq.into(), (now + IN_HAND).into(), claim.holder.as_str().into()];
                    for row in tx.query(&sql, &values)? {
                        taken.deliveries.push(Delivery::read(&row)?);
                    }
                }
                if is_all || (!refused && taken.deliveries.len() == before) {
                    break;
                }
            }
            let by = tx.dialect().by("deliveries_due");
            let next =
                format!("SELECT min(due_at) FROM deliveries {by} WHERE state = 'pending' AND due_at > ?1");
            taken.next = tx.query_one(&next, &[now.into()])?.map_or(Ok(None), |row| row.maybe_int(0))?;
            Ok(taken)
        })
        .await
    }

    /// Notes what became of a try. Who had the delivery in hand too long, or not since it was to be delivered again,
    /// changes nothing.
    pub async fn delivery_tried(
        &self,
        holder: String,
        id: String,
        attempt: Attempt,
    ) -> Result<(), StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let ended = (attempt.state != DeliveryState::Pending).then_some(now);
            let changed = tx.execute(
                "UPDATE deliveries SET state = ?2, due_at = ?3, status = ?4, said = ?5, ended_at = ?6, holder = NULL \
                 WHERE id = ?1 AND state = 'pending' AND holder = ?7",
                &[
                    id.as_str().into(),
                    attempt.state.as_str().into(),
                    attempt.due_at.into(),
                    attempt.status.map(i64::from).into(),
                    attempt.said.as_deref().into(),
                    ended.into(),
                    holder.as_str().into(),
                ],
            )?;
            if let Some(reason) = attempt.disable.as_ref().filter(|_| changed > 0) {
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
                "UPDATE deliveries SET state = 'pending', due_at = ?3, attempts = 0, ended_at = NULL, holder = NULL \
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

/// Puts webhooks into the outbox for those who want to hear of this event.
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
    let mut number = 0;
    for wanted in std::iter::once(&webhook).chain(&webhook.more) {
        if !wanted.events.iter().any(|wanted| wanted == event) {
            continue;
        }
        for body in render.webhooks(job, wanted, event, now) {
            // The number of the event tells a second `job.running` from the first.
            let mut id = format!("msg_{}_{}", job.id.simple(), job.events);
            if number > 0 {
                id.push_str(&format!("_{number}"));
            }
            insert(tx, job, wanted, event, &id, &body, now)?;
            number += 1;
        }
    }
    Ok(())
}

fn insert(
    tx: &mut dyn Tx,
    job: &Job,
    webhook: &Webhook,
    event: &str,
    id: &str,
    body: &str,
    now: i64,
) -> Result<(), StoreError> {
    let disabled =
        tx.query_one("SELECT reason FROM disabled_targets WHERE url = ?1", &[webhook.url.as_str().into()])?;
    let reason = disabled.map(|row| row.text(0)).transpose()?;
    let state = if reason.is_some() { DeliveryState::Dead } else { DeliveryState::Pending };
    tx.execute(
        "INSERT INTO deliveries (id, job, event, url, body, state, attempts, due_at, created_at, ended_at, said) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
        &[
            id.into(),
            job.id.into(),
            event.into(),
            webhook.url.as_str().into(),
            body.into(),
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

/// Deliveries that a server had in hand which is gone are due again.
pub(crate) fn let_go(tx: &mut dyn Tx, holder: &str, now: i64) -> Result<(), StoreError> {
    let released = tx.execute(
        "UPDATE deliveries SET due_at = ?2, holder = NULL WHERE holder = ?1 AND state = 'pending'",
        &[holder.into(), now.into()],
    )?;
    if released > 0 {
        tx.notify(Notice::Webhook);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        for (url, expected) in [
            ("http://127.0.0.1:9000/a/b?c=d://e", "http://127.0.0.1:9000"),
            ("https://[::1]/", "https://[::1]"),
            ("https://example.com?x", "https://example.com"),
            ("https://example.com", "https://example.com"),
        ] {
            assert_eq!(origin(url), expected);
        }
    }
}
