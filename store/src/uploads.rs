//! Files that callers uploaded, to refer to them for a while.
//!
//! An upload is a reference to a file among others of the same content. When it expires or is let go of, the file stays
//! for as long as anything else refers to it.

use uuid::Uuid;

use crate::{
    Store, StoreError,
    database::{Row, Tx, Value},
};

/// An upload to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// Whose it is.
    pub owner: String,
    /// The file's name in the store of files, made from its content.
    pub file: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Width and height in pixels, of pictures.
    pub dimensions: Option<(u32, u32)>,
    /// Until when it may be referred to, in milliseconds since 1970.
    pub expires_at: i64,
}

/// An upload that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What it is referred to by.
    pub id: Uuid,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// The rest.
    pub upload: NewUpload,
}

/// What one owner may keep at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many uploads.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    New(Upload),
    /// The owner uploaded the same content before: it is the same upload, kept anew.
    Again(Upload),
    /// The owner keeps as much as he may.
    Full,
}

const COLUMNS: &str = "id, owner, file, content_type, size, sha256, width, height, created_at, expires_at";

impl Upload {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let side = |index| row.maybe_int(index).map(|side| side.and_then(|side| u32::try_from(side).ok()));
        Ok(Self {
            id: row.parsed(0)?,
            created_at: row.int(8)?,
            upload: NewUpload {
                owner: row.text(1)?,
                file: row.text(2)?,
                content_type: row.text(3)?,
                size: u64::try_from(row.int(4)?).unwrap_or(0),
                sha256: row.text(5)?,
                dimensions: side(6)?.zip(side(7)?),
                expires_at: row.int(9)?,
            },
        })
    }
}

impl NewUpload {
    /// Writes it down. Somebody else may have done so for the same owner a moment ago.
    fn insert(&self, tx: &mut dyn Tx, now: i64) -> Result<Option<Upload>, StoreError> {
        let values: [Value; 10] = [
            Uuid::new_v4().into(),
            self.owner.as_str().into(),
            self.file.as_str().into(),
            self.content_type.as_str().into(),
            i64::try_from(self.size).unwrap_or(i64::MAX).into(),
            self.sha256.as_str().into(),
            self.dimensions.map(|(width, _)| width).into(),
            self.dimensions.map(|(_, height)| height).into(),
            now.into(),
            self.expires_at.into(),
        ];
        let sql = format!(
            "INSERT INTO uploads ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (owner, sha256) DO UPDATE SET expires_at = excluded.expires_at RETURNING {COLUMNS}"
        );
        tx.query_one(&sql, &values)?.map(|row| Upload::read(&row)).transpose()
    }
}

impl Store {
    /// Keeps an upload, within what its owner may keep.
    pub async fn add_upload(&self, new: NewUpload, quota: Quota) -> Result<Added, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let renew = format!(
                "UPDATE uploads SET expires_at = ?3 WHERE owner = ?1 AND sha256 = ?2 RETURNING {COLUMNS}"
            );
            let values = [new.owner.as_str().into(), new.sha256.as_str().into(), new.expires_at.into()];
            if let Some(row) = tx.query_one(&renew, &values)? {
                return Ok(Added::Again(Upload::read(&row)?));
            }
            let kept = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM uploads \
                        WHERE owner = ?1 AND expires_at > ?2";
            let row = tx.query_one(kept, &[new.owner.as_str().into(), now.into()])?;
            let number = |index| {
                let number = row.as_ref().map_or(Ok(0), |row| row.int(index));
                number.map(|number| u64::try_from(number).unwrap_or(0))
            };
            if number(0)? >= quota.files || number(1)?.saturating_add(new.size) > quota.bytes {
                return Ok(Added::Full);
            }
            Ok(new.insert(tx, now)?.map_or(Added::Full, Added::New))
        })
        .await
    }

    /// An upload of an owner; nothing if it is somebody else's or has expired.
    pub async fn upload(&self, id: Uuid, owner: String) -> Result<Option<Upload>, StoreError> {
        let now = self.now();
        self.read(move |tx| {
            let sql =
                format!("SELECT {COLUMNS} FROM uploads WHERE id = ?1 AND owner = ?2 AND expires_at > ?3");
            let values = [id.into(), owner.as_str().into(), now.into()];
            tx.query_one(&sql, &values)?.map(|row| Upload::read(&row)).transpose()
        })
        .await
    }

    /// An upload, whoever's it is; nothing if it has expired. For those who see what everybody has.
    pub async fn anybodys_upload(&self, id: Uuid) -> Result<Option<Upload>, StoreError> {
        let now = self.now();
        self.read(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM uploads WHERE id = ?1 AND expires_at > ?2");
            tx.query_one(&sql, &[id.into(), now.into()])?.map(|row| Upload::read(&row)).transpose()
        })
        .await
    }

    /// Lets go of an upload. Answers whether there was one.
    pub async fn remove_upload(&self, id: Uuid, owner: String) -> Result<bool, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let sql = "DELETE FROM uploads WHERE id = ?1 AND owner = ?2 AND expires_at > ?3";
            Ok(tx.execute(sql, &[id.into(), owner.as_str().into(), now.into()])? > 0)
        })
        .await
    }

    /// Lets go of uploads that have expired, at most `at_once`. Answers how many.
    pub async fn expire_uploads(&self, at_once: u32) -> Result<u64, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let sql = "DELETE FROM uploads WHERE id IN \
                       (SELECT id FROM uploads WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
            tx.execute(sql, &[now.into(), at_once.into()])
        })
        .await
    }
}
