//! The way of a job from its acceptance to its end, over restarts of the server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Comfyport;

const PAINT: &str = "/sd15/txt2img";

/// A server that keeps its data when it goes, in front of a simulator that stays.
struct House {
    engine: Comfyport,
    data: tempfile::TempDir,
    server: Option<Comfyport>,
    settings: Vec<(&'static str, &'static str)>,
}

impl House {
    fn new(settings: &[(&'static str, &'static str)]) -> Self {
        Self::with(Comfyport::simulator(), settings)
    }

    /// Sampling steps take some time.
    fn slow(settings: &[(&'static str, &'static str)]) -> Self {
        Self::with(Comfyport::slow_simulator(50), settings)
    }

    fn with(engine: Comfyport, settings: &[(&'static str, &'static str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut house = Self { engine, data, server: None, settings: settings.to_vec() };
        house.start();
        house
    }

    fn start(&mut self) {
        let server = Comfyport::lasting(self.engine.url(), self.data.path(), &self.settings);
        self.server = Some(server);
    }

    fn server(&self) -> &Comfyport {
        self.server.as_ref().unwrap()
    }

    /// As `kill -9` does it.
    fn kill(&mut self) {
        self.server = None;
    }

    async fn submit(&self, body: &Value) -> Value {
        let request = self.server().post(PAINT).header("prefer", "respond-async").body(body.to_string());
        let answer = self.server().expect(request, 202).await;
        let job = answer.json();
        assert_eq!(answer.header("location"), format!("/jobs/{}", job["id"].as_str().unwrap()));
        job
    }

    async fn job(&self, id: &Value) -> Value {
        self.server().read(&format!("/jobs/{}", id.as_str().unwrap()), 200).await.json()
    }

    /// The job as soon as it is as wanted.
    async fn until(&self, id: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1500 {
            let job = self.job(id).await;
            if wanted(&job) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{}\n{}", self.job(id).await, self.server().log());
    }

    async fn ended(&self, id: &Value) -> Value {
        self.until(id, |job| !["queued", "running"].contains(&job["status"].as_str().unwrap())).await
    }

    async fn running(&self, id: &Value) -> Value {
        self.until(id, |job| job["status"] == "running" && job["progress"].is_object()).await
    }

    /// Both places at the engine are taken: by one job that it runs, and by one that is next. Two that are sent there at
    /// the same time may arrive in any order.
    async fn busy(&self, steps: u32) -> [Value; 2] {
        let first = self.submit(&small(steps)).await["id"].clone();
        self.running(&first).await;
        let second = self.submit(&small(steps)).await["id"].clone();
        self.until(&second, |job| job["status"] == "running").await;
        [first, second]
    }

    async fn received(&self) -> usize {
        let ledger: Vec<Value> =
            self.engine.get("/simulator/ledger").send().await.unwrap().json().await.unwrap();
        ledger.iter().filter(|entry| entry["event"] == "received").count()
    }

    async fn plan(&self, faults: Value) {
        let asked = self.engine.post("/simulator/faults").body(faults.to_string()).send().await.unwrap();
        assert!(asked.status().is_success());
    }
}

fn small(steps: u32) -> Value {
    json!({"prompt": "x", "width": 64, "height": 64, "steps": steps})
}

fn with_options(mut body: Value, options: Value) -> Value {
    body["options"] = options;
    body
}

/// The events of a stream: id, name, data.
fn events(text: &str) -> Vec<(Option<i64>, String, Value)> {
    let blocks = text.split("\n\n").filter(|block| block.contains("event:"));
    blocks
        .map(|block| {
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
            };
            let data = serde_json::from_str(&field("data:").unwrap()).unwrap();
            (field("id:").map(|id| id.parse().unwrap()), field("event:").unwrap(), data)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_all_there_is_to_say_of_it() {
    let house = House::new(&[]);
    let options = json!({"priority": 7, "tags": ["a", "b"], "metadata": {"order": 4711}, "max_attempts": 2});
    let job = house.submit(&with_options(small(2), options)).await;
    assert_eq!(
        (&job["priority"], &job["max_attempts"], &job["tags"]),
        (&json!(7), &json!(2), &json!(["a", "b"]))
    );
    let id = job["id"].as_str().unwrap();
    assert_eq!(job["status_url"], format!("/jobs/{id}"));
    assert_eq!(job["events_url"], format!("/jobs/{id}/events"));
    let done = house.ended(&job["id"]).await;
    assert_eq!((&done["status"], &done["metadata"]["order"]), (&json!("succeeded"), &json!(4711)), "{done}");
    assert_eq!((&done["attempt"], &done["engine"]), (&json!(1), &json!("comfyui")));
    let url = done["outputs"]["image"][0]["url"].as_str().unwrap();
    let file = house.server().read(url, 200).await;
    assert_eq!(
        (file.header("content-type"), file.header("x-content-type-options")),
        ("image/png", "nosniff")
    );
    for key in ["created_at", "started_at", "ended_at"] {
        assert!(done[key].as_str().unwrap().ends_with('Z'), "{done}");
    }
    house.server().read("/jobs/00000000-0000-4000-8000-000000000000", 404).await;
    house.server().read("/jobs/nonsense", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_what_they_are() {
    let house = House::new(&[]);
    let mut ids = Vec::new();
    for round in 0..5 {
        let options = json!({"tags": [if round % 2 == 0 { "even" } else { "odd" }]});
        ids.push(house.submit(&with_options(small(1), options)).await["id"].clone());
    }
    for id in &ids {
        house.ended(id).await;
    }
    let list = async |query: &str| house.server().read(&format!("/jobs?{query}"), 200).await.json();
    let found = |page: &Value| {
        page["jobs"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(&list("tag=even").await), [&ids[4], &ids[2], &ids[0]].map(Clone::clone));
    assert_eq!(found(&list("status=succeeded,failed&workflow=sd15/txt2img").await).len(), 5);
    assert!(found(&list("status=queued").await).is_empty());
    assert!(found(&list("since=2999-01-01T00:00:00Z").await).is_empty());
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("limit=2{cursor}")).await;
        seen.extend(found(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    ids.reverse();
    assert_eq!(seen, ids);
    for bad in ["status=done", "limit=0", "since=yesterday", "cursor=x", "nonsense=1"] {
        house.server().read(&format!("/jobs?{bad}"), 400).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_has_its_answer_for_every_state() {
    let house = House::slow(&[]);
    let mut ids = house.busy(40).await.to_vec();
    for _ in 0..2 {
        ids.push(house.submit(&small(40)).await["id"].clone());
    }
    let cancel = async |id: &Value, status: u16| {
        let request = house.server().delete(&format!("/jobs/{}", id.as_str().unwrap()));
        house.server().expect(request, status).await.json()
    };
    assert_eq!(cancel(&ids[3], 200).await["status"], "cancelled");
    assert_eq!(cancel(&ids[3], 200).await["status"], "cancelled");
    assert_eq!(cancel(&ids[0], 202).await["cancel_requested"], true);
    let cancelled = house.ended(&ids[0]).await;
    assert_eq!(
        (&cancelled["status"], &cancelled["error"]["code"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    cancel(&ids[0], 200).await;
    // Neighbours are not harmed.
    assert_eq!(house.ended(&ids[1]).await["status"], "succeeded");
    assert_eq!(cancel(&ids[1], 409).await["code"], "job_ended");
    let request = house.server().delete("/jobs/00000000-0000-4000-8000-000000000000");
    house.server().expect(request, 404).await;
    assert_eq!(house.ended(&ids[2]).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priorities_go_first_and_old_jobs_before_young_ones() {
    let house = House::slow(&[]);
    let [first, second] = house.busy(1000).await;
    let mut ids = Vec::new();
    for priority in [2, 9, 5, 9] {
        ids.push(house.submit(&with_options(small(1), json!({"priority": priority}))).await["id"].clone());
    }
    let place = house.job(&ids[0]).await;
    assert_eq!(place["queue_position"], 3, "{place}");
    for id in [&first, &second] {
        let request = house.server().delete(&format!("/jobs/{}", id.as_str().unwrap()));
        house.server().expect(request, 202).await;
    }
    let mut ended = Vec::new();
    for id in &ids {
        let job = house.ended(id).await;
        ended.push((job["started_at"].as_str().unwrap().to_owned(), id.clone()));
    }
    ended.sort_by(|left, right| left.0.cmp(&right.0));
    let order: Vec<Value> = ended.into_iter().map(|(_, id)| id).collect();
    assert_eq!(order, [&ids[1], &ids[3], &ids[2], &ids[0]].map(Clone::clone));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_gets_a_result_or_a_place_to_look() {
    let house = House::slow(&[]);
    let request = || house.server().post(PAINT).body(small(20).to_string());
    let later = house.server().expect(request().header("prefer", "wait=1"), 202).await;
    let id = later.json()["id"].clone();
    assert_eq!(later.header("location"), format!("/jobs/{}", id.as_str().unwrap()));
    assert_eq!(house.ended(&id).await["status"], "succeeded");
    let result = house.server().expect(request().header("prefer", "wait=30"), 200).await.json();
    assert_eq!(result["status"], "succeeded");
    // What takes too long is a failure of the job; how long it waited does not count.
    let short = with_options(small(200), json!({"timeout_s": 0.3}));
    let problem = house.server().call(PAINT, &short, 504).await;
    assert_eq!(problem["code"], "timeout");
    assert_eq!(house.job(&problem["job"]).await["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_what_waits_and_what_runs() {
    let house = House::slow(&[]);
    let soon = |seconds: u64| {
        let at = std::time::SystemTime::now() + Duration::from_secs(seconds);
        let at = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        with_options(small(200), json!({"deadline": rfc3339(at)}))
    };
    let running = house.submit(&soon(7)).await["id"].clone();
    house.running(&running).await;
    let other = house.submit(&small(400)).await["id"].clone();
    let waiting = house.submit(&soon(2)).await["id"].clone();
    for id in [&waiting, &running] {
        let job = house.ended(id).await;
        assert_eq!((&job["status"], &job["error"]["code"]), (&json!("expired"), &json!("expired")), "{job}");
    }
    assert_eq!(house.job(&waiting).await["attempt"], 0);
    let request = house.server().delete(&format!("/jobs/{}", other.as_str().unwrap()));
    request.send().await.unwrap();
    house.ended(&other).await;
}

/// Without a library: whole seconds since 1970, of this century.
fn rfc3339(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_the_server_is_killed_is_adopted_and_not_run_again() {
    let mut house = House::slow(&[]);
    let ids =
        [house.submit(&small(40)).await, house.submit(&small(10)).await, house.submit(&small(10)).await]
            .map(|job| job["id"].clone());
    house.running(&ids[0]).await;
    house.kill();
    house.start();
    for id in &ids {
        let job = house.ended(id).await;
        assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job}");
        let url = job["outputs"]["image"][0]["url"].as_str().unwrap().to_owned();
        house.server().read(&url, 200).await;
    }
    assert_eq!(house.received().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_files_outlives_the_server_that_took_it() {
    let mut house = House::slow(&[]);
    house.busy(100).await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(40, 20).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let part = reqwest::multipart::Part::bytes(png.into_inner()).file_name("x.png");
    let form = reqwest::multipart::Form::new().part("image", part).text("width", "10").text("height", "5");
    let request = house.server().post("/image/resize").header("prefer", "respond-async").multipart(form);
    let id = house.server().expect(request, 202).await.json()["id"].clone();
    assert_eq!(house.job(&id).await["status"], "queued");
    house.kill();
    house.start();
    let job = house.ended(&id).await;
    let image = &job["outputs"]["image"][0];
    assert_eq!((&image["width"], &image["height"]), (&json!(10), &json!(5)), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_where_they_were_left_over_a_restart() {
    let mut house = House::slow(&[]);
    let id = house.submit(&small(60)).await["id"].clone();
    let path = format!("/jobs/{}/events", id.as_str().unwrap());
    house.running(&id).await;
    house.kill();
    house.start();
    let text = house.server().read(&path, 200).await.text();
    let all = events(&text);
    let kept: Vec<i64> = all.iter().filter_map(|(id, ..)| *id).collect();
    assert_eq!(kept, (1..=i64::try_from(kept.len()).unwrap()).collect::<Vec<_>>(), "{text}");
    let names: Vec<&str> = all.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!((names[0], *names.last().unwrap()), ("queued", "result"), "{text}");
    let progress = all.iter().find(|(_, name, data)| name == "progress" && data["title"] == "KSampler");
    assert!(progress.is_some_and(|(_, _, data)| data["percent"].as_f64().unwrap() > 0.0), "{text}");
    let after = house.server().get(&path).header("last-event-id", "2");
    let rest = events(&house.server().expect(after, 200).await.text());
    assert_eq!(rest.iter().filter_map(|(id, ..)| *id).collect::<Vec<_>>(), kept[2..]);
    let last = house.server().get(&path).header("last-event-id", kept.len().to_string());
    house.server().expect(last, 204).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_ends_what_it_can_and_leaves_the_rest() {
    let mut house = House::slow(&[("COMFYPORT_SERVER_SHUTDOWN_TIMEOUT_S", "1")]);
    let quick = house.submit(&small(5)).await["id"].clone();
    let long = house.submit(&small(100)).await["id"].clone();
    let waiting = house.submit(&small(1)).await["id"].clone();
    house.until(&quick, |job| job["status"] != "queued").await;
    house.until(&long, |job| job["status"] == "running").await;
    let server = house.server.take().unwrap();
    server.signal("TERM");
    // Until the signal has arrived it takes what it is given.
    let mut before = Vec::new();
    while let Some(id) = taken(&server).await {
        before.push(id);
    }
    server.expect(server.get("/ready"), 503).await;
    assert_eq!(server.wait(), 0);
    house.start();
    for id in [&quick, &long, &waiting] {
        let job = house.ended(id).await;
        assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job}");
    }
    for id in &before {
        assert_eq!(house.ended(id).await["status"], "succeeded");
    }
    assert_eq!(house.received().await, 3 + before.len());
}

/// A job that nobody waits for, if the server takes it. It may refuse only because it is about to stop.
async fn taken(server: &Comfyport) -> Option<Value> {
    let request = server.post(PAINT).header("prefer", "respond-async").body(small(1).to_string());
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
    assert!(matches!(status, 202 | 503), "{body}");
    (status == 202).then(|| body["id"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_retried_as_the_table_says() {
    let house = House::new(&[]);
    for (fault, status, attempts, code) in [
        ("oom", "succeeded", 2, None),
        ("forget", "succeeded", 2, None),
        ("exception", "failed", 1, Some("workflow_error")),
        ("missing-output", "failed", 1, Some("output_missing")),
    ] {
        house.plan(json!({"next": [{"kind": fault}]})).await;
        let id = house.submit(&small(1)).await["id"].clone();
        let job = house.ended(&id).await;
        assert_eq!((&job["status"], &job["attempt"]), (&json!(status), &json!(attempts)), "{fault}: {job}");
        assert_eq!(job["error"]["code"].as_str(), code, "{fault}");
    }
    house.plan(json!({"next": [{"kind": "oom"}, {"kind": "oom"}]})).await;
    let id = house.submit(&small(1)).await["id"].clone();
    let job = house.ended(&id).await;
    assert_eq!((&job["attempt"], &job["error"]["code"]), (&json!(2), &json!("oom")), "{job}");
    let ledger: Vec<Value> =
        house.engine.get("/simulator/ledger").send().await.unwrap().json().await.unwrap();
    assert_eq!(ledger.iter().filter(|entry| entry["event"] == "freed").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_engines_do_not_survive_is_parked_and_can_be_asked_for_again() {
    let house = House::new(&[]);
    house.plan(json!({"next": [{"kind": "forget"}, {"kind": "forget"}, {"kind": "forget"}]})).await;
    let id =
        house.submit(&with_options(small(1), json!({"max_attempts": 9, "tags": ["t"]}))).await["id"].clone();
    let job = house.ended(&id).await;
    assert_eq!((&job["attempt"], &job["error"]["code"]), (&json!(3), &json!("poison")), "{job}");
    let request = house.server().post(&format!("/jobs/{}:retry", id.as_str().unwrap()));
    let again = house.server().expect(request, 202).await.json();
    assert_ne!(again["id"], id);
    let done = house.ended(&again["id"]).await;
    assert_eq!((&done["status"], &done["tags"]), (&json!("succeeded"), &json!(["t"])), "{done}");
    // What has ended stays as it is.
    assert_eq!(house.job(&id).await["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_requests_share_a_result_if_that_is_wanted() {
    let house = House::new(&[]);
    let ask = async |options: Value, seed: u64| {
        let mut body = with_options(small(1), options);
        body["seed"] = seed.into();
        let answer = house.server().expect(house.server().post(PAINT).body(body.to_string()), 200).await;
        (answer.header("x-comfyport-cache").to_owned(), answer.json()["id"].clone())
    };
    let first = ask(json!({"cache": true}), 1).await;
    assert_eq!(ask(json!({"cache": true}), 1).await, ("hit".to_owned(), first.1.clone()));
    assert_eq!(ask(json!({"cache": true}), 2).await.0, "");
    assert_ne!(ask(json!({}), 1).await.1, first.1);
    assert_eq!(house.received().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_served_in_turn() {
    let house = House::slow(&[]);
    let ask = async |key: &str, steps: u32| {
        let request = house.server().post(PAINT).header("prefer", "respond-async").header("x-api-key", key);
        house.server().expect(request.body(small(steps).to_string()), 202).await.json()["id"].clone()
    };
    let mut greedy = Vec::new();
    for _ in 0..12 {
        greedy.push(ask("greedy", 4).await);
    }
    let modest = [ask("modest", 4).await, ask("modest", 4).await];
    let mut before = 0;
    for id in &modest {
        house.ended(id).await;
    }
    let last = house.job(&modest[1]).await["ended_at"].as_str().unwrap().to_owned();
    for id in &greedy {
        let job = house.ended(id).await;
        before += usize::from(job["ended_at"].as_str().unwrap() < last.as_str());
    }
    assert!(before <= 6, "{before} jobs of one caller ended before two of the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engine_those_who_wait_are_told_and_the_others_are_served_later() {
    let mut house = House::new(&[]);
    let url = house.engine.url().to_owned();
    let port: u16 = url.rsplit(':').next().unwrap().trim_matches('/').parse().unwrap();
    house.engine = Comfyport::simulator();
    house.kill();
    let data = tempfile::tempdir().unwrap();
    house.server = Some(Comfyport::lasting(&url, data.path(), &[]));
    let problem = house.server().call(PAINT, &small(1), 503).await;
    assert_eq!((&problem["code"], &problem["retryable"]), (&json!("engine_unreachable"), &json!(true)));
    let id = house.submit(&small(1)).await["id"].clone();
    assert_eq!(house.job(&id).await["status"], "queued");
    house.engine = Comfyport::simulator_at(port);
    assert_eq!(house.ended(&id).await["status"], "succeeded");
}
