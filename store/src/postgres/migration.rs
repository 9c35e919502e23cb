//! Bringing the tables up to date, while other servers may be starting too.

use std::time::Duration;

use super::{address::Address, connection::Connection, tx::PostgresTx};
use crate::{StoreError, database::Tx, schema};

/// Held by whoever looks at the version, in every database: `comfyprt`.
const LOCK: i64 = 0x636F_6D66_7970_7274;

/// How long changing large tables may take, and waiting for others who do.
const PATIENCE: Duration = Duration::from_hours(1);

/// Connects, and answers also where notices are told.
pub(super) fn open(address: &Address) -> Result<(Connection, String), StoreError> {
    let mut connection = Connection::open(address)?;
    connection.be_patient(Some(PATIENCE));
    connection.batch("BEGIN; SET LOCAL lock_timeout TO 0; SET LOCAL statement_timeout TO 0")?;
    let channel = bring_up_to_date(&mut PostgresTx::new(&mut connection), address)?;
    connection.batch("COMMIT")?;
    connection.be_patient(None);
    Ok((connection, channel))
}

fn bring_up_to_date(tx: &mut dyn Tx, address: &Address) -> Result<String, StoreError> {
    let schema = address.schema();
    tx.query("SELECT CAST(pg_advisory_xact_lock(?1) AS TEXT)", &[LOCK.into()])?;
    let encoding = tx.query_one("SELECT current_setting('server_encoding')", &[])?;
    let encoding = encoding.map_or(Ok(String::new()), |row| row.text(0))?;
    if encoding != "UTF8" {
        return Err(StoreError::Unusable(format!(
            "{address}: the database keeps text as {encoding}: create one with `ENCODING 'UTF8' TEMPLATE template0`"
        )));
    }
    let space = "SELECT CAST(oid AS BIGINT) FROM pg_namespace WHERE nspname = ?1";
    if tx.query_one(space, &[schema.into()])?.is_none() {
        tx.execute(&format!("CREATE SCHEMA \"{schema}\""), &[]).map_err(|error| match error {
            StoreError::Unusable(_) => StoreError::Unusable(format!(
                "{address}: the user may not create the schema \"{schema}\": run `CREATE SCHEMA {schema} \
                 AUTHORIZATION` with the user's name as somebody who may, or `GRANT CREATE ON DATABASE` to the user"
            )),
            error => error,
        })?;
    }
    let oid = tx.query_one(space, &[schema.into()])?.map_or(Ok(0), |row| row.int(0))?;
    let refused = |error| match error {
        StoreError::Unusable(why) => StoreError::Unusable(format!(
            "{address}: the user may not use the schema \"{schema}\" or its tables ({why}): make the user its owner"
        )),
        error => error,
    };
    tables(tx, oid, address).map_err(refused)?;
    Ok(format!("comfyport_{oid}"))
}

fn tables(tx: &mut dyn Tx, space: i64, address: &Address) -> Result<(), StoreError> {
    let named = "SELECT relname FROM pg_class WHERE CAST(relnamespace AS BIGINT) = ?1 AND relname = ?2";
    let mut has = |name: &str| Ok(tx.query_one(named, &[space.into(), name.into()])?.is_some());
    let version = if has("comfyport_schema")? {
        let row = tx.query_one("SELECT coalesce(max(version), 0) FROM comfyport_schema", &[])?;
        row.map_or(Ok(0), |row| row.int(0))?
    } else if has("jobs")? {
        return Err(StoreError::Nonsense(format!(
            "{address}: the schema \"{}\" holds tables of another program: name another one with `?schema=`",
            address.schema()
        )));
    } else {
        tx.execute("CREATE TABLE comfyport_schema (version BIGINT NOT NULL)", &[])?;
        0
    };
    schema::migrate(tx, version)?;
    if version < schema::CURRENT {
        tx.execute("DELETE FROM comfyport_schema", &[])?;
        tx.execute("INSERT INTO comfyport_schema (version) VALUES (?1)", &[schema::CURRENT.into()])?;
    }
    Ok(())
}
