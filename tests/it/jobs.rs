//! Jobs under callers who leave, repeat themselves, come all at once, or change their minds; and what is left when the
//! server is asked to end.

use std::{
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use comfyport_simulator::{Fault, LedgerEvent, Options, Simulator};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::process::{Comfyport, run};

const PAINT: &str = "/sd15/txt2img";
const PATIENCE: Duration = Duration::from_secs(20);

/// Engines are looked at often, so that nothing waits for the next look.
const EAGER: [(&str, &str); 2] =
    [("COMFYPORT_ENGINES_POLL_MS", "50"), ("COMFYPORT_ENGINES_IDLE_POLL_MS", "50")];

/// A server in front of one simulator.
struct Studio {
    engine: Simulator,
    server: Comfyport,
}

impl Studio {
    async fn new(step_delay: u64, settings: &[(&str, &str)]) -> Self {
        let step_delay = Duration::from_millis(step_delay);
        let engine = Simulator::start(Options { step_delay, ..Options::default() }).await.unwrap();
        let settings: Vec<_> = EAGER.iter().chain(settings).copied().collect();
        let server = Comfyport::in_front_of_with(&engine.url(), &settings);
        Self { engine, server }
    }

    /// Submits a job and does not wait for it.
    fn later(&self, body: &Value) -> reqwest::RequestBuilder {
        self.server.post(PAINT).header("prefer", "respond-async").body(body.to_string())
    }

    async fn submit(&self, body: &Value) -> String {
        let job = self.server.expect(self.later(body), 202).await.json();
        job["id"].as_str().unwrap().to_owned()
    }

    async fn job(&self, id: &str) -> Value {
        self.server.read(&format!("/jobs/{id}"), 200).await.json()
    }

    async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let job = self.job(id).await;
            if wanted(&job) {
                return job;
            }
            assert!(began.elapsed() < PATIENCE, "{job:#}\n{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ended(&self, id: &str) -> Value {
        self.until(id, |job| !matches!(job["status"].as_str(), Some("queued" | "running"))).await
    }

    async fn all(&self) -> Vec<Value> {
        let page = self.server.read("/jobs?limit=500", 200).await.json();
        page["jobs"].as_array().unwrap().clone()
    }

    fn begun(&self) -> usize {
        self.engine.ledger().count(LedgerEvent::Started)
    }
}

/// A small picture; others have other seeds.
fn picture(seed: usize) -> Value {
    json!({"prompt": "x", "seed": seed, "steps": 1, "width": 64, "height": 64})
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_leave_leave_a_whole_job_or_none() {
    let studio = Studio::new(0, &[]).await;
    let baseline = studio.server.descriptors();
    let body = picture(1).to_string();
    let request = format!(
        "POST {PAINT} HTTP/1.1\r\nhost: localhost\r\nprefer: respond-async\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut random = fastrand::Rng::with_seed(10);
    for _ in 0..50 {
        let mut stream = studio.server.connect();
        stream.write_all(&request.as_bytes()[..random.usize(0..request.len())]).unwrap();
    }
    // Whoever sent all of it and did not wait for the answer has a job; after it those before are known.
    for _ in 0..10 {
        let mut stream = studio.server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let jobs = studio.all().await;
    assert_eq!(jobs.len(), 10);
    for job in jobs {
        let job = studio.ended(job["id"].as_str().unwrap()).await;
        assert_eq!(job["status"], "succeeded");
    }
    let began = Instant::now();
    // A connection that is kept alive, its client's and the engine's may stay.
    while studio.server.descriptors() > baseline + 8 {
        assert!(began.elapsed() < PATIENCE, "{} of {baseline}", studio.server.descriptors());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_watch_and_leave_are_forgotten_and_the_job_goes_on() {
    let studio = Studio::new(1_000, &[]).await;
    let id = studio.submit(&json!({"prompt": "x", "steps": 4})).await;
    studio.until(&id, |job| job["status"] == "running").await;
    let baseline = studio.server.descriptors();
    let readers = join_all((0..50).map(async |_| {
        let mut answer = studio.server.get(&format!("/jobs/{id}/events")).send().await.unwrap();
        answer.chunk().await.unwrap().unwrap();
        answer
    }))
    .await;
    assert!(studio.server.descriptors() >= baseline + 40);
    drop(readers);
    let began = Instant::now();
    while studio.server.descriptors() > baseline + 8 {
        assert!(began.elapsed() < PATIENCE, "{} of {baseline}", studio.server.descriptors());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(studio.ended(&id).await["status"], "succeeded");
    assert_eq!(studio.begun(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_job_however_many_ask_at_once() {
    let studio = Studio::new(0, &[]).await;
    let ask = |body: &Value| studio.later(body).header("idempotency-key", "mine").send();
    let answers = join_all((0..50).map(|_| ask(&picture(1)))).await;
    let (mut ids, mut new) = (std::collections::BTreeSet::new(), 0);
    for answer in answers {
        let answer = answer.unwrap();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        assert!(matches!(answer.status().as_u16(), 202 | 409), "{}", answer.status());
        if answer.status() == StatusCode::ACCEPTED {
            new += usize::from(!replayed);
            ids.insert(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!((ids.len(), new), (1, 1));
    let id = ids.first().unwrap();
    assert_eq!(studio.ended(id).await["status"], "succeeded");
    assert_eq!((studio.begun(), studio.all().await.len()), (1, 1));
    // With another body the key is refused, and what it stands for stays as it is.
    let before = studio.job(id).await;
    let request = studio.later(&picture(2)).header("idempotency-key", "mine");
    assert_eq!(studio.server.expect(request, 422).await.json()["code"], "idempotency_mismatch");
    assert_eq!(studio.job(id).await, before);
    // A request that is not accepted is not remembered.
    let request = studio.later(&json!({"prmopt": 1})).header("idempotency-key", "other");
    studio.server.expect(request, 422).await;
    let request = studio.later(&picture(3)).header("idempotency-key", "other");
    studio.server.expect(request, 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_retries_is_turned_away_and_over_when_the_engine_is_back() {
    let studio = Studio::new(0, &[("COMFYPORT_JOBS_MAX_QUEUED", "20")]).await;
    studio.server.call(PAINT, &picture(0), 200).await;
    studio.engine.faults().during(Fault::Refuse, Duration::from_hours(1));
    let until = Instant::now() + Duration::from_secs(2);
    let storm = join_all((0..100).map(|caller| {
        let studio = &studio;
        async move {
            let (mut accepted, mut refused) = (Vec::new(), 0_usize);
            while Instant::now() < until {
                let answer = studio.later(&picture(caller)).send().await.unwrap();
                if answer.status() == StatusCode::ACCEPTED {
                    accepted.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
                    continue;
                }
                assert!(matches!(answer.status().as_u16(), 429 | 503), "{}", answer.status());
                assert!(answer.headers().contains_key("retry-after"));
                refused += 1;
            }
            (accepted, refused)
        }
    }))
    .await;
    let refused: usize = storm.iter().map(|(_, refused)| refused).sum();
    let accepted: Vec<&String> = storm.iter().flat_map(|(accepted, _)| accepted).collect();
    assert!(refused > accepted.len(), "{refused} refused, {} accepted", accepted.len());
    assert!(!accepted.is_empty());
    studio.engine.faults().clear();
    let back = Instant::now();
    for id in accepted {
        let ended = studio.ended(id).await;
        assert_eq!(ended["status"], "succeeded", "{ended:#}\n{}", studio.server.log());
    }
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    studio.server.call(PAINT, &picture(1), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_at_once_and_what_was_accepted_is_done() {
    let studio = Studio::new(20, &[("COMFYPORT_JOBS_MAX_QUEUED", "20")]).await;
    let began = Instant::now();
    let answers = join_all((0..150).map(|seed| studio.later(&picture(seed)).send())).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for answer in answers {
        let answer = answer.unwrap();
        match answer.status().as_u16() {
            202 => accepted.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()),
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0 && accepted.len() >= 20, "{} accepted, {refused} refused", accepted.len());
    for id in &accepted {
        assert_eq!(studio.ended(id).await["status"], "succeeded");
    }
    assert_eq!(studio.begun(), accepted.len());
}

/// How many jobs are cancelled at random: `COMFYPORT_CANCEL_POINTS`, 40 if nothing is said.
fn points() -> usize {
    std::env::var("COMFYPORT_CANCEL_POINTS").map_or(40, |points| points.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_at_any_moment_ends_that_job_and_no_other() {
    let studio = Studio::new(10, &[]).await;
    let mut random = fastrand::Rng::with_seed(13);
    let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..points() {
        let victim = studio.submit(&picture(round * 2)).await;
        let neighbour = studio.submit(&picture(round * 2 + 1)).await;
        // The time that such a job takes, queueing included.
        tokio::time::sleep(Duration::from_micros(random.u64(0..80_000))).await;
        let cancel = || studio.server.delete(&format!("/jobs/{victim}")).send();
        let told = Instant::now();
        let answers = join_all([cancel(), cancel()]).await;
        for answer in answers {
            let status = answer.unwrap().status().as_u16();
            assert!(matches!(status, 200 | 202 | 409), "{status}");
        }
        let ended = studio.ended(&victim).await;
        assert!(told.elapsed() < Duration::from_secs(3), "{:?} {ended}", told.elapsed());
        let status = ended["status"].as_str().unwrap().to_owned();
        assert!(matches!(&*status, "cancelled" | "succeeded"), "{ended}");
        *outcomes.entry(status).or_default() += 1;
        let answer = cancel().await.unwrap().status().as_u16();
        assert_eq!(answer, if ended["status"] == "cancelled" { 200 } else { 409 });
        assert_eq!(studio.ended(&neighbour).await["status"], "succeeded");
    }
    assert!(outcomes.contains_key("cancelled"), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_says_of_itself_stays_with_us_and_small_mishaps_cost_no_try() {
    let studio = Studio::new(0, &[("COMFYPORT_ENGINES_EJECT_AFTER_FAILURES", "100")]).await;
    // What happens, how often it happens, how the job ends, after how many tries.
    let table: [(Fault, usize, &str, &str, u64); 5] = [
        (Fault::Exception, 1, "failed", "workflow_error", 1),
        (Fault::TruncatedOutput, 1, "succeeded", "", 1),
        (Fault::TruncatedOutput, 9, "failed", "output_missing", 1),
        (Fault::Refuse, 3, "succeeded", "", 1),
        (Fault::ErrorAfter { path: "/prompt".to_owned() }, 1, "succeeded", "", 1),
    ];
    for (seed, (fault, times, status, code, attempts)) in table.into_iter().enumerate() {
        (0..times).for_each(|_| studio.engine.faults().next(fault.clone()));
        let id = studio.submit(&picture(seed)).await;
        let job = studio.ended(&id).await;
        studio.engine.faults().clear();
        let found =
            (job["status"].as_str(), job["error"]["code"].as_str().unwrap_or_default(), &job["attempt"]);
        assert_eq!(found, (Some(status), code, &json!(attempts)), "{fault:?} × {times}: {job:#}");
        let text = job.to_string();
        assert!(!text.contains("/srv/") && !text.contains("Traceback"), "{text}");
        // The next one is none the worse.
        studio.server.call(PAINT, &picture(100 + seed), 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_lets_go_of_everybody_and_exits_0() {
    let studio = Studio::new(2_000, &[("COMFYPORT_SERVER_SHUTDOWN_TIMEOUT_S", "1")]).await;
    let running = studio.submit(&picture(0)).await;
    studio.until(&running, |job| job["status"] == "running").await;
    let waiting = studio.submit(&picture(1)).await;
    let mut half_sent = studio.server.connect();
    half_sent.write_all(b"POST /sd15/txt2img HTTP/1.1\r\nhost: loc").unwrap();
    let mut events = studio.server.get(&format!("/jobs/{waiting}/events")).send().await.unwrap();
    events.chunk().await.unwrap().unwrap();
    let told = Instant::now();
    studio.server.signal("TERM");
    // Who comes now is told to come back, or finds nobody.
    if let Ok(answer) = studio.later(&picture(2)).send().await {
        assert!(matches!(answer.status().as_u16(), 202 | 503), "{}", answer.status());
    }
    assert_eq!(studio.server.wait(), 0);
    assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
    // The stream ends as streams do, rather than being torn off.
    while events.chunk().await.unwrap().is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_twice_it_ends_at_once() {
    let studio = Studio::new(60_000, &[("COMFYPORT_SERVER_SHUTDOWN_TIMEOUT_S", "600")]).await;
    let id = studio.submit(&picture(0)).await;
    studio.until(&id, |job| job["status"] == "running").await;
    let told = Instant::now();
    studio.server.signal("TERM");
    studio.server.said("stopping:").await;
    studio.server.signal("TERM");
    assert_eq!(studio.server.wait(), 0);
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_and_is_gone_is_410() {
    let engine = Simulator::start(Options::default()).await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let server = Comfyport::lasting(&engine.url(), data.path(), &EAGER);
    let result = server.call(PAINT, &picture(1), 200).await;
    let url = result["outputs"].as_object().unwrap().values().next().unwrap()[0]["url"].as_str().unwrap();
    server.read(url, 200).await;
    std::fs::remove_dir_all(data.path().join("files")).unwrap();
    assert_eq!(server.read(url, 410).await.json()["code"], "output_gone");
    let unknown = url.rsplit_once('/').unwrap().0;
    assert_eq!(server.read(&format!("{unknown}/7"), 404).await.json()["code"], "not_found");
}

#[test]
fn a_store_that_is_in_use_or_damaged_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", folder];
    let refused = |what: &str| {
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(what), "{said}");
    };
    let lock = std::fs::File::create(data.path().join("comfyport.lock")).unwrap();
    lock.lock().unwrap();
    refused("another comfyport uses the data directory");
    drop(lock);
    std::fs::write(data.path().join("comfyport.db"), "SQLite format 3, or not".repeat(400)).unwrap();
    refused("restore it from a backup");
}

#[test]
fn faulty_settings_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("comfyport.toml");
    let table = [
        ("[jobs]\nmax_qeued = 5\n", &["line 2", "max_qeued", "max_queued"][..]),
        ("[store]\n\nlease_s = 0\n", &["store.lease_s"]),
        ("[jobs]\nmax_queued = \"many\"\n", &["max_queued"]),
        ("[jobs\n", &["line 1"]),
        ("[webhooks]\nsecrets = [\"sesame\"]\n", &["webhooks.secrets"]),
    ];
    for (text, expected) in table {
        std::fs::write(&file, text).unwrap();
        let output = run(&["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains("sesame"), "{said}");
        for word in expected {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }
}
