//! API keys: who may call, and as whom. Of a key only a digest is kept.

use crate::{
    Store, StoreError,
    database::{Row, Value},
};

/// A key to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its public part.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose jobs are its jobs: keys may share an owner.
    pub owner: String,
    /// A digest of the whole key.
    pub digest: String,
    /// What it may do, and how much of it, as JSON.
    pub grant: String,
    /// When it stops being one, in milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// A key that was made, whether it still is one or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it was made with.
    pub key: NewKey,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// When it was taken back.
    pub revoked_at: Option<i64>,
}

const COLUMNS: &str = "id, name, owner, digest, grant_, expires_at, created_at, revoked_at";

impl Key {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: NewKey {
                id: row.text(0)?,
                name: row.text(1)?,
                owner: row.text(2)?,
                digest: row.text(3)?,
                grant: row.text(4)?,
                expires_at: row.maybe_int(5)?,
            },
            created_at: row.int(6)?,
            revoked_at: row.maybe_int(7)?,
        })
    }
}

impl Store {
    /// Remembers a new key. `false` if there is one of that id.
    pub async fn create_key(&self, key: NewKey) -> Result<bool, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let sql = format!(
                "INSERT INTO api_keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL) ON CONFLICT (id) DO NOTHING"
            );
            let values: [Value; 7] = [
                key.id.as_str().into(),
                key.name.as_str().into(),
                key.owner.as_str().into(),
                key.digest.as_str().into(),
                key.grant.as_str().into(),
                key.expires_at.into(),
                now.into(),
            ];
            Ok(tx.execute(&sql, &values)? > 0)
        })
        .await
    }

    /// All keys that were ever made, the oldest first.
    pub async fn keys(&self) -> Result<Vec<Key>, StoreError> {
        self.read(|tx| {
            let sql = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created_at, id");
            tx.query(&sql, &[])?.iter().map(Key::read).collect()
        })
        .await
    }

    /// Changes whenever a key is made or taken back: cheaper to ask for than all of them.
    pub async fn keys_version(&self) -> Result<(i64, i64), StoreError> {
        self.read(|tx| {
            let row = tx.query_one("SELECT count(*), count(revoked_at) FROM api_keys", &[])?;
            row.map_or(Ok((0, 0)), |row| Ok((row.int(0)?, row.int(1)?)))
        })
        .await
    }

    /// Takes a key back. Answers it as it is now; `None` if there is none of that id.
    pub async fn revoke_key(&self, id: String) -> Result<Option<Key>, StoreError> {
        let now = self.now();
        self.write(move |tx| {
            let sql = format!(
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1 RETURNING {COLUMNS}"
            );
            tx.query_one(&sql, &[id.as_str().into(), now.into()])?.map(|row| Key::read(&row)).transpose()
        })
        .await
    }

    /// A secret that all servers of this store share: the one that is kept under this name, or else this one from now on.
    pub async fn secret(&self, name: &'static str, fresh: String) -> Result<String, StoreError> {
        self.write(move |tx| {
            let sql = "INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
            tx.execute(sql, &[name.into(), fresh.as_str().into()])?;
            let row = tx.query_one("SELECT value FROM secrets WHERE name = ?1", &[name.into()])?;
            row.map_or_else(|| Ok(fresh.clone()), |row| row.text(0))
        })
        .await
    }
}
