//! PostgreSQL: several servers share one queue.
//!
//! A few threads have a connection each and take transactions from one queue. A server that goes away is waited for,
//! for a while: who waits longer than [`PATIENCE`] is told so. One more connection hears what other servers tell.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    StoreError,
    database::{Database, Listener, Order},
};

mod address;
mod connection;
mod error;
mod migration;
mod notices;
mod queue;
mod tls;
mod tx;
mod worker;

use address::Address;
use queue::Queue;

/// How long a transaction waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many transactions wait at most.
const MOST_WAITING: usize = 4096;

/// How long closing waits for what is under way.
const CLOSING: Duration = Duration::from_secs(10);

/// A database and the threads that use it.
pub(crate) struct Postgres {
    queue: Arc<Queue>,
    shown: String,
    /// Dropped to end the thread that listens.
    listening: Option<oneshot::Sender<()>>,
    /// Closed once every thread has ended.
    ended: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let backlog = self.backlog();
        formatter
            .debug_struct("Postgres")
            .field("at", &self.shown)
            .field("backlog", &backlog)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects, brings the tables up to date, and starts the threads.
    pub(crate) fn open(url: &str, connections: usize, listener: Listener) -> Result<Self, StoreError> {
        let address = Arc::new(Address::parse(url)?);
        let shown = address.to_string();
        let queue = Arc::new(Queue::new(PATIENCE, MOST_WAITING));
        let (alive, ended) = mpsc::channel();

        // Whoever opens the store may be in a runtime already, which must not wait for another.
        let (ready, first) = mpsc::channel();
        let (opening, own) = (Arc::clone(&address), Arc::clone(&queue));
        spawn("store-writer", &alive, move || match migration::open(&opening) {
            Ok((connection, channel)) => {
                ready.send(Ok(channel)).ok();
                drop(ready);
                worker::run(&own, &opening, Some(connection));
            }
            Err(error) => {
                ready.send(Err(error)).ok();
            }
        })?;
        let channel = first.recv().map_err(|_| gone())??;

        let (ready, first) = mpsc::channel();
        let (listening, closed) = oneshot::channel();
        let place = Arc::clone(&address);
        let started = spawn("store-listener", &alive, move || {
            notices::listen(&place, &channel, &listener, ready, closed);
        })
        .and_then(|()| first.recv().map_err(|_| gone())?);
        // From here on the queue is closed when this is dropped, on the way out of a failure too.
        let database = Self { queue, shown, listening: Some(listening), ended: ended.into() };
        started?;

        for _ in 1..connections.max(1) {
            let (queue, address) = (Arc::clone(&database.queue), Arc::clone(&address));
            spawn("store-writer", &alive, move || worker::run(&queue, &address, None))?;
        }
        let queue = Arc::clone(&database.queue);
        spawn("store-clock", &alive, move || queue.refuse_overdue())?;
        Ok(database)
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("its thread ended".to_owned())
}

fn spawn(
    name: &str,
    alive: &mpsc::Sender<()>,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), StoreError> {
    let alive = alive.clone();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let run = move || {
        run();
        drop(alive);
    };
    thread.spawn(run).map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
}

impl Database for Postgres {
    fn write(&self, order: Order) {
        self.queue.push(order, true);
    }

    fn read(&self, order: Order) {
        self.queue.push(order, false);
    }

    fn backlog(&self) -> usize {
        self.queue.backlog()
    }

    fn commits(&self) -> u64 {
        self.queue.commits()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.queue.close();
        self.listening.take();
        let ended = self.ended.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Threads say nothing; the channel closes when the last of them has ended.
        ended.recv_timeout(CLOSING).ok();
    }
}
