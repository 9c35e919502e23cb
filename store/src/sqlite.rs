//! SQLite: one file, one process.
//!
//! One thread writes. While it waits for the disk others queue up, and what queued up is one commit: all of them on disk
//! before any of them is answered. If one of them is refused they are run once more, each in a savepoint of its own.
//! Readers have connections of their own.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{
    StoreError,
    database::{Database, Listener, Order},
    schema,
};

mod tx;

use tx::SqliteTx;

/// Written into the file's head, so that nobody takes another program's file for ours: `cfpt`.
const APPLICATION: i32 = 0x6366_7074;

/// Readers beside the writer.
const READERS: usize = 2;

/// What the writer keeps of the file in memory, in KiB. Ids are random, so every new job touches pages all over it.
const CACHE: i64 = 16 << 10;

/// Pages of the log (32 MiB) after which it is brought home into the file. Ids are random: the longer it is, the more jobs a
/// page brings home at once, and that is done while others wait.
const LOG: i64 = 8 << 10;

/// Transactions that share one commit at most.
const TOGETHER: usize = 256;

/// A process that is just being started has a copy of its parent's lock for a moment, and whoever is stopped and started
/// again may be quicker than the end of his predecessor.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A database file and the threads that use it.
pub(crate) struct Sqlite {
    writer: Option<mpsc::Sender<Order>>,
    readers: Option<mpsc::Sender<Order>>,
    backlog: Arc<AtomicUsize>,
    commits: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Held for as long as the file is in use; nothing for a visitor.
    _lock: Option<File>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sqlite").field("backlog", &self.backlog).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens or makes the file in a folder.
    pub(crate) fn open(folder: &Path, listener: Listener) -> Result<Self, StoreError> {
        let lock = lock(folder)?;
        let lock = lock.ok_or_else(|| {
            StoreError::Unusable(format!(
                "another comfyport uses the data directory {}: stop it, or give this one its own; several servers share \
                 jobs in PostgreSQL only",
                folder.display()
            ))
        })?;
        let path = folder.join("comfyport.db");
        let mut connection = connect(&path, true)?;
        prepare(&mut connection, &path)?;
        Self::run(connection, &path, Some(lock), listener)
    }

    /// Opens the file beside a server that uses it, if there is one. Its queue is not to be touched.
    pub(crate) fn visit(folder: &Path, listener: Listener) -> Result<Self, StoreError> {
        if let Some(lock) = lock(folder)? {
            drop(lock);
            return Self::open(folder, listener);
        }
        let path = folder.join("comfyport.db");
        let connection = connect(&path, false)?;
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| tx::refusal(&error))?;
        if version != schema::CURRENT {
            return Err(StoreError::Unusable(format!(
                "the server that uses the data directory {} is of another release: use its own command line",
                folder.display()
            )));
        }
        connection.pragma_update(None, "synchronous", "FULL").map_err(|error| tx::refusal(&error))?;
        Self::run(connection, &path, None, listener)
    }

    fn run(
        mut connection: Connection,
        path: &Path,
        lock: Option<File>,
        listener: Listener,
    ) -> Result<Self, StoreError> {
        let backlog = Arc::new(AtomicUsize::new(0));
        let (writer, orders) = mpsc::channel();
        let commits = Arc::new(AtomicU64::new(0));
        let (waiting, committed) = (Arc::clone(&backlog), Arc::clone(&commits));
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(run).map_err(|error| StoreError::Unavailable(error.to_string()))
        };
        let mut threads = vec![spawn(
            "store-writer",
            Box::new(move || write(&mut connection, &orders, &waiting, &committed, &listener)),
        )?];
        let (readers, orders) = mpsc::channel();
        let orders = Arc::new(std::sync::Mutex::new(orders));
        for _ in 0..READERS {
            let (orders, connection) = (Arc::clone(&orders), connect(path, false)?);
            threads.push(spawn("store-reader", Box::new(move || read(&connection, &orders)))?);
        }
        Ok(Self { writer: Some(writer), readers: Some(readers), backlog, commits, threads, _lock: lock })
    }
}

impl Database for Sqlite {
    fn write(&self, order: Order) {
        self.backlog.fetch_add(1, Ordering::Relaxed);
        // Without its thread the order is dropped, and with it the sender that somebody waits for.
        if let Some(writer) = &self.writer {
            writer.send(order).ok();
        }
    }

    fn read(&self, order: Order) {
        if let Some(readers) = &self.readers {
            readers.send(order).ok();
        }
    }

    fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.writer.take();
        self.readers.take();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// `None` if another process has it.
fn lock(folder: &Path) -> Result<Option<File>, StoreError> {
    let unusable = |error: std::io::Error| StoreError::Unusable(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let path = folder.join("comfyport.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
    let mut held = lock.try_lock();
    for _ in 0..LOCK_TRIES {
        if !matches!(held, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        held = lock.try_lock();
    }
    match held {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn connect(path: &Path, writes: bool) -> Result<Connection, StoreError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if writes {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(|error| tx::refusal(&error))?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(|error| tx::refusal(&error))?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Checks whose file it is and whether it is whole, and brings it up to date.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let shown = path.display();
    let damaged = |why: &dyn std::fmt::Display| {
        StoreError::Unusable(format!(
            "{shown} is not a usable job store ({why}): restore it from a backup, or move it and its -wal file away to \
             start with an empty one"
        ))
    };
    let ask = |connection: &Connection, name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(|error| damaged(&error))
    };
    let (application, version) = (ask(connection, "application_id")?, ask(connection, "user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
        .map_err(|error| damaged(&error))?;
    if application != i64::from(APPLICATION) && (application != 0 || tables > 0) {
        return Err(damaged(&"it belongs to another program"));
    }
    let whole: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| damaged(&error))?;
    if whole != "ok" {
        return Err(damaged(&whole));
    }
    let set = |name: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value);
    set("journal_mode", &"WAL").map_err(|error| damaged(&error))?;
    // An answer means that it is on disk, power cuts included.
    set("synchronous", &"FULL").map_err(|error| damaged(&error))?;
    set("temp_store", &"MEMORY").map_err(|error| damaged(&error))?;
    set("cache_size", &-CACHE).map_err(|error| damaged(&error))?;
    set("wal_autocheckpoint", &LOG).map_err(|error| damaged(&error))?;
    if application == i64::from(APPLICATION) && version == schema::CURRENT {
        // Nothing is written then, so that a full disk keeps nobody from looking at what is there.
        return Ok(());
    }
    let transaction = connection.transaction().map_err(|error| tx::refusal(&error))?;
    let mut notices = Vec::new();
    schema::migrate(&mut SqliteTx { connection: &transaction, notices: &mut notices }, version)?;
    let set = |name: &str, value: &dyn rusqlite::ToSql| transaction.pragma_update(None, name, value);
    set("application_id", &APPLICATION).map_err(|error| tx::refusal(&error))?;
    set("user_version", &schema::CURRENT).map_err(|error| tx::refusal(&error))?;
    transaction.commit().map_err(|error| tx::refusal(&error))
}

fn write(
    connection: &mut Connection,
    orders: &mpsc::Receiver<Order>,
    backlog: &AtomicUsize,
    commits: &AtomicU64,
    listener: &Listener,
) {
    while let Ok(first) = orders.recv() {
        let mut group = vec![first];
        while group.len() < TOGETHER
            && let Ok(order) = orders.try_recv()
        {
            group.push(order);
        }
        let count = group.len();
        let mut notices = Vec::new();
        let answers = write_group(connection, &mut group, &mut notices);
        backlog.fetch_sub(count, Ordering::Relaxed);
        commits.fetch_add(1, Ordering::Relaxed);
        for (order, answer) in group.into_iter().zip(answers) {
            order.done.send(answer).ok();
        }
        let mut told = std::collections::HashSet::new();
        notices.into_iter().filter(|notice| told.insert(*notice)).for_each(|notice| listener(notice));
    }
}

/// Runs a group in one transaction. If that cannot be committed, nobody's work counts.
fn write_group(
    connection: &mut Connection,
    group: &mut [Order],
    notices: &mut Vec<crate::Notice>,
) -> Vec<Result<(), StoreError>> {
    let count = group.len();
    // A savepoint costs more than the work in it, and work that is refused is rare.
    let together = try_group(connection, group, notices, run).and_then(|answers| match answers {
        Some(answers) => Ok(answers),
        None => try_group(connection, group, notices, run_apart).map(Option::unwrap_or_default),
    });
    let answers = together.unwrap_or_else(|error| {
        notices.clear();
        vec![Err(error); count]
    });
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").ok();
    }
    answers
}

/// Runs one piece of work as part of a transaction.
type Run = fn(&Connection, &mut Order, &mut Vec<crate::Notice>) -> Ran;

/// What came of one piece of work.
enum Ran {
    /// This is its answer.
    Answered(Result<(), StoreError>),
    /// It was refused, and may have left something undone in the transaction.
    Spoilt(StoreError),
}

/// Commits what all of a group did. `None`, and nothing is committed, if a transaction that others share was spoilt.
fn try_group(
    connection: &mut Connection,
    group: &mut [Order],
    notices: &mut Vec<crate::Notice>,
    run: Run,
) -> Result<Option<Vec<Result<(), StoreError>>>, StoreError> {
    notices.clear();
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(|error| tx::refusal(&error))?;
    let alone = group.len() == 1;
    let mut answers = Vec::with_capacity(group.len());
    for order in group {
        match run(&transaction, order, notices) {
            // A full disk takes the whole transaction back, not only this part of it.
            Ran::Answered(answer) if transaction.is_autocommit() => {
                return Err(answer.err().unwrap_or(StoreError::Full));
            }
            Ran::Answered(answer) => answers.push(answer),
            Ran::Spoilt(error) if alone || transaction.is_autocommit() => return Err(error),
            Ran::Spoilt(_) => return Ok(None),
        }
    }
    transaction.commit().map_err(|error| tx::refusal(&error))?;
    Ok(Some(answers))
}

fn run(connection: &Connection, order: &mut Order, notices: &mut Vec<crate::Notice>) -> Ran {
    match (order.work)(&mut SqliteTx { connection, notices }) {
        Ok(()) => Ran::Answered(Ok(())),
        Err(error) => Ran::Spoilt(error),
    }
}

/// In a savepoint of its own, so that others are not touched by its being refused.
fn run_apart(connection: &Connection, order: &mut Order, notices: &mut Vec<crate::Notice>) -> Ran {
    let say = |statement: &str| connection.execute_batch(statement).map_err(|error| tx::refusal(&error));
    let before = notices.len();
    let done = say("SAVEPOINT one").and_then(|()| (order.work)(&mut SqliteTx { connection, notices }));
    Ran::Answered(match done {
        Ok(()) => say("RELEASE one"),
        Err(error) => {
            notices.truncate(before);
            let taken_back =
                if connection.is_autocommit() { Ok(()) } else { say("ROLLBACK TO one; RELEASE one") };
            taken_back.and(Err(error))
        }
    })
}

fn read(connection: &Connection, orders: &std::sync::Mutex<mpsc::Receiver<Order>>) {
    loop {
        let order = orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
        let Ok(mut order) = order else { return };
        // One snapshot for all statements of a reader.
        let answer = connection.execute_batch("BEGIN").map_err(|error| tx::refusal(&error)).and_then(|()| {
            let mut notices = Vec::new();
            let answer = (order.work)(&mut SqliteTx { connection, notices: &mut notices });
            connection.execute_batch("ROLLBACK").ok();
            answer
        });
        order.done.send(answer).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Notice, database::Work};

    /// Hands in work whose answer comes by the receiver.
    fn order(database: &Sqlite, work: Work) -> tokio::sync::oneshot::Receiver<Result<(), StoreError>> {
        let (done, answer) = tokio::sync::oneshot::channel();
        database.write(Order { work, done });
        answer
    }

    fn drains(name: &'static str, refused: bool) -> Work {
        Box::new(move |tx| {
            let sql = "INSERT INTO engines (name, drained) VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET drained = drained + 1";
            tx.execute(sql, &[name.into()])?;
            tx.notify(Notice::Queue);
            if refused { Err(StoreError::Nonsense("refused".to_owned())) } else { Ok(()) }
        })
    }

    #[test]
    fn whoever_is_refused_spoils_nothing_for_those_who_share_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let ear = Arc::clone(&told);
        let listener: Listener = Arc::new(move |_| {
            ear.fetch_add(1, Ordering::SeqCst);
        });
        let database = Sqlite::open(folder.path(), listener).unwrap();
        let ((go, wait), (begun, begins)) = (mpsc::channel::<()>(), mpsc::channel());
        let held = order(
            &database,
            Box::new(move |_| {
                begun.send(()).ok();
                wait.recv().ok();
                Ok(())
            }),
        );
        begins.recv().unwrap();
        let answers = [("a", false), ("b", true), ("c", false)]
            .map(|(name, refused)| order(&database, drains(name, refused)));
        drop(go);
        held.blocking_recv().unwrap().unwrap();
        let answers = answers.map(|answer| answer.blocking_recv().unwrap().is_ok());
        assert_eq!(answers, [true, false, true]);
        assert_eq!(database.commits(), 2);
        drop(database);
        assert_eq!(told.load(Ordering::SeqCst), 1);
        let connection = Connection::open(folder.path().join("comfyport.db")).unwrap();
        let mut rows = connection.prepare("SELECT name, drained FROM engines ORDER BY name").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(String, i64)> = rows.map(Result::unwrap).collect();
        assert_eq!(rows, [("a".to_owned(), 1), ("c".to_owned(), 1)]);
    }
}
