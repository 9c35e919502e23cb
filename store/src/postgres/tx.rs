//! A transaction of PostgreSQL.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::connection::Connection;
use crate::{
    Notice, StoreError,
    database::{Dialect, Row, Tx, Value},
};

pub(super) struct PostgresTx<'c> {
    connection: &'c mut Connection,
    notices: Vec<Notice>,
    /// The first statement that failed: after it the database takes everything back.
    failed: Option<StoreError>,
}

impl<'c> PostgresTx<'c> {
    pub(super) fn new(connection: &'c mut Connection) -> Self {
        Self { connection, notices: Vec::new(), failed: None }
    }

    /// What is to be told once it is committed, if no statement failed.
    pub(super) fn finish(self) -> Result<Vec<Notice>, StoreError> {
        self.failed.map_or(Ok(self.notices), Err)
    }

    fn run<T>(
        &mut self,
        run: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        run(self.connection).inspect_err(|error| {
            self.failed.get_or_insert_with(|| error.clone());
        })
    }
}

impl Tx for PostgresTx<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.run(|connection| {
            let statement = connection.statement(sql)?;
            let values = parameters(values);
            let rows = connection.ask(async |client| client.query(&statement, &values).await)?;
            rows.iter().map(row).collect()
        })
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.run(|connection| {
            let statement = connection.statement(sql)?;
            let values = parameters(values);
            connection.ask(async |client| client.execute(&statement, &values).await)
        })
    }

    fn notify(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// `?1` as `$1`, except within quotes.
pub(super) fn numbered(sql: &str) -> String {
    let mut quoted = false;
    let change = |character| {
        quoted ^= character == '\'';
        if character == '?' && !quoted { '$' } else { character }
    };
    sql.chars().map(change).collect()
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *ty == Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
            Self::Int(value) if *ty == Type::INT8 => value.to_sql(ty, out),
            // PostgreSQL has no text with a NUL in it. Ours have none either, so it is somebody else's word: looked up, it
            // is not found; said, it is as readable as before.
            Self::Text(text) if <&str as ToSql>::accepts(ty) && text.contains('\0') => {
                text.replace('\0', "\u{FFFD}").to_sql(ty, out)
            }
            Self::Text(text) if <&str as ToSql>::accepts(ty) => text.to_sql(ty, out),
            Self::Bytes(bytes) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            Self::Int(_) | Self::Text(_) | Self::Bytes(_) => {
                Err(format!("a value of another type than {ty}").into())
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn row(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let value = |(index, column): (usize, &tokio_postgres::Column)| {
        let wrong = |error: tokio_postgres::Error| StoreError::Nonsense(error.to_string());
        let ty = column.type_();
        Ok(match *ty {
            Type::INT8 => {
                row.try_get::<_, Option<i64>>(index).map_err(wrong)?.map_or(Value::Null, Value::Int)
            }
            Type::INT4 => row
                .try_get::<_, Option<i32>>(index)
                .map_err(wrong)?
                .map_or(Value::Null, |value| Value::Int(value.into())),
            Type::BYTEA => {
                row.try_get::<_, Option<Vec<u8>>>(index).map_err(wrong)?.map_or(Value::Null, Value::Bytes)
            }
            Type::TEXT | Type::VARCHAR | Type::NAME => {
                row.try_get::<_, Option<String>>(index).map_err(wrong)?.map_or(Value::Null, Value::Text)
            }
            _ => return Err(StoreError::Nonsense(format!("a column of type {ty}"))),
        })
    };
    row.columns().iter().enumerate().map(value).collect::<Result<_, _>>().map(Row)
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_numbered_as_postgresql_has_it() {
        assert_eq!(
            super::numbered("a = ?1 AND b <> 'why?' AND c = ?12"),
            "a = $1 AND b <> 'why?' AND c = $12"
        );
    }
}
