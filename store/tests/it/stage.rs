//! What tests share: stores on each database, jobs, and a clock that they set.

use std::{
    future::Future,
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use comfyport_store::{
    Job, Notice, Options, Render, Store,
    claim::{Assignment, Lane},
    deliveries::Webhook,
    submit::{NewJob, Submitted},
    transition::Ending,
};
use tempfile::TempDir;
use uuid::Uuid;

/// A database of a test's own, its clock, and what was told about it.
pub(crate) struct Stage {
    options: Options,
    clock: Arc<AtomicI64>,
    heard: Arc<Mutex<Vec<Notice>>>,
    /// The folder, or the address without the schema.
    place: Place,
}

enum Place {
    /// Removed with the stage.
    Folder {
        _folder: TempDir,
    },
    Schema {
        address: &'static str,
        name: String,
    },
}

/// Words of webhooks for tests: what the store says of a job.
#[derive(Debug)]
pub(crate) struct Plain;

impl Render for Plain {
    fn webhooks(&self, job: &Job, webhook: &Webhook, event: &str, at: i64) -> Vec<String> {
        let one = format!("{event} {} {} {at}", job.id, job.events);
        // A shape of so many letters asks for as many more.
        std::iter::repeat_n(one, 1 + webhook.shape.as_deref().map_or(0, str::len)).collect()
    }
}

impl Stage {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::Sqlite(folder.path().to_owned());
        Self::new(options, Place::Folder { _folder: folder })
    }

    /// Nothing where there is no PostgreSQL: `left_out` says so once.
    pub(crate) fn postgres() -> Option<Self> {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let address = crate::postgres::address().ok()?;
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let joint = if address.contains('?') { '&' } else { '?' };
        let url = format!("{address}{joint}schema={name}");
        Some(Self::new(Options::Postgres { url, connections: 4 }, Place::Schema { address, name }))
    }

    fn new(options: Options, place: Place) -> Self {
        let clock = Arc::new(AtomicI64::new(1_000_000));
        Self { options, clock, heard: Arc::default(), place }
    }

    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.place, Place::Schema { .. })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The store. SQLite has one at a time.
    pub(crate) fn open(&self) -> Store {
        let (clock, heard) = (Arc::clone(&self.clock), Arc::clone(&self.heard));
        let listener = move |notice| heard.lock().unwrap().push(notice);
        Store::open_at(&self.options, Arc::new(Plain), listener, move || clock.load(Ordering::SeqCst))
            .unwrap()
    }

    /// Two servers' stores; the same one twice where only one can be open.
    pub(crate) fn open_two(&self) -> [Store; 2] {
        let store = self.open();
        let other = if self.is_shared() { self.open() } else { store.clone() };
        [store, other]
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Lets time pass, in milliseconds.
    pub(crate) fn pass(&self, time: i64) {
        self.clock.fetch_add(time, Ordering::SeqCst);
    }

    /// Waits until something was told.
    pub(crate) async fn hear(&self, notice: Notice) {
        let told = async {
            while !self.heard.lock().unwrap().contains(&notice) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("nobody told of it");
    }

    /// How often something was told.
    pub(crate) fn heard(&self, notice: Notice) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| **heard == notice).count()
    }

    /// Forgets what was told.
    pub(crate) fn deafen(&self) {
        self.heard.lock().unwrap().clear();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A server of our own goes away with all that is in it.
        if let Place::Schema { address, name } = &self.place
            && std::env::var_os("COMFYPORT_TEST_POSTGRES").is_some()
        {
            sql(address, &format!("DROP SCHEMA IF EXISTS {name} CASCADE"));
        }
    }
}

/// Says that something is not tested here, past the harness, which shows nothing of tests that pass.
pub(crate) fn left_out(what: &str) {
    let mut out = std::io::stderr();
    writeln!(out, "left out: {what}").unwrap();
}

/// Runs statements beside the store.
pub(crate) fn sql(address: &str, statements: &str) -> Vec<Vec<Option<String>>> {
    let work = || {
        runtime().block_on(async {
            let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
            let polled = tokio::spawn(connection);
            let answer = client.simple_query(statements).await.unwrap();
            drop(client);
            polled.await.unwrap().unwrap();
            let row = |message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                }
                _ => None,
            };
            answer.into_iter().filter_map(row).collect()
        })
    };
    // A runtime cannot wait within another.
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn run<F: Future<Output = ()>>(stage: Option<Stage>, test: impl FnOnce(Stage) -> F) {
    if let Some(stage) = stage {
        runtime().block_on(test(stage));
    }
}

/// Has each test run on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { crate::stage::run(Some(crate::stage::Stage::sqlite()), super::$name); })*
        }
        mod postgres {
            $(#[test] fn $name() { crate::stage::run(crate::stage::Stage::postgres(), super::$name); })*
        }
    };
}
pub(crate) use on_both;

/// A job that asks for little.
pub(crate) fn new_job() -> NewJob {
    NewJob {
        id: Uuid::new_v4(),
        workflow: "flux/portrait".to_owned(),
        owner: String::new(),
        priority: 5,
        need: ("gpu".to_owned(), "{\"vram\":8}".to_owned()),
        request: "{\"prompt\":\"a cat\"}".to_owned(),
        options: "{}".to_owned(),
        tags: Vec::new(),
        webhook: None,
        deadline: None,
        max_attempts: 3,
        cache_key: None,
        inputs: Vec::new(),
        most_active: None,
    }
}

/// A job that says to an address what happens to it.
pub(crate) fn watched_job(url: &str, events: &[&str]) -> NewJob {
    let webhook = serde_json::json!({"url": url, "events": events});
    NewJob { webhook: Some(webhook.to_string()), ..new_job() }
}

/// The lane of a job.
pub(crate) fn lane_of(job: &Job) -> Lane {
    Lane { rank: i64::from(9 - job.priority), owner: job.owner.clone(), need: job.need.clone() }
}

/// The lane that [`new_job`] goes to.
pub(crate) fn lane() -> Lane {
    Lane { rank: 4, owner: String::new(), need: "gpu".to_owned() }
}

pub(crate) fn assignment(lane: Lane, engine: &str, concurrency: u32) -> Assignment {
    Assignment { lane, engine: engine.to_owned(), concurrency }
}

pub(crate) async fn submit(store: &Store, job: NewJob) -> Job {
    match store.submit(vec![job], None, None).await.unwrap() {
        Submitted::New(mut jobs) => jobs.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Takes the oldest job of the usual lane, for an engine with much room.
pub(crate) async fn claim(store: &Store, holder: &str) -> Job {
    let taken = store.claim(vec![assignment(lane(), "box", 1000)], holder.to_owned()).await.unwrap();
    taken.into_iter().next().expect("there is a job")
}

/// A job that was submitted and taken.
pub(crate) async fn running(store: &Store, job: NewJob, holder: &str) -> Job {
    let job = submit(store, job).await;
    let taken = store.claim(vec![assignment(lane_of(&job), "box", 1000)], holder.to_owned()).await.unwrap();
    let taken = taken.into_iter().next().expect("there is a job");
    assert_eq!(taken.id, job.id);
    taken
}

pub(crate) fn success() -> Ending {
    Ending {
        state: comfyport_store::State::Succeeded,
        result: Some("{\"image\":1}".to_owned()),
        problem: None,
        artifacts: Vec::new(),
    }
}

pub(crate) async fn job(store: &Store, id: Uuid) -> Job {
    store.job(id).await.unwrap().expect("the job is kept")
}

/// The kinds of a job's events, which are numbered without a gap.
pub(crate) async fn kinds(store: &Store, id: Uuid) -> Vec<String> {
    let (job, events) = store.events(id, 0).await.unwrap().expect("the job is kept");
    let numbers: Vec<i64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=job.events).collect::<Vec<_>>());
    events.into_iter().map(|event| event.kind).collect()
}
