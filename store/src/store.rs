//! The store as the server sees it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::oneshot;

use crate::{
    Job, Notice, StoreError,
    database::{Database, Listener, Order, Tx},
    deliveries::Webhook,
    postgres::Postgres,
    sqlite::Sqlite,
};

/// Words for what happened to a job: they are chosen where its public form is known.
pub trait Render: Send + Sync + std::fmt::Debug {
    /// What is sent to somebody of an event such as `job.succeeded`: usually one body.
    fn webhooks(&self, job: &Job, webhook: &Webhook, event: &str, at: i64) -> Vec<String>;
}

/// Where jobs are kept.
#[derive(Debug, Clone)]
pub enum Options {
    /// In a file of this folder, which nobody else may use meanwhile.
    Sqlite(PathBuf),
    /// In a database that several servers share: `postgres://user:password@host/database`.
    Postgres {
        /// Its address.
        url: String,
        /// How many transactions run at once.
        connections: usize,
    },
}

/// Everything that is kept of jobs. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Box<dyn Database>,
    render: Arc<dyn Render>,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    observer: Mutex<Option<Observer>>,
}

/// Hears how long a transaction took, its wait included, and whether it was one that writes.
pub type Observer = Arc<dyn Fn(bool, Duration) + Send + Sync>;

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inner").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens it, bringing an older one up to date. Blocks. `listener` hears of what is committed, by any server.
    pub fn open(
        options: &Options,
        render: Arc<dyn Render>,
        listener: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_at(options, render, listener, now)
    }

    /// The same with another clock: milliseconds since 1970.
    pub fn open_at(
        options: &Options,
        render: Arc<dyn Render>,
        listener: impl Fn(Notice) + Send + Sync + 'static,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let listener: Listener = Arc::new(listener);
        let database: Box<dyn Database> = match options {
            Options::Sqlite(folder) => Box::new(Sqlite::open(folder, listener)?),
            Options::Postgres { url, connections } => Box::new(Postgres::open(url, *connections, listener)?),
        };
        Ok(Self::over(database, render, clock))
    }

    /// Opens it for a word about keys, whether a server uses it at the moment or not. Blocks. A visitor takes no jobs.
    pub fn visit(options: &Options, render: Arc<dyn Render>) -> Result<Self, StoreError> {
        let database: Box<dyn Database> = match options {
            Options::Sqlite(folder) => Box::new(Sqlite::visit(folder, Arc::new(|_| {}))?),
            Options::Postgres { url, .. } => Box::new(Postgres::open(url, 1, Arc::new(|_| {}))?),
        };
        Ok(Self::over(database, render, now))
    }

    fn over(
        database: Box<dyn Database>,
        render: Arc<dyn Render>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        let (clock, observer) = (Box::new(clock), Mutex::default());
        Self { inner: Arc::new(Inner { database, render, clock, observer }) }
    }

    /// Has every transaction from now on timed.
    pub fn observe(&self, observer: Observer) {
        *self.inner.observer.lock().unwrap_or_else(PoisonError::into_inner) = Some(observer);
    }

    /// How many transactions wait to be written.
    pub fn backlog(&self) -> usize {
        self.inner.database.backlog()
    }

    /// How many commits there were: transactions that come together may share one.
    pub fn commits(&self) -> u64 {
        self.inner.database.commits()
    }

    /// The time by the store's clock, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        (self.inner.clock)()
    }

    pub(crate) fn render(&self) -> Arc<dyn Render> {
        Arc::clone(&self.inner.render)
    }

    /// Runs a transaction. Its answer means that it is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.order(true, work).await
    }

    /// Reads what is committed.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.order(false, work).await
    }

    async fn order<T: Send + 'static>(
        &self,
        writes: bool,
        mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let answer = Arc::new(Mutex::new(None));
        let place = Arc::clone(&answer);
        let (done, outcome) = oneshot::channel();
        let work = Box::new(move |tx: &mut dyn Tx| {
            let value = work(tx)?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        let order = Order { work, done };
        if writes {
            self.inner.database.write(order);
        } else {
            self.inner.database.read(order);
        }
        let closed = || StoreError::Unavailable("it is closed".to_owned());
        let outcome = outcome.await.map_err(|_| closed())?;
        let observer = self.inner.observer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(observer) = observer {
            observer(writes, started.elapsed());
        }
        outcome?;
        let value = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(closed)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
