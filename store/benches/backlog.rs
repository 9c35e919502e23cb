//! What a backlog costs: the same work beside 1,000, 10,000 and 100,000 queued jobs, as ratios within one run; and how
//! many submissions share a commit.
//!
//! `cargo bench -p comfyport-store` prints a table for SQLite and, where there is one, for PostgreSQL. The folder for
//! SQLite is made in `TMPDIR`: the disk there is what is measured.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use comfyport_store::{
    Job, Options, Render, Store,
    claim::{Assignment, Lane},
    deliveries::Webhook,
    submit::{NewJob, Submitted},
};
use uuid::Uuid;

#[path = "../../tests/support/postgres.rs"]
#[allow(dead_code)]
mod postgres;

const BACKLOGS: [usize; 3] = [1_000, 10_000, 100_000];
const SAMPLES: usize = 200;
const WORKFLOWS: usize = 13;
const OWNERS: usize = 3;
const TOGETHER: usize = 64;

#[derive(Debug)]
struct Silent;

impl Render for Silent {
    fn webhooks(&self, _: &Job, _: &Webhook, _: &str, _: i64) -> Vec<String> {
        vec![String::new()]
    }
}

fn new_job(number: usize) -> NewJob {
    let workflow = format!("workflow {}", number % WORKFLOWS);
    NewJob {
        id: Uuid::new_v4(),
        need: (workflow.clone(), "{}".to_owned()),
        workflow,
        owner: format!("owner {}", number % OWNERS),
        priority: 5,
        request: format!("\"{}\"", "x".repeat(2048)),
        options: "{}".to_owned(),
        tags: vec![format!("tag {}", number % 1000)],
        webhook: None,
        deadline: None,
        max_attempts: 3,
        cache_key: None,
        inputs: Vec::new(),
        most_active: None,
    }
}

fn open(options: &Options) -> Store {
    Store::open(options, Arc::new(Silent), |_| {}).expect("the store opens")
}

/// The median and the 99th percentile.
struct Cost(Duration, Duration);

impl Cost {
    async fn of<F: Future>(mut work: impl FnMut(usize) -> F) -> Self {
        let mut times = Vec::with_capacity(SAMPLES);
        for number in 0..SAMPLES {
            let began = Instant::now();
            work(number).await;
            times.push(began.elapsed());
        }
        times.sort();
        Self(times[SAMPLES / 2], times[SAMPLES * 99 / 100])
    }
}

const NAMES: [&str; 7] =
    ["submit", "claim", "heads", "place of the last", "place of the first", "list by owner", "list by tag"];

async fn costs(store: &Store) -> [Cost; 7] {
    let one = |number| async move {
        match store.submit(vec![new_job(number)], None, None).await.expect("it is accepted") {
            Submitted::New(mut jobs) => jobs.remove(0),
            other => panic!("{other:?}"),
        }
    };
    let last = one(0).await;
    let lane = |number: usize| Lane {
        rank: 4,
        owner: format!("owner {}", number % OWNERS),
        need: format!("workflow {}", number % WORKFLOWS),
    };
    let claim = |number| {
        let engine = format!("engine {number}");
        let wanted = vec![Assignment { lane: lane(number), engine, concurrency: 1000 }];
        async move {
            let taken = store.claim(wanted, "server".to_owned()).await.expect("it is taken");
            assert_eq!(taken.len(), 1);
        }
    };
    let by = |owner: Option<String>, tag: Option<String>| comfyport_store::list::Filter {
        owner,
        tag,
        ..Default::default()
    };
    let submit = Cost::of(one).await;
    let claim = Cost::of(claim).await;
    let heads =
        Cost::of(|_| async { assert_eq!(store.heads(None, 100).await.expect("heads").len(), 39) }).await;
    let oldest = store.heads(None, 100).await.expect("heads").into_iter().map(|head| head.seq).min();
    let first = Job { seq: oldest.expect("a head"), ..last.clone() };
    let place = Cost::of(|_| async { store.place(&last).await.expect("a place") }).await;
    let front = Cost::of(|_| async { store.place(&first).await.expect("a place") }).await;
    let owner =
        Cost::of(|_| async { store.list(by(Some("owner 1".to_owned()), None), 50).await.expect("jobs") })
            .await;
    let tag =
        Cost::of(|_| async { store.list(by(None, Some("tag 7".to_owned())), 50).await.expect("jobs") }).await;
    [submit, claim, heads, place, front, owner, tag]
}

async fn fill(store: &Store, from: usize, to: usize) {
    let mut number = from;
    while number < to {
        let upto = to.min(number + 1000);
        store.submit((number..upto).map(new_job).collect(), None, None).await.expect("they are accepted");
        number = upto;
    }
}

fn bench(runtime: &tokio::runtime::Runtime, name: &str, options: &Options) {
    println!("\n{name}: median / p99 in microseconds, and the median as a ratio to that beside 1,000 jobs");
    println!("| jobs | {} | open in ms |", NAMES.join(" | "));
    println!("|{}", "---|".repeat(NAMES.len() + 2));
    let (mut first, mut filled): (Option<[Cost; 7]>, usize) = (None, 0);
    for backlog in BACKLOGS {
        let store = open(options);
        runtime.block_on(fill(&store, filled, backlog));
        filled = backlog;
        drop(store);
        let began = Instant::now();
        let store = open(options);
        let opened = began.elapsed();
        let costs = runtime.block_on(costs(&store));
        let base = first.as_ref().unwrap_or(&costs);
        let cells = costs.iter().zip(base).map(|(cost, base)| {
            let ratio = cost.0.as_secs_f64() / base.0.as_secs_f64();
            format!("{} / {} ({ratio:.2})", cost.0.as_micros(), cost.1.as_micros())
        });
        println!("| {backlog} | {} | {} |", cells.collect::<Vec<_>>().join(" | "), opened.as_millis());
        first = first.or(Some(costs));
    }
}

/// How many times a second something small can be put on this disk.
fn syncs(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("syncs")).expect("a file");
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 4096]).expect("it is written");
        file.sync_data().expect("it is synced");
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

/// Submissions a second, of so many who submit one after another.
fn together(runtime: &tokio::runtime::Runtime, store: &Store, callers: usize) -> f64 {
    let per_caller = 40;
    let began = Instant::now();
    runtime.block_on(async {
        let callers: Vec<_> = (0..callers)
            .map(|caller| {
                let store = store.clone();
                tokio::spawn(async move {
                    for number in 0..per_caller {
                        let job = new_job(caller * per_caller + number);
                        store.submit(vec![job], None, None).await.expect("it is accepted");
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("it ends");
        }
    });
    (callers * per_caller) as f64 / began.elapsed().as_secs_f64()
}

/// Commits in SQLite's log: every last page of one says how large the file is then.
fn commits(folder: &Path) -> usize {
    let log = std::fs::read(folder.join("comfyport.db-wal")).unwrap_or_default();
    let frames = log.get(32..).unwrap_or_default().chunks_exact(24 + 4096);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

fn shared_commits(runtime: &tokio::runtime::Runtime, folder: &Path) {
    let store = open(&Options::Sqlite(folder.to_owned()));
    let alone = together(runtime, &store, 1);
    drop(store);
    // The log is counted anew: it begins again when it has grown to 1,000 pages, so few take part.
    let counted = open(&Options::Sqlite(folder.to_owned()));
    runtime.block_on(async {
        let tries: Vec<_> = (0..TOGETHER)
            .map(|number| {
                let store = counted.clone();
                tokio::spawn(async move { store.submit(vec![new_job(number)], None, None).await.map(drop) })
            })
            .collect();
        for one in tries {
            one.await.expect("it ends").expect("it is accepted");
        }
    });
    let batch = TOGETHER as f64 / commits(folder).max(1) as f64;
    let syncs = syncs(folder);
    let many = together(runtime, &counted, TOGETHER);
    println!(
        "\nSQLite, {TOGETHER} who submit at once: {many:.0}/s ({alone:.0}/s alone), {syncs:.0} syncs/s of this disk, {batch:.1} submissions a commit"
    );
    println!("submissions/s / (syncs/s x submissions a commit) = {:.2}", many / (syncs * batch));
}

/// What looking at every page costs when the store is opened.
fn checking(folder: &Path) {
    let began = Instant::now();
    let connection = rusqlite::Connection::open(folder.join("comfyport.db")).expect("it opens");
    let answer: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).expect("it is read");
    let size = std::fs::metadata(folder.join("comfyport.db")).expect("it is there").len() >> 20;
    println!("\nquick_check of {size} MiB: {answer}, {} ms", began.elapsed().as_millis());
}

fn main() {
    // `cargo test --benches` asks for no measurements.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    bench(&runtime, "SQLite", &Options::Sqlite(folder.path().to_owned()));
    checking(folder.path());
    let folder = tempfile::tempdir().expect("a folder");
    shared_commits(&runtime, folder.path());

    // With settings of its own, those of tests are not durable.
    match postgres::Cluster::start(&[]) {
        Err(why) => println!("\nleft out: PostgreSQL, because {why}"),
        Ok(cluster) => {
            let options = |schema: &str| Options::Postgres {
                url: format!("{}&schema={schema}", cluster.address()),
                connections: 16,
            };
            bench(&runtime, "PostgreSQL", &options("backlog"));
            let store = open(&options("together"));
            let alone = together(&runtime, &store, 1);
            let many = together(&runtime, &store, TOGETHER);
            println!("\nPostgreSQL, {TOGETHER} who submit at once: {many:.0}/s ({alone:.0}/s alone)");
        }
    }
}
