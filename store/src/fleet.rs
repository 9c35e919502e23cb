//! Servers that share a store, what they hold, and how operators steer engines.
//!
//! A server that lives counts: its *beat* grows. Others watch it by their own clocks, so that nobody's clock that jumps
//! takes a job from somebody who is well.

use std::collections::HashSet;

use uuid::Uuid;

use crate::{Job, Notice, Store, StoreError, database::Value, deliveries};

/// A server, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its id, new at every start.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Grows for as long as it lives.
    pub beat: i64,
    /// When it started, in milliseconds since 1970.
    pub started_at: i64,
}

/// A running job that nobody cares for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its id.
    pub id: Uuid,
    /// Its engine.
    pub engine: Option<String>,
    /// The server that had it; nothing if it was handed over.
    pub holder: Option<String>,
}

impl Store {
    /// Says that a server lives, and answers all that do, itself included.
    pub async fn beat(&self, id: String, name: String) -> Result<Vec<Server>, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO servers (id, name, beat, started_at) VALUES (?1, ?2, 1, ?3) \
                 ON CONFLICT (id) DO UPDATE SET beat = servers.beat + 1",
                &[id.as_str().into(), name.as_str().into(), now.into()],
            )?;
            let rows =
                tx.query("SELECT id, name, beat, started_at FROM servers ORDER BY started_at, id", &[])?;
            rows.iter()
                .map(|row| {
                    Ok(Server {
                        id: row.text(0)?,
                        name: row.text(1)?,
                        beat: row.int(2)?,
                        started_at: row.int(3)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Forgets a server that left or died. What it holds counts as left alone; its deliveries are due again.
    pub async fn forget_server(&self, id: String) -> Result<(), StoreError> {
        let now = self.now();
        self.write(move |tx| {
            tx.execute("DELETE FROM servers WHERE id = ?1", &[id.as_str().into()])?;
            deliveries::let_go(tx, &id, now)?;
            tx.notify(Notice::Fleet);
            Ok(())
        })
        .await
    }

    /// Running jobs whose server is not known to live.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, StoreError> {
        self.read(|tx| {
            let rows = tx.query(
                "SELECT id, engine, holder FROM jobs WHERE state = 'running' \
                 AND (holder IS NULL OR holder NOT IN (SELECT id FROM servers)) ORDER BY seq",
                &[],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(Orphan { id: row.parsed(0)?, engine: row.maybe_text(1)?, holder: row.maybe_text(2)? })
                })
                .collect()
        })
        .await
    }

    /// Takes over a running job that nobody cares for, with its try and its prompt. `None` if somebody else did, or it
    /// ended.
    pub async fn take_over(&self, orphan: Orphan, holder: String) -> Result<Option<Job>, StoreError> {
        self.write(move |tx| {
            // Handing over is no accident; a server that died while it had the job may have died of it.
            let died = orphan.holder.is_some();
            let sql = format!(
                "UPDATE jobs SET holder = ?2, fence = fence + 1, takeovers = takeovers + ?3 WHERE id = ?1 \
                 AND state = 'running' AND coalesce(holder, '') = ?4 RETURNING {}",
                Job::COLUMNS
            );
            let values: [Value; 4] = [
                orphan.id.into(),
                holder.as_str().into(),
                died.into(),
                orphan.holder.as_deref().unwrap_or_default().into(),
            ];
            tx.query_one(&sql, &values)?.map(|row| Job::read(&row)).transpose()
        })
        .await
    }

    /// The jobs that a server holds and that are to be cancelled.
    pub async fn cancellations(&self, holder: String) -> Result<Vec<Uuid>, StoreError> {
        self.read(move |tx| {
            let rows = tx.query(
                "SELECT id FROM jobs WHERE state = 'running' AND holder = ?1 AND cancel = 1",
                &[holder.as_str().into()],
            )?;
            rows.iter().map(|row| row.parsed(0)).collect()
        })
        .await
    }

    /// The jobs that a server holds, with their fences.
    pub async fn held(&self, holder: String) -> Result<HashSet<(Uuid, i64)>, StoreError> {
        self.read(move |tx| {
            let sql = "SELECT id, fence FROM jobs WHERE state = 'running' AND holder = ?1";
            let rows = tx.query(sql, &[holder.as_str().into()])?;
            rows.iter().map(|row| Ok((row.parsed(0)?, row.int(1)?))).collect()
        })
        .await
    }

    /// Engines that operators took out of service.
    pub async fn drained(&self) -> Result<Vec<String>, StoreError> {
        self.read(|tx| {
            let rows = tx.query("SELECT name FROM engines WHERE drained = 1 ORDER BY name", &[])?;
            rows.iter().map(|row| row.text(0)).collect()
        })
        .await
    }

    /// Takes an engine out of service, or puts it back.
    pub async fn drain(&self, engine: String, drained: bool) -> Result<(), StoreError> {
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO engines (name, drained) VALUES (?1, ?2) \
                 ON CONFLICT (name) DO UPDATE SET drained = ?2",
                &[engine.as_str().into(), drained.into()],
            )?;
            tx.notify(Notice::Fleet);
            Ok(())
        })
        .await
    }
}
