//! What the rules of jobs need of a database: transactions that run statements.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{Notice, StoreError};

/// A value in a row or a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number; truth values are 0 and 1, times are milliseconds since 1970.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<uuid::Uuid> for Value {
    fn from(value: uuid::Uuid) -> Self {
        Self::Text(value.to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of an answer, read by position.
#[derive(Debug, Clone)]
pub struct Row(pub(crate) Vec<Value>);

impl Row {
    /// A whole number.
    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        self.maybe_int(index)?.ok_or_else(|| self.wrong(index))
    }

    /// A whole number, or nothing.
    pub fn maybe_int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(index) {
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(index)),
        }
    }

    /// A whole number that is not negative and not large.
    pub fn count(&self, index: usize) -> Result<u32, StoreError> {
        u32::try_from(self.int(index)?).map_err(|_| self.wrong(index))
    }

    /// Text.
    pub fn text(&self, index: usize) -> Result<String, StoreError> {
        self.maybe_text(index)?.ok_or_else(|| self.wrong(index))
    }

    /// Text, or nothing.
    pub fn maybe_text(&self, index: usize) -> Result<Option<String>, StoreError> {
        match self.0.get(index) {
            Some(Value::Text(value)) => Ok(Some(value.clone())),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(index)),
        }
    }

    /// Bytes.
    pub fn bytes(&self, index: usize) -> Result<Vec<u8>, StoreError> {
        match self.0.get(index) {
            Some(Value::Bytes(value)) => Ok(value.clone()),
            _ => Err(self.wrong(index)),
        }
    }

    /// Text of some shape, or nothing.
    pub fn maybe_parsed<T: std::str::FromStr>(&self, index: usize) -> Result<Option<T>, StoreError> {
        self.maybe_text(index)?.map(|text| text.parse().map_err(|_| self.wrong(index))).transpose()
    }

    /// Text of some shape.
    pub fn parsed<T: std::str::FromStr>(&self, index: usize) -> Result<T, StoreError> {
        self.maybe_parsed(index)?.ok_or_else(|| self.wrong(index))
    }

    fn wrong(&self, index: usize) -> StoreError {
        StoreError::Nonsense(format!("column {index} of {} is not what it should be", self.0.len()))
    }
}

/// The dialect of a database, where statements differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// One writer at a time.
    Sqlite,
    /// Many at a time: rows are locked.
    Postgres,
}

impl Dialect {
    /// What a statement says after the name of a table to have it read by one of its indexes. SQLite has no figures about
    /// what is in a table, and would sort all jobs of a state where an index has them in order.
    pub(crate) fn by(self, index: &str) -> String {
        match self {
            Self::Sqlite => format!("INDEXED BY {index}"),
            Self::Postgres => String::new(),
        }
    }
}

/// A transaction. Statements have their values as `?1`, `?2`…
pub trait Tx {
    /// The dialect it speaks.
    fn dialect(&self) -> Dialect;

    /// Runs a statement and answers its rows.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError>;

    /// Runs a statement and answers how many rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError>;

    /// Tells everybody, once it is committed.
    fn notify(&mut self, notice: Notice);

    /// At most one row.
    fn query_one(&mut self, sql: &str, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }
}

/// The work of one transaction. It may be run again if others were in the way, so it must not have effects of its own.
pub(crate) type Work = Box<dyn FnMut(&mut dyn Tx) -> Result<(), StoreError> + Send>;

/// A transaction on its way.
pub(crate) struct Order {
    pub(crate) work: Work,
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Somebody who runs transactions.
pub(crate) trait Database: Send + Sync + std::fmt::Debug {
    /// Runs it, and answers once it is on disk.
    fn write(&self, order: Order);

    /// Runs it on what is committed. It must not change anything.
    fn read(&self, order: Order);

    /// How many wait to be written.
    fn backlog(&self) -> usize;

    /// How many commits there were.
    fn commits(&self) -> u64;
}

/// Whoever wants to hear of notices.
pub(crate) type Listener = Arc<dyn Fn(Notice) + Send + Sync>;
