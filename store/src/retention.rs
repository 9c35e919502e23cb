//! What is kept for how long.

use crate::{Store, StoreError, database::Tx};

/// What to let go of. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs that ended before this are forgotten, with their events and deliveries.
    pub jobs_before: i64,
    /// Output files made before this are forgotten.
    pub artifacts_before: i64,
    /// The oldest output files are forgotten while all of them together are larger than this, in bytes.
    pub artifact_bytes: u64,
    /// How many jobs and files one sweep takes at most.
    pub at_once: u32,
}

/// What was let go of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many jobs.
    pub jobs: usize,
    /// Output files that nothing refers to any more: whoever keeps files may remove them. Files of requests are not among
    /// them: somebody may just be about to refer to the same file again.
    pub files: Vec<String>,
    /// Bytes of output files that are left.
    pub bytes: u64,
}

impl Store {
    /// Lets go of what is too old or too much. Large stores take several sweeps.
    pub async fn sweep(&self, limits: Limits) -> Result<Swept, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let mut swept = Swept::default();
            let mut files = old_artifacts(tx, &limits)?;
            files.extend(surplus_artifacts(tx, &limits)?);
            let old = tx.query(
                "SELECT seq, id, batch FROM jobs WHERE ended_at IS NOT NULL AND ended_at < ?1 \
                 ORDER BY ended_at LIMIT ?2",
                &[limits.jobs_before.into(), limits.at_once.into()],
            )?;
            for row in &old {
                files.extend(forget(tx, row.int(0)?, &row.text(1)?)?);
                if let Some(batch) = row.maybe_text(2)? {
                    tx.execute(
                        "DELETE FROM batches WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch = ?1)",
                        &[batch.into()],
                    )?;
                }
            }
            tx.execute(
                "DELETE FROM idempotency WHERE (scope, key) IN \
                 (SELECT scope, key FROM idempotency WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
                &[now.into(), limits.at_once.into()],
            )?;
            swept.jobs = old.len();
            for file in files {
                let wanted = "SELECT 1 WHERE EXISTS (SELECT 1 FROM artifacts WHERE file = ?1) \
                              OR EXISTS (SELECT 1 FROM inputs WHERE file = ?1) \
                              OR EXISTS (SELECT 1 FROM uploads WHERE file = ?1)";
                if tx.query_one(wanted, &[file.as_str().into()])?.is_none() {
                    tx.execute("DELETE FROM chunks WHERE file = ?1", &[file.as_str().into()])?;
                    swept.files.push(file);
                }
            }
            swept.bytes = total(tx)?;
            Ok(swept)
        })
        .await
    }
}

fn total(tx: &mut dyn Tx) -> Result<u64, StoreError> {
    let row = tx.query_one("SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM artifacts", &[])?;
    Ok(row.map_or(Ok(0), |row| row.int(0))?.try_into().unwrap_or(0))
}

fn old_artifacts(tx: &mut dyn Tx, limits: &Limits) -> Result<Vec<String>, StoreError> {
    let rows = tx.query(
        "DELETE FROM artifacts WHERE (job, output, position) IN \
         (SELECT job, output, position FROM artifacts WHERE created_at < ?1 ORDER BY created_at LIMIT ?2) \
         RETURNING file",
        &[limits.artifacts_before.into(), limits.at_once.into()],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// The newest job's files stay, whatever their size: somebody is about to fetch them.
fn surplus_artifacts(tx: &mut dyn Tx, limits: &Limits) -> Result<Vec<String>, StoreError> {
    let mut files = Vec::new();
    let mut bytes = total(tx)?;
    for _ in 0..limits.at_once {
        if bytes <= limits.artifact_bytes {
            break;
        }
        let oldest = tx.query_one(
            "SELECT job FROM artifacts WHERE job <> (SELECT job FROM artifacts ORDER BY created_at DESC, job DESC \
             LIMIT 1) ORDER BY created_at, job LIMIT 1",
            &[],
        )?;
        let Some(job) = oldest.map(|row| row.text(0)).transpose()? else { break };
        let rows = tx.query("DELETE FROM artifacts WHERE job = ?1 RETURNING file, size", &[job.into()])?;
        for row in rows {
            files.push(row.text(0)?);
            bytes = bytes.saturating_sub(u64::try_from(row.int(1)?).unwrap_or(0));
        }
    }
    Ok(files)
}

/// Forgets a job, and answers its output files.
fn forget(tx: &mut dyn Tx, seq: i64, id: &str) -> Result<Vec<String>, StoreError> {
    let rows = tx.query("DELETE FROM artifacts WHERE job = ?1 RETURNING file", &[id.into()])?;
    let files = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    for table in ["inputs", "events", "deliveries"] {
        tx.execute(&format!("DELETE FROM {table} WHERE job = ?1"), &[id.into()])?;
    }
    tx.execute("DELETE FROM tags WHERE seq = ?1", &[seq.into()])?;
    tx.execute("DELETE FROM jobs WHERE seq = ?1", &[seq.into()])?;
    Ok(files)
}
