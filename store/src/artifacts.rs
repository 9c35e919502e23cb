//! Which output files there are, and what they are called where they lie; and the files themselves, where servers share
//! nothing but the database.

use uuid::Uuid;

use crate::{
    Store, StoreError,
    database::{Row, Tx, Value},
};

/// An output file to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    /// The output's name.
    pub output: String,
    /// Its place there.
    pub position: u32,
    /// Its name in the store of files.
    pub file: String,
    /// Its media type.
    pub content_type: String,
    /// The name to save it under.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Width and height in pixels, of pictures.
    pub dimensions: Option<(u32, u32)>,
}

/// An output file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The job it belongs to.
    pub job: Uuid,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// The rest.
    pub file: NewArtifact,
}

const COLUMNS: &str =
    "job, created_at, output, position, file, content_type, filename, size, sha256, width, height";

impl NewArtifact {
    pub(crate) fn insert(&self, tx: &mut dyn Tx, job: Uuid, now: i64) -> Result<(), StoreError> {
        let values: [Value; 11] = [
            job.into(),
            now.into(),
            self.output.as_str().into(),
            self.position.into(),
            self.file.as_str().into(),
            self.content_type.as_str().into(),
            self.filename.as_str().into(),
            i64::try_from(self.size).unwrap_or(i64::MAX).into(),
            self.sha256.as_str().into(),
            self.dimensions.map(|(width, _)| width).into(),
            self.dimensions.map(|(_, height)| height).into(),
        ];
        let sql = format!(
            "INSERT INTO artifacts ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        );
        tx.execute(&sql, &values).map(drop)
    }
}

impl Artifact {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let side = |index| row.maybe_int(index).map(|side| side.and_then(|side| u32::try_from(side).ok()));
        Ok(Self {
            job: row.parsed(0)?,
            created_at: row.int(1)?,
            file: NewArtifact {
                output: row.text(2)?,
                position: row.count(3)?,
                file: row.text(4)?,
                content_type: row.text(5)?,
                filename: row.text(6)?,
                size: u64::try_from(row.int(7)?).unwrap_or(0),
                sha256: row.text(8)?,
                dimensions: side(9)?.zip(side(10)?),
            },
        })
    }
}

impl Store {
    /// One output file of a job.
    pub async fn artifact(
        &self,
        job: Uuid,
        output: String,
        position: u32,
    ) -> Result<Option<Artifact>, StoreError> {
        self.read(move |tx| {
            let sql =
                format!("SELECT {COLUMNS} FROM artifacts WHERE job = ?1 AND output = ?2 AND position = ?3");
            let values = [job.into(), output.as_str().into(), position.into()];
            tx.query_one(&sql, &values)?.map(|row| Artifact::read(&row)).transpose()
        })
        .await
    }

    /// All output files of a job that are kept.
    pub async fn artifacts(&self, job: Uuid) -> Result<Vec<Artifact>, StoreError> {
        self.read(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM artifacts WHERE job = ?1 ORDER BY output, position");
            tx.query(&sql, &[job.into()])?.iter().map(Artifact::read).collect()
        })
        .await
    }

    /// Lets go of all output files of a job that succeeded, and puts `result` in the place of what it yielded. Answers the
    /// files that nothing refers to any more; `None` if there is no such job, or it did not succeed.
    pub async fn erase_outputs(&self, job: Uuid, result: String) -> Result<Option<Vec<String>>, StoreError> {
        self.write(move |tx| {
            // Nobody else is given what is not there any more.
            let sql = "UPDATE jobs SET result = ?2, cache_key = NULL WHERE id = ?1 AND state = 'succeeded'";
            if tx.execute(sql, &[job.into(), result.as_str().into()])? == 0 {
                return Ok(None);
            }
            let rows = tx.query("DELETE FROM artifacts WHERE job = ?1 RETURNING file", &[job.into()])?;
            let mut files = Vec::with_capacity(rows.len());
            for row in rows {
                let file = row.text(0)?;
                let wanted = "SELECT 1 FROM artifacts WHERE file = ?1";
                if tx.query_one(wanted, &[file.as_str().into()])?.is_none() {
                    tx.execute("DELETE FROM chunks WHERE file = ?1", &[file.as_str().into()])?;
                    files.push(file);
                }
            }
            Ok(Some(files))
        })
        .await
    }

    /// The files of a job's request.
    pub async fn inputs(&self, job: Uuid) -> Result<Vec<String>, StoreError> {
        self.read(move |tx| {
            let rows = tx.query("SELECT file FROM inputs WHERE job = ?1 ORDER BY file", &[job.into()])?;
            rows.iter().map(|row| row.text(0)).collect()
        })
        .await
    }

    /// Whether anything still refers to a file.
    pub async fn is_wanted(&self, file: String) -> Result<bool, StoreError> {
        self.read(move |tx| {
            let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM artifacts WHERE file = ?1) \
                       OR EXISTS (SELECT 1 FROM inputs WHERE file = ?1) \
                       OR EXISTS (SELECT 1 FROM uploads WHERE file = ?1)";
            Ok(tx.query_one(sql, &[file.as_str().into()])?.is_some())
        })
        .await
    }

    /// Writes a piece of a file, which others see once all of it is referred to. One that is there already is as good as
    /// new: nobody takes it for a stray.
    pub async fn write_chunk(&self, file: String, number: i64, data: Vec<u8>) -> Result<(), StoreError> {
        let now = self.now();
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO chunks (file, number, data, written_at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (file, number) DO UPDATE SET written_at = excluded.written_at",
                &[file.as_str().into(), number.into(), Value::Bytes(data.clone()), now.into()],
            )
            .map(drop)
        })
        .await
    }

    /// Lets go of pieces that were last written before a time and belong to files that nothing refers to. Answers of how
    /// many files, at most `at_once`.
    pub async fn sweep_chunks(&self, before: i64, at_once: u32) -> Result<usize, StoreError> {
        self.write(move |tx| {
            let strays = tx.query(
                "SELECT file FROM chunks WHERE number = 0 AND written_at < ?1 \
                 AND NOT EXISTS (SELECT 1 FROM artifacts WHERE artifacts.file = chunks.file) \
                 AND NOT EXISTS (SELECT 1 FROM inputs WHERE inputs.file = chunks.file) \
                 AND NOT EXISTS (SELECT 1 FROM uploads WHERE uploads.file = chunks.file) \
                 ORDER BY written_at LIMIT ?2",
                &[before.into(), at_once.into()],
            )?;
            for row in &strays {
                // Once more by time: somebody may have written the same file again meanwhile.
                let values = [row.text(0)?.into(), before.into()];
                let head = "DELETE FROM chunks WHERE file = ?1 AND number = 0 AND written_at < ?2";
                if tx.execute(head, &values)? > 0 {
                    tx.execute("DELETE FROM chunks WHERE file = ?1", &values[..1])?;
                }
            }
            Ok(strays.len())
        })
        .await
    }

    /// How many bytes a file in pieces has; `None` if it is not there. Whoever asks is about to refer to it: nobody takes
    /// it for a stray.
    pub async fn renew_chunks(&self, file: String) -> Result<Option<u64>, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let renew = "UPDATE chunks SET written_at = ?2 WHERE file = ?1 AND number = 0";
            if tx.execute(renew, &[file.as_str().into(), now.into()])? == 0 {
                return Ok(None);
            }
            let sum = "SELECT CAST(coalesce(sum(length(data)), 0) AS BIGINT) FROM chunks WHERE file = ?1";
            let row = tx.query_one(sum, &[file.as_str().into()])?;
            Ok(Some(row.map_or(Ok(0), |row| row.int(0))?.try_into().unwrap_or(0)))
        })
        .await
    }

    /// A piece of a file; `None` behind the last one.
    pub async fn read_chunk(&self, file: String, number: i64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(move |tx| {
            let sql = "SELECT data FROM chunks WHERE file = ?1 AND number = ?2";
            tx.query_one(sql, &[file.as_str().into(), number.into()])?.map(|row| row.bytes(0)).transpose()
        })
        .await
    }
}
