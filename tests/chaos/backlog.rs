//! Much that waits: a restart is quick, the order is kept; and keys that are remembered by whoever comes next.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use comfyport_store::{Job, Options, Store, list::Filter, submit::NewJob};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    clients::body,
    hall::{CONCURRENCY, Hall, Plan},
    oracle::Wordless,
    say, until,
};

const PATIENCE: Duration = Duration::from_mins(2);

/// Jobs that are put into the store at once.
const TOGETHER: usize = 1000;

/// From the start of the process to the first answer.
const START: Duration = Duration::from_secs(2);

/// Puts more of the same job behind one that waits.
async fn multiply(store: &Store, model: &Job, count: usize) {
    let copy = || NewJob {
        id: Uuid::new_v4(),
        workflow: model.workflow.clone(),
        owner: model.owner.clone(),
        priority: model.priority,
        need: (model.need.clone(), String::new()),
        request: model.request.clone(),
        options: model.options.clone(),
        tags: Vec::new(),
        webhook: None,
        deadline: model.deadline,
        max_attempts: model.max_attempts,
        cache_key: None,
        inputs: Vec::new(),
        most_active: None,
    };
    for _ in 0..count.div_ceil(TOGETHER) {
        let jobs = (0..TOGETHER.min(count)).map(|_| copy()).collect();
        store.submit(jobs, None, None).await.unwrap();
    }
}

async fn restart_with(count: usize, bar: Duration) {
    let mut hall = Hall::open(Plan { seed: 1, engines: 1, ..Plan::default() }).await;
    hall.engines[0].freeze();
    let url = format!("{}/sd15/txt2img", hall.servers[0].url());
    for number in 0..=CONCURRENCY {
        let request = hall.http.post(&url).header("prefer", "respond-async").json(&body(number, None));
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
    hall.servers[0].kill();
    let options = Options::Sqlite(hall.data());
    let store = tokio::task::spawn_blocking(move || Store::open(&options, Arc::new(Wordless), |_| {}));
    let store = store.await.unwrap().unwrap();
    let model = store.list(Filter::default(), 1).await.unwrap().remove(0);
    multiply(&store, &model, count).await;
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
    let began = Instant::now();
    hall.servers[0].start().await;
    assert!(hall.ask("/health").await.is_some());
    let took = began.elapsed();
    let memory = hall.servers[0].memory();
    say(&format!(
        "restart with {count} waiting jobs: first answer after {:.0} ms, {memory:.0} MB resident",
        took.as_secs_f64() * 1e3
    ));
    assert!(took <= bar, "{took:?}");
    hall.engines[0].thaw();
    let done = 200;
    until("some of them run", PATIENCE, async || hall.ledgers[0].entries() >= done * 2).await;
    // In the order in which they came, but for those that run side by side.
    let ended = hall.ask("/jobs?status=succeeded&limit=500").await.unwrap();
    let waiting = hall.ask("/jobs?status=queued&limit=1").await.unwrap();
    let newest_waiting = &waiting["jobs"][0]["id"];
    hall.servers[0].kill();
    let options = Options::Sqlite(hall.data());
    let store = tokio::task::spawn_blocking(move || Store::open(&options, Arc::new(Wordless), |_| {}));
    let store = store.await.unwrap().unwrap();
    assert_ne!(newest_waiting, &Value::Null);
    let mut places = Vec::new();
    for job in ended["jobs"].as_array().unwrap() {
        let id = job["id"].as_str().unwrap().parse().unwrap();
        let (job, events) = store.events(id, 0).await.unwrap().unwrap();
        let started = events.iter().find(|event| event.kind == "running").unwrap();
        places.push((started.at, job.seq));
    }
    places.sort_unstable();
    let beside = i64::try_from(CONCURRENCY * 2).unwrap();
    for pair in places.windows(2) {
        assert!(pair[0].1 < pair[1].1 + beside, "{pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_many_waiting_jobs_is_quick_and_keeps_their_order() {
    // A debug build on a busy machine, and still no more than a few times the bar.
    restart_with(10_000, START * 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `cargo xtask prove` runs it"]
async fn a_restart_with_a_hundred_thousand_waiting_jobs_is_quick_and_keeps_their_order() {
    restart_with(100_000, START).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_leads_to_its_job_after_the_server_was_killed() {
    let mut hall = Hall::open(Plan { seed: 1, engines: 1, ..Plan::default() }).await;
    let mut ids = Vec::new();
    for round in 0..2 {
        let url = format!("{}/sd15/txt2img", hall.servers[0].url());
        for number in 0..10 {
            let request = hall.http.post(&url).header("prefer", "respond-async");
            let request =
                request.header("idempotency-key", format!("key-{number}")).json(&body(number, None));
            let answer = request.send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers().contains_key("idempotent-replayed")),
                (202, round > 0)
            );
            ids.push(answer.json::<Value>().await.unwrap()["id"].clone());
        }
        hall.servers[0].kill();
        hall.servers[0].start().await;
    }
    assert_eq!(ids[..10], ids[10..]);
}
