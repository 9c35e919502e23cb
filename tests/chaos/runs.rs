//! The runs: what happens, how often, and to whom.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::json;

use crate::{
    clients::{Callers, Promises},
    disk::Disk,
    hall::{Hall, LEASE, Plan},
    ledger::Ledger,
    oracle::Verdict,
    postgres,
    proxy::Mode,
    say, until,
    watchers::Watchers,
};

/// How long everything may take to come to an end after the last fault.
const RECOVERY: Duration = Duration::from_mins(2);

/// The longest that jobs go on before the next fault.
const STRIDE: Duration = Duration::from_mins(5);

/// How much of a run there is.
#[derive(Debug, Clone, Copy)]
struct Scale {
    jobs: usize,
    faults: usize,
    /// Every so many jobs, somebody watches one.
    watch_every: usize,
    /// The small disk, in MiB: the store's log and all outputs fit on it.
    disk: u32,
}

const SHORT: Scale = Scale { jobs: 60, faults: 3, watch_every: 3, disk: 32 };
const LONG: Scale = Scale { jobs: 1000, faults: 20, watch_every: 5, disk: 160 };

/// The number that repeats a run: `COMFYPORT_CHAOS_SEED`. Short runs have one of their own; long ones differ each time.
fn seed(scale: Scale) -> u64 {
    let given = std::env::var("COMFYPORT_CHAOS_SEED").ok().map(|text| text.parse().unwrap());
    given.unwrap_or(if scale.jobs == SHORT.jobs { 7 } else { fastrand::u64(1..1_000_000) })
}

/// What a run is called and what it does.
struct Story {
    name: &'static str,
    faults: &'static str,
    /// Whether jobs may fail because engines do not survive them.
    may_fail: bool,
}

impl Story {
    /// Submits jobs and has `strike` happen at random points. It answers how many processes were killed by it.
    async fn run(self, plan: Plan, scale: Scale, mut strike: impl AsyncFnMut(&mut Hall, &mut Rng) -> usize) {
        let seed = seed(scale);
        let mut random = Rng::with_seed(seed);
        let mut hall = Hall::open(Plan { seed, ..plan }).await;
        let (progress, watchers) = (Arc::new(AtomicUsize::new(0)), Watchers::default());
        let enough = Arc::new(AtomicBool::new(false));
        let reading = tokio::spawn(follow(&hall, Arc::clone(&progress)));
        let callers = Callers {
            urls: hall.urls(),
            jobs: scale.jobs,
            progress: Arc::clone(&progress),
            watch_every: scale.watch_every,
            watchers: watchers.clone(),
            webhook: hall.sink.url(),
            enough: Arc::clone(&enough),
        };
        let submitting = tokio::spawn(callers.submit());
        // Every job begins and ends.
        let mut points: Vec<usize> =
            (0..scale.faults).map(|_| random.usize(1..scale.jobs * 19 / 10)).collect();
        points.sort_unstable();
        let mut kills = 0;
        for point in points {
            until("engines go on", STRIDE, async || progress.load(Ordering::Relaxed) >= point).await;
            // Not always at the moment at which something was written down.
            tokio::time::sleep(Duration::from_millis(random.u64(0..40))).await;
            kills += strike(&mut hall, &mut random).await;
        }
        let last = Instant::now();
        let submitted = tokio::time::timeout(RECOVERY, submitting).await;
        let Ok(promises) = submitted else { panic!("callers get no answer\n{}", hall.logs()) };
        let mut verdict = Verdict {
            name: self.name,
            seed,
            faults: format!("{} × {}", scale.faults, self.faults),
            kills,
            ..Verdict::default()
        };
        settle(&hall, last + RECOVERY).await;
        verdict.recovery = last.elapsed();
        conclude(&mut hall, &mut verdict, &promises.unwrap(), &watchers).await;
        reading.abort();
        verdict.judge(self.may_fail, &hall.logs());
    }
}

/// Counts what engines begin and end.
fn follow(hall: &Hall, progress: Arc<AtomicUsize>) -> impl Future<Output = ()> + use<> {
    let mut ledgers: Vec<Ledger> = hall.ledgers.iter().map(|ledger| Ledger::new(&ledger.path)).collect();
    async move {
        loop {
            progress.store(ledgers.iter_mut().map(Ledger::entries).sum(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until no job waits or runs any more. Whatever still does when time is up is stuck, and is counted so.
pub(crate) async fn settle(hall: &Hall, deadline: Instant) {
    while Instant::now() < deadline {
        let open = hall.ask("/jobs?status=queued,running&limit=1").await;
        if open.is_some_and(|page| page["jobs"] == json!([])) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks everybody what they know.
async fn conclude(hall: &mut Hall, verdict: &mut Verdict, promises: &Promises, watchers: &Watchers) {
    verdict.see_promises(promises);
    match tokio::time::timeout(Duration::from_secs(30), watchers.all()).await {
        Ok(seen) => verdict.see_watchers(&seen),
        Err(_) => verdict.complaints.push("somebody who watches does not hear of the end".to_owned()),
    }
    verdict.see_outputs(hall, promises).await;
    let told = async || hall.sink.knows(promises.acknowledged.keys().copied());
    until("webhooks tell of every job", RECOVERY, told).await;
    for server in &mut hall.servers {
        if !server.is_running() {
            continue;
        }
        let code = server.end().await;
        if code != Some(0) {
            verdict.complaints.push(format!("a server ended with {code:?}"));
        }
    }
    verdict.see_records(hall, promises).await;
}

async fn kill_server(hall: &mut Hall, _: &mut Rng) -> usize {
    hall.servers[0].kill();
    hall.servers[0].start().await;
    1
}

async fn kill_engine(hall: &mut Hall, random: &mut Rng) -> usize {
    let engine = random.usize(0..hall.engines.len());
    hall.engines[engine].kill();
    hall.engines[engine].start().await;
    1
}

async fn kill_both(hall: &mut Hall, random: &mut Rng) -> usize {
    let engine = random.usize(0..hall.engines.len());
    if random.bool() {
        hall.servers[0].kill();
        hall.engines[engine].kill();
    } else {
        hall.engines[engine].kill();
        hall.servers[0].kill();
    }
    if random.bool() {
        hall.engines[engine].start().await;
        hall.servers[0].start().await;
    } else {
        hall.servers[0].start().await;
        hall.engines[engine].start().await;
    }
    2
}

/// Whoever was killed last is back; one of them is killed, and stays away until the next time.
async fn kill_one_of_two(hall: &mut Hall, random: &mut Rng) -> usize {
    for server in &mut hall.servers {
        if !server.is_running() {
            server.start().await;
        }
    }
    let victim = random.usize(0..hall.servers.len());
    hall.servers[victim].kill();
    1
}

/// For a moment in which nobody takes its jobs from it.
async fn freeze(hall: &mut Hall, random: &mut Rng) -> usize {
    let all = hall.servers.len() + hall.engines.len();
    let victim = random.usize(0..all);
    let victim = hall.servers.iter().chain(&hall.engines).nth(victim).unwrap();
    victim.freeze();
    tokio::time::sleep(Duration::from_millis(random.u64(50..1500))).await;
    victim.thaw();
    0
}

/// Until the other server has taken everything over.
async fn freeze_beyond_lease(hall: &mut Hall, random: &mut Rng) -> usize {
    let victim = random.usize(0..hall.servers.len());
    let other = &hall.servers[1 - victim];
    let noticed = || other.said("a server is gone; its jobs are taken over");
    let before = noticed();
    hall.servers[victim].freeze();
    until("the other server notices", LEASE * 10, async || noticed() > before).await;
    tokio::time::sleep(Duration::from_millis(random.u64(0..500))).await;
    hall.servers[victim].thaw();
    // Whoever is frozen again before he said that he lives has nothing that could be taken over once more.
    let ready = format!("{}/ready", hall.servers[victim].url());
    // A connection that was open all the while may be closed by now.
    let is_ready = async || hall.http.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200);
    until("the thawed server lives again", RECOVERY, is_ready).await;
    1
}

async fn disturb_sockets(hall: &mut Hall, random: &mut Rng) -> usize {
    let engine = random.usize(0..hall.engines.len());
    let next = |kind: &str| json!({"next": [{"kind": kind}]});
    match random.u8(0..5) {
        0 => hall.misbehave(engine, &next("drop-socket")).await,
        1 => hall.misbehave_for(engine, "silent-websocket", 1).await,
        2 => hall.misbehave_for(engine, "out-of-order", 1).await,
        3 => hall.misbehave_for(engine, "duplicate-events", 1).await,
        _ => hall.misbehave_for(engine, "nan", 1).await,
    }
    let delay = Duration::from_millis(random.u64(1..40));
    hall.to_engines[engine].set(Mode { delay, lost_frames: 3, of: "-", ..Mode::default() });
    0
}

async fn lose_replies(hall: &mut Hall, random: &mut Rng) -> usize {
    let mut mode =
        |of| Mode { lost_requests: random.u8(1..10), lost_replies: random.u8(10..30), of, ..Mode::default() };
    let modes = [mode("POST /sd15"), mode("POST /prompt")];
    hall.to_servers.iter().for_each(|proxy| proxy.set(modes[0].clone()));
    hall.to_engines.iter().for_each(|proxy| proxy.set(modes[1].clone()));
    0
}

async fn server_killed(scale: Scale) {
    let story = Story { name: "server killed", faults: "kill -9 of the server", may_fail: false };
    story.run(Plan::default(), scale, kill_server).await;
}

async fn engines_killed(scale: Scale) {
    let story = Story { name: "engines killed", faults: "kill -9 of one of two engines", may_fail: true };
    story.run(Plan::default(), scale, kill_engine).await;
}

async fn both_killed(scale: Scale) {
    let faults = "kill -9 of the server and one of two engines";
    let story = Story { name: "server and engine killed", faults, may_fail: true };
    story.run(Plan::default(), scale, kill_both).await;
}

async fn frozen(scale: Scale) {
    let faults = "SIGSTOP and SIGCONT of the server or an engine";
    let story = Story { name: "frozen", faults, may_fail: false };
    story.run(Plan::default(), scale, freeze).await;
}

async fn replies_lost(scale: Scale) {
    let story =
        Story { name: "replies lost", faults: "change of how many are lost on both sides", may_fail: false };
    story.run(Plan::default(), scale, lose_replies).await;
}

async fn sockets_disturbed(scale: Scale) {
    let faults = "slow, silent, dropped, doubled or disordered WebSocket";
    let story = Story { name: "sockets disturbed", faults, may_fail: false };
    story.run(Plan::default(), scale, disturb_sockets).await;
}

async fn disk_full(scale: Scale) {
    let disk = match Disk::new(scale.disk) {
        Ok(disk) => disk,
        Err(why) => {
            return say(&format!("disk full: left out, a small file system cannot be had here: {why}"));
        }
    };
    let plan = Plan { data: Some(disk.path()), ..Plan::default() };
    let story = Story { name: "disk full", faults: "full disk below everything", may_fail: false };
    let fill = async |hall: &mut Hall, random: &mut Rng| {
        disk.fill();
        let url = format!("{}/sd15/txt2img", hall.servers[0].url());
        until("submissions are refused", RECOVERY, async || {
            // Large ones, so that there are few: the log of the store may have room of its own left.
            let body = json!({"prompt": "x".repeat(100_000), "width": 64, "height": 64, "steps": 1});
            let request = hall.http.post(&url).header("prefer", "respond-async").json(&body);
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let body = answer.text().await.unwrap();
            assert!(matches!(status.as_u16(), 202 | 503), "{status} {body}");
            status == 503 && body.contains("storage_f")
        })
        .await;
        let ready = format!("{}/ready", hall.servers[0].url());
        // A connection that was open all the while may be closed by now.
        let is_ready = async || hall.http.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200);
        until("the server says that it is not ready", RECOVERY, async || !is_ready().await).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..1000))).await;
        disk.clear();
        until("the server is ready again", RECOVERY, is_ready).await;
        0
    };
    story.run(plan, scale, fill).await;
}

/// A schema of its own in the database that tests share.
pub(crate) fn shared_store(name: &str) -> Option<String> {
    match postgres::address() {
        Ok(address) => {
            let mark = if address.contains('?') { '&' } else { '?' };
            let schema = format!("chaos_{}", uuid::Uuid::new_v4().simple());
            Some(format!("{address}{mark}schema={schema}"))
        }
        Err(why) => {
            say(&format!("{name}: left out, there is no PostgreSQL here: {why}"));
            None
        }
    }
}

async fn one_of_two_killed(scale: Scale) {
    let Some(store) = shared_store("one of two servers killed") else { return };
    let plan = Plan { servers: 2, store: Some(store), ..Plan::default() };
    let faults = "kill -9 of one of two servers on PostgreSQL";
    let story = Story { name: "one of two servers killed", faults, may_fail: false };
    story.run(plan, scale, kill_one_of_two).await;
}

async fn one_of_two_frozen(scale: Scale) {
    let Some(store) = shared_store("one of two servers frozen") else { return };
    let plan = Plan { servers: 2, store: Some(store), ..Plan::default() };
    let faults = "SIGSTOP of one of two servers on PostgreSQL beyond its lease";
    let story = Story { name: "one of two servers frozen", faults, may_fail: false };
    story.run(plan, scale, freeze_beyond_lease).await;
}

macro_rules! runs {
    ($($run:ident)*) => {
        mod short {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $run() {
                    super::$run(super::SHORT).await;
                }
            )*
        }

        mod long {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "long: `cargo xtask prove` runs it"]
                async fn $run() {
                    super::$run(super::LONG).await;
                }
            )*
        }
    };
}

runs! {
    server_killed engines_killed both_killed one_of_two_killed one_of_two_frozen
    replies_lost frozen sockets_disturbed disk_full
}
