//! Models that the server fetches and node packs that it installs, as jobs.

use std::{path::Path, sync::Arc};

use comfyport_depot::testing::{FakeHub, Fault, safetensors};
use comfyport_simulator::{Models, Options, Simulator};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::process::{Comfyport, run};

/// What `sd15/txt2img` needs.
pub(crate) const CHECKPOINT: &str = "v1-5-pruned-emaonly-fp16.safetensors";

/// A ComfyUI with its models folder on this machine, and a hub to fetch from.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) engine: Simulator,
    pub(crate) hub: FakeHub,
    pub(crate) checkpoint: Vec<u8>,
}

impl Home {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        std::fs::create_dir(&models).unwrap();
        let options = Options { models: Models::In(models), ..Options::default() };
        let (engine, hub) = (Simulator::start(options).await.unwrap(), FakeHub::start().await);
        let checkpoint = safetensors(1, 300_000);
        hub.put("o/n", "checkpoint.safetensors", checkpoint.clone());
        Self { folder, engine, hub, checkpoint }
    }

    pub(crate) fn model(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("models").join(path)
    }

    /// A server in front of it, with data in a folder that outlasts it.
    pub(crate) fn serve(&self, data: &Path, settings: &[(&str, &str)]) -> Comfyport {
        let models = self.folder.path().join("models");
        let hub = self.hub.host.url.to_string();
        let mut all = vec![
            ("COMFYPORT_MODELS_DIR", models.to_str().unwrap()),
            ("COMFYPORT_MODELS_HUGGING_FACE", hub.as_str()),
            ("COMFYPORT_MODELS_RESERVE_BYTES", "0"),
            ("COMFYPORT_MODELS_TRIES", "1"),
            ("COMFYPORT_FETCH_ALLOW", "[\"127.0.0.1\"]"),
        ];
        all.extend(settings);
        Comfyport::lasting(&self.engine.url(), data, &all)
    }

    pub(crate) fn wanted() -> Value {
        let url = "https://huggingface.co/o/n/resolve/main/checkpoint.safetensors";
        json!({"models": [{"folder": "checkpoints", "file": CHECKPOINT, "urls": [url]}]})
    }
}

pub(crate) const ON: (&str, &str) = ("COMFYPORT_SUPPLIES_PULL", "true");

/// Waits for the end of a job, and answers its events and what became of it.
pub(crate) async fn follow(server: &Comfyport, id: &str) -> (Vec<(String, Value)>, Value) {
    let events = server.read(&format!("/jobs/{id}/events"), 200).await.text();
    let parse = |event: &str| {
        let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let data = serde_json::from_str(line("data:")?).ok()?;
        Some((line("event:")?.to_owned(), data))
    };
    let events = events.split("\n\n").filter_map(parse).collect();
    (events, server.read(&format!("/jobs/{id}"), 200).await.json())
}

/// Waits until a job says something.
pub(crate) async fn until(server: &Comfyport, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let job = server.read(&format!("/jobs/{id}"), 200).await.json();
        if is_so(&job) {
            return job;
        }
        assert!(!job["status"].as_str().unwrap().ends_with("ed") || job["status"] == "queued", "{job:#}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub(crate) fn id_of(job: &Value) -> String {
    job["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_have_models_fetched_and_watch_it_as_a_job() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let server = home.serve(data.path(), &[ON]);
    let refused = server.call("/sd15/txt2img", &json!({"prompt": "a fox"}), 503).await;
    assert_eq!(refused["code"], "workflow_not_ready");
    let ask =
        || server.post("/admin/models:pull").header("idempotency-key", "a").body(Home::wanted().to_string());
    let accepted = server.expect(ask(), 202).await;
    let job = accepted.json();
    assert_eq!(job["workflow"], "models:pull");
    assert_eq!(accepted.header("location"), format!("/jobs/{}", id_of(&job)));
    let (events, job) = follow(&server, &id_of(&job)).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"queued"), Some(&"result")), "{names:?}");
    assert!(names.contains(&"running"), "{names:?}");
    assert_eq!((&job["status"], &job["engine"]), (&json!("succeeded"), &json!("comfyui")));
    let model = &job["outputs"]["models"][0];
    assert_eq!(model["name"], format!("checkpoints/{CHECKPOINT}"));
    assert_eq!((&model["how"], &model["bytes_fetched"]), (&json!("fetched"), &json!(home.checkpoint.len())));
    assert_eq!(model["source"], "hf://o/n@main/checkpoint.safetensors");
    assert_eq!(std::fs::read(home.model(&format!("checkpoints/{CHECKPOINT}"))).unwrap(), home.checkpoint);
    // The engine's lists are read again: nobody has to wait for them to be old.
    server.call("/sd15/txt2img", &json!({"prompt": "a fox"}), 200).await;
    let again = server.expect(ask(), 202).await;
    assert_eq!(
        (again.json()["id"].clone(), again.header("idempotent-replayed")),
        (job["id"].clone(), "true")
    );
    let once_more = server.call("/admin/models:pull", &Home::wanted(), 202).await;
    let (_, job) = follow(&server, &id_of(&once_more)).await;
    assert_eq!(job["outputs"]["models"][0]["how"], "present");
    let listed = server.read("/jobs?workflow=models:pull", 200).await.json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 2);
    for (wrong, said) in [
        (json!({"workflows": ["no/such"]}), "no workflow `no/such`"),
        (json!({"engine": "comfyu"}), "the nearest is `comfyui`"),
        (json!({"models": [{"folder": "loras", "file": "../x.safetensors"}]}), "models/0"),
        (json!({"models": [{"folder": "loras", "file": "x.safetensors", "urls": ["ftp://a"]}]}), "models/0"),
    ] {
        let problem = server.call("/admin/models:pull", &wrong, 422).await;
        assert!(problem["detail"].as_str().unwrap().contains(said), "{problem}");
    }
    server.call("/admin/models:pull", &json!({"model": []}), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_and_for_admins() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let off = home.serve(data.path(), &[]);
    assert_eq!(off.call("/admin/models:pull", &Home::wanted(), 403).await["code"], "supplies_off");
    drop(off);
    let key = |scope: &str| {
        let data = data.path().to_str().unwrap();
        let made = run(&["keys", "create", scope, "--owner", "o", "--scope", scope, "--data-dir", data]);
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let (runs, admin) = (key("run"), key("admin"));
    let server = home.serve(data.path(), &[ON]);
    let ask = |key: &str| server.post("/admin/models:pull").bearer_auth(key).body(Home::wanted().to_string());
    let forbidden = server.expect(ask(&runs), 403).await.json();
    assert_eq!(forbidden["code"], "forbidden");
    let job = id_of(&server.expect(ask(&admin), 202).await.json());
    let path = format!("/jobs/{job}");
    while server.expect(server.get(&path).bearer_auth(&admin), 200).await.json()["status"] != "succeeded" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // It may be seen by whoever has the same owner, and not be repeated.
    let retry = server.post(&format!("{path}:retry"));
    server.expect(retry.bearer_auth(&runs), 403).await;
    server.expect(server.post(&format!("{path}:retry")).bearer_auth(&admin), 202).await;
    let audit = data.path().join("audit.jsonl");
    let audited = |status: u16| {
        let text = std::fs::read_to_string(&audit).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.any(|line| line["request"] == "POST /admin/models:pull" && line["status"] == status)
    };
    while !(audited(202) && audited(403)) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_stops_and_shows_nothing_half() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let server = home.serve(data.path(), &[ON]);
    home.hub.storage.fault(Fault::Hold(100_000, Arc::new(Notify::new())));
    let job = id_of(&server.call("/admin/models:pull", &Home::wanted(), 202).await);
    let running =
        until(&server, &job, |job| job["progress"]["items"][0]["done_bytes"].as_u64() > Some(0)).await;
    assert_eq!(running["progress"]["items"][0]["state"], "fetching", "{running:#}");
    assert_eq!(running["progress"]["total_bytes"], home.checkpoint.len());
    server.expect(server.delete(&format!("/jobs/{job}")), 202).await;
    let (_, job) = follow(&server, &job).await;
    assert_eq!((&job["status"], &job["error"]["code"]), (&json!("cancelled"), &json!("cancelled")));
    assert!(!home.model(&format!("checkpoints/{CHECKPOINT}")).exists());
    let job = id_of(&server.call("/admin/models:pull", &Home::wanted(), 202).await);
    assert_eq!(follow(&server, &job).await.1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_fetched_goes_on_with_the_next_one() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let server = home.serve(data.path(), &[ON]);
    home.hub.storage.fault(Fault::Hold(100_000, Arc::new(Notify::new())));
    let job = id_of(&server.call("/admin/models:pull", &Home::wanted(), 202).await);
    until(&server, &job, |job| job["progress"]["items"][0]["done_bytes"].as_u64() > Some(0)).await;
    server.signal("KILL");
    drop(server);
    assert!(!home.model(&format!("checkpoints/{CHECKPOINT}")).exists());
    let server = home.serve(data.path(), &[ON]);
    let (events, job) = follow(&server, &job).await;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job:#}");
    assert!(
        events.iter().any(|(name, data)| name == "retrying" && data["reason"] == "worker_lost"),
        "{events:?}"
    );
    assert_eq!(std::fs::read(home.model(&format!("checkpoints/{CHECKPOINT}"))).unwrap(), home.checkpoint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_leaves_it_to_the_next_one() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let server = home.serve(data.path(), &[ON]);
    home.hub.storage.fault(Fault::Hold(100_000, Arc::new(Notify::new())));
    let job = id_of(&server.call("/admin/models:pull", &Home::wanted(), 202).await);
    until(&server, &job, |job| job["progress"]["items"][0]["done_bytes"].as_u64() > Some(0)).await;
    server.signal("TERM");
    assert_eq!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap(), 0);
    let server = home.serve(data.path(), &[ON]);
    let (_, job) = follow(&server, &job).await;
    assert_eq!(job["status"], "succeeded", "{job:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_limits_say_what_to_do() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let server = home.serve(data.path(), &[ON]);
    let mut wanted = Home::wanted();
    wanted["models"].as_array_mut().unwrap().push(json!({
        "folder": "vae", "file": "none.safetensors",
        "urls": ["https://huggingface.co/o/n/resolve/main/none.safetensors?token=sesame"],
    }));
    let job = id_of(&server.call("/admin/models:pull", &wanted, 202).await);
    let (events, job) = follow(&server, &job).await;
    assert_eq!(events.last().unwrap().0, "problem");
    let error = &job["error"];
    assert_eq!((&job["status"], &error["code"]), (&json!("failed"), &json!("supplies_failed")));
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("none.safetensors") && detail.contains("check the address"), "{detail}");
    let items = error["items"].as_array().unwrap();
    assert_eq!((&items[0]["how"], &items[1]["error"]["code"]), (&json!("fetched"), &json!("not_found")));
    assert!(!job.to_string().contains("sesame") && !server.log().contains("sesame"));
    drop(server);
    std::fs::remove_dir_all(home.model("")).unwrap();
    std::fs::create_dir(home.model("")).unwrap();
    for limit in ["COMFYPORT_SUPPLIES_MAX_JOB_BYTES", "COMFYPORT_SUPPLIES_MAX_DAY_BYTES"] {
        let server = home.serve(data.path(), &[ON, (limit, "200000")]);
        let job = id_of(&server.call("/admin/models:pull", &Home::wanted(), 202).await);
        let (_, job) = follow(&server, &job).await;
        let detail = job["error"]["detail"].as_str().unwrap();
        assert_eq!(job["error"]["code"], "supplies_failed");
        assert!(detail.contains("supplies.max_"), "{detail}");
        assert!(!home.model(&format!("checkpoints/{CHECKPOINT}")).exists());
    }
}

pub(crate) const WAITS: (&str, &str) = ("COMFYPORT_SUPPLIES_INSTALL_MISSING", "models");

/// A lock that says where the checkpoint of `sd15/txt2img` can be had.
pub(crate) fn lock(home: &Home, file: &str) -> String {
    let path = home.folder.path().join("comfyport.lock");
    let lock = format!(
        "version = 1\n[[model]]\nfolder = \"checkpoints\"\nfile = \"{CHECKPOINT}\"\n\
         urls = [\"https://huggingface.co/o/n/resolve/main/{file}\"]\nsize = {}\nworkflows = [\"sd15/txt2img\"]\n",
        home.checkpoint.len()
    );
    std::fs::write(&path, lock).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_for_their_models_and_run_then() {
    let home = Home::new().await;
    let (data, go_on) = (tempfile::tempdir().unwrap(), Arc::new(Notify::new()));
    let lock = lock(&home, "checkpoint.safetensors");
    let server = home.serve(data.path(), &[WAITS, ("COMFYPORT_SUPPLIES_LOCK", &lock)]);
    home.hub.storage.fault(Fault::Hold(100_000, Arc::clone(&go_on)));
    let ask = || {
        let post = server.post("/sd15/txt2img").header("prefer", "respond-async");
        server.expect(post.body(json!({"prompt": "a fox", "steps": 1}).to_string()), 202)
    };
    let (one, two) = (id_of(&ask().await.json()), id_of(&ask().await.json()));
    let is_told = |job: &Value| job["waiting"]["progress"]["items"][0]["done_bytes"].as_u64() > Some(0);
    let waiting = until(&server, &one, is_told).await;
    assert_eq!((&waiting["status"], &waiting["waiting"]["for"]), (&json!("queued"), &json!("models")));
    assert_eq!(waiting["waiting"]["items"], json!([format!("checkpoints/{CHECKPOINT}")]));
    let other = until(&server, &two, |job| job["waiting"].is_object()).await;
    assert_eq!(other["waiting"]["job"], waiting["waiting"]["job"], "one errand for both");
    let errand =
        server.read(&format!("/jobs/{}", waiting["waiting"]["job"].as_str().unwrap()), 200).await.json();
    assert_eq!((&errand["workflow"], &errand["status"]), (&json!("models:pull"), &json!("running")));
    go_on.notify_one();
    for id in [&one, &two] {
        let (events, job) = follow(&server, id).await;
        assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job:#}");
        assert!(job.get("waiting").is_none(), "{job:#}");
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        let at =
            |name: &str| names.iter().position(|one| *one == name).unwrap_or_else(|| panic!("{names:?}"));
        assert!(at("queued") < at("waiting") && at("waiting") < at("running"), "{names:?}");
    }
    let files = home.hub.storage.host.seen().iter().filter(|seen| seen.method == "GET").count();
    assert_eq!(files, 1, "it was fetched once");
    // Whoever waits for the answer waits for the file as well.
    std::fs::remove_dir_all(home.model("checkpoints")).unwrap();
    std::fs::remove_dir_all(home.model(".comfyport")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let server = home.serve(data.path(), &[WAITS, ("COMFYPORT_SUPPLIES_LOCK", &lock)]);
    server.call("/sd15/txt2img", &json!({"prompt": "a fox", "steps": 1}), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_fail_with_the_name_of_what_cannot_be_had() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let lock = lock(&home, "none.safetensors");
    let server = home.serve(data.path(), &[WAITS, ("COMFYPORT_SUPPLIES_LOCK", &lock)]);
    let problem = server.call("/sd15/txt2img", &json!({"prompt": "a fox"}), 502).await;
    assert_eq!(problem["code"], "supplies_failed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("none.safetensors") && detail.contains("check the address"), "{detail}");
    // What nobody said a source of is refused at once, as where nothing is fetched.
    let nowhere = server.call("/flux/txt2img", &json!({"prompt": "a fox"}), 503).await;
    assert_eq!(nowhere["code"], "workflow_not_ready");
    // An engine that reads another folder does not have what was fetched.
    drop(server);
    let elsewhere = Simulator::start(Options { models: Models::In("/nowhere".into()), ..Options::default() });
    let other = Home { engine: elsewhere.await.unwrap(), ..home };
    let lock = self::lock(&other, "checkpoint.safetensors");
    let server = other.serve(data.path(), &[WAITS, ("COMFYPORT_SUPPLIES_LOCK", &lock)]);
    let problem = server.call("/sd15/txt2img", &json!({"prompt": "a fox"}), 502).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(CHECKPOINT) && detail.contains("does not list it"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_outlive_the_server_and_can_be_cancelled() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    let lock = lock(&home, "checkpoint.safetensors");
    let settings = [WAITS, ("COMFYPORT_SUPPLIES_LOCK", lock.as_str())];
    let server = home.serve(data.path(), &settings);
    home.hub.storage.fault(Fault::Hold(100_000, Arc::new(Notify::new())));
    let ask = || {
        let post = server.post("/sd15/txt2img").header("prefer", "respond-async");
        server.expect(post.body(json!({"prompt": "a fox", "steps": 1}).to_string()), 202)
    };
    let (kept, dropped) = (id_of(&ask().await.json()), id_of(&ask().await.json()));
    let is_told = |job: &Value| job["waiting"]["progress"]["items"][0]["done_bytes"].as_u64() > Some(0);
    for id in [&kept, &dropped] {
        until(&server, id, is_told).await;
    }
    let cancelled = server.expect(server.delete(&format!("/jobs/{dropped}")), 200).await.json();
    assert_eq!(cancelled["status"], "cancelled");
    server.signal("KILL");
    drop(server);
    let server = home.serve(data.path(), &settings);
    let (_, job) = follow(&server, &kept).await;
    assert_eq!(job["status"], "succeeded", "{job:#}");
    assert_eq!(server.read(&format!("/jobs/{dropped}"), 200).await.json()["status"], "cancelled");
}
