//! What each caller used, by day.

use crate::{Store, StoreError};

/// So much of something, by one caller on one day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usage {
    /// Who: the id of a key or the name of an owner, as whoever counts has it.
    pub subject: String,
    /// Days since 1970 (UTC).
    pub day: i64,
    /// What.
    pub kind: String,
    /// How much.
    pub amount: i64,
}

/// Milliseconds in a day.
pub const DAY: i64 = 24 * 60 * 60 * 1000;

impl Store {
    /// Adds to what is counted.
    pub async fn add_usage(&self, added: Vec<Usage>) -> Result<(), StoreError> {
        self.write(move |tx| {
            for usage in &added {
                tx.execute(
                    "INSERT INTO usage (subject, day, kind, amount) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (subject, day, kind) DO UPDATE SET amount = usage.amount + excluded.amount",
                    &[
                        usage.subject.as_str().into(),
                        usage.day.into(),
                        usage.kind.as_str().into(),
                        usage.amount.into(),
                    ],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// What was counted from a day on, of one caller or of all, by caller and day.
    pub async fn usage(&self, subject: Option<String>, since: i64) -> Result<Vec<Usage>, StoreError> {
        self.read(move |tx| {
            let sql = "SELECT subject, day, kind, amount FROM usage WHERE day >= ?1 \
                       AND (CAST(?2 AS TEXT) IS NULL OR subject = ?2) ORDER BY subject, day, kind";
            let rows = tx.query(sql, &[since.into(), subject.as_deref().into()])?;
            let usage = |row: &crate::database::Row| {
                Ok(Usage { subject: row.text(0)?, day: row.int(1)?, kind: row.text(2)?, amount: row.int(3)? })
            };
            rows.iter().map(usage).collect()
        })
        .await
    }
}
