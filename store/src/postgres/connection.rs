//! A connection, and transactions on it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, Statement};

use super::{
    address::Address,
    error::{lost, refusal},
    tx::PostgresTx,
};
use crate::{
    Notice, StoreError,
    database::{Value, Work},
};

/// What every connection is set to: answers mean that a change is on disk, whatever the server is set to otherwise, and
/// nothing waits for ever, neither for others nor for a client that hangs. A server that froze in the middle of a
/// transaction has rows locked that others need to take its jobs over: it is not given longer than they wait.
const SESSION: &str = "SET synchronous_commit TO on; SET lock_timeout TO '4s'; SET statement_timeout TO '20s'; \
    SET idle_in_transaction_session_timeout TO '4s'; SET jit TO off";

/// How long a server that is there takes to answer at most: longer than its own limit for a statement.
const ANSWER: Duration = Duration::from_secs(30);

/// Tells notices, separated by commas, to all who use the same tables.
const NOTIFY: &str = "SELECT pg_notify('comfyport_' || CAST(CAST(current_schema() AS regnamespace) AS oid), notice) \
    FROM unnest(string_to_array(?1, ',')) AS notice";

/// Statements that a connection remembers.
const MOST_STATEMENTS: usize = 256;

/// A connection with the runtime that drives it. It must not be used or dropped within another runtime.
pub(super) struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
    lost: bool,
    /// What is committed and not told.
    untold: Vec<Notice>,
    patience: Duration,
    runtime: Runtime,
}

/// What became of an attempt to run a transaction.
pub(super) enum Attempt {
    /// The connection was lost before.
    NotBegun,
    /// It was committed, or why it was not.
    Ended(Result<(), StoreError>),
}

impl Connection {
    /// Connects, and sets the connection up.
    pub(super) fn open(address: &Address) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let client = runtime.block_on(async {
            let (client, connection) = address.connect().await?;
            // Whoever waits for an answer hears of what ends it.
            tokio::spawn(async { connection.await.ok() });
            Ok::<_, StoreError>(client)
        })?;
        let mut connection = Self {
            client,
            statements: HashMap::new(),
            lost: false,
            untold: Vec::new(),
            patience: ANSWER,
            runtime,
        };
        connection.batch(&format!("{SESSION}; SET search_path TO \"{}\"", address.schema()))?;
        Ok(connection)
    }

    /// Whether it is of no use any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost || self.client.is_closed()
    }

    /// Has answers waited for longer or shorter.
    pub(super) fn be_patient(&mut self, patience: Option<Duration>) {
        self.patience = patience.unwrap_or(ANSWER);
    }

    /// Waits for an answer. Without one the connection is given up.
    pub(super) fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let (client, patience) = (&self.client, self.patience);
        let answer = self.runtime.block_on(async { tokio::time::timeout(patience, question(client)).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.lost |= lost(&error);
                Err(refusal(&error))
            }
            Err(_) => {
                self.lost = true;
                Err(StoreError::Unavailable(format!(
                    "the database did not answer within {} s",
                    patience.as_secs()
                )))
            }
        }
    }

    /// Runs statements without values.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.ask(async |client| client.batch_execute(sql).await)
    }

    /// A statement, prepared once.
    pub(super) fn statement(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.ask(async |client| client.prepare(&super::tx::numbered(sql)).await)?;
        if self.statements.len() >= MOST_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs a transaction once.
    pub(super) fn attempt(&mut self, writes: bool, work: &mut Work) -> Attempt {
        let begin = if writes {
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        } else {
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        };
        if let Err(error) = self.batch(begin) {
            return if self.is_lost() { Attempt::NotBegun } else { Attempt::Ended(Err(error)) };
        }
        let mut tx = PostgresTx::new(self);
        let notices = match work(&mut tx).and_then(|()| tx.finish()) {
            Ok(notices) => notices,
            Err(error) => {
                if !self.is_lost() && self.batch("ROLLBACK").is_err() {
                    self.lost = true;
                }
                return Attempt::Ended(Err(error));
            }
        };
        let committed = self.commit(writes);
        if committed.is_ok() {
            self.untold = notices;
        }
        Attempt::Ended(committed)
    }

    /// Tells what was committed. This is no part of the transaction: the database has those that tell something commit
    /// one after another, each of them waiting for the disk alone.
    pub(super) fn tell(&mut self) {
        let mut told = HashSet::new();
        let notices = std::mem::take(&mut self.untold).into_iter().filter(|notice| told.insert(*notice));
        let notices = notices.map(Notice::to_text).collect::<Vec<_>>().join(",");
        if notices.is_empty() {
            return;
        }
        let answer = self.statement(NOTIFY).and_then(|statement| {
            self.ask(async |client| client.execute(&statement, &[&Value::Text(notices)]).await)
        });
        if let Err(error) = answer {
            tracing::debug!("others were not told of a change: {error}");
        }
    }

    fn commit(&mut self, writes: bool) -> Result<(), StoreError> {
        let committed = self.batch("COMMIT");
        match committed {
            Err(StoreError::Unavailable(why)) if writes && self.is_lost() => Err(StoreError::Unavailable(
                format!("whether the change was kept is not known, the connection was lost meanwhile: {why}"),
            )),
            committed => committed,
        }
    }
}
