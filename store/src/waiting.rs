//! Jobs that wait until something is there that no engine has yet.

use uuid::Uuid;

use crate::{Job, State, Store, StoreError, database::Tx, events, transition};

/// Jobs that are changed in one transaction.
const AT_ONCE: i64 = 500;

impl Store {
    /// Notes what the queued jobs of a need wait for, as JSON, unless that is known of them. Answers which are new to it.
    pub async fn wait_for(&self, need: String, what: String) -> Result<Vec<Uuid>, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let known = "(progress IS NULL OR progress <> ?2)";
            let mut told = Vec::new();
            for seq in queued(tx, &need, known, &what)? {
                let sql = format!(
                    "UPDATE jobs SET progress = ?2 WHERE seq = ?1 AND state = 'queued' RETURNING {}",
                    Job::COLUMNS
                );
                let Some(row) = tx.query_one(&sql, &[seq.into(), what.as_str().into()])? else { continue };
                let mut job = Job::read(&row)?;
                events::add(tx, &mut job, now, "waiting", &what)?;
                told.push(job.id);
            }
            Ok(told)
        })
        .await
    }

    /// Ends the queued jobs of a need that wait for this, and will not get it. Some of them at a time.
    pub async fn fail_waiting(
        &self,
        need: String,
        what: String,
        problem: String,
    ) -> Result<Vec<Job>, StoreError> {
        let (render, now) = (self.render(), self.now());
        self.write(move |tx| {
            let mut failed = Vec::new();
            for seq in queued(tx, &need, "progress = ?2", &what)? {
                let values = [seq.into(), now.into(), problem.as_str().into()];
                let ended = transition::end_waiting(tx, State::Failed, "seq = ?1", &values)?;
                if let Some(mut job) = ended {
                    transition::ended(tx, &render, &mut job, now)?;
                    failed.push(job);
                }
            }
            Ok(failed)
        })
        .await
    }
}

/// The oldest queued jobs of a need of which `which` holds; it has `what` as `?2`.
fn queued(tx: &mut dyn Tx, need: &str, which: &str, what: &str) -> Result<Vec<i64>, StoreError> {
    let by = tx.dialect().by("jobs_state");
    let sql = format!(
        "SELECT seq FROM jobs {by} WHERE state = 'queued' AND need = ?1 AND {which} ORDER BY seq LIMIT {AT_ONCE}"
    );
    tx.query(&sql, &[need.into(), what.into()])?.iter().map(|row| row.int(0)).collect()
}
