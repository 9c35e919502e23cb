//! Several engines behind one server: where work goes, and what becomes of engines that fail.

use std::{fs, net::SocketAddr, time::Duration};

use comfyport_simulator::{Fault, LedgerEvent, ModelFiles, Models, Options, Simulator};
use comfyport_workflow::catalog::Catalog;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::process::{Comfyport, command, run};

const FOR_GOOD: Duration = Duration::from_hours(1);
const PAINT: &str = "/sd15/txt2img";
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
const CHECKPOINT: &str = "v1-5-pruned-emaonly-fp16.safetensors";

/// Simulators called `a`, `b`, … and a server in front of them that looks at them often.
struct Hall {
    engines: Vec<Simulator>,
    server: Comfyport,
    folder: tempfile::TempDir,
}

impl Hall {
    async fn new(options: impl IntoIterator<Item = Options>) -> Self {
        Self::with(options, "").await
    }

    async fn with(options: impl IntoIterator<Item = Options>, settings: &str) -> Self {
        let mut engines = Vec::new();
        for options in options {
            engines.push(Simulator::start(options).await.unwrap());
        }
        let urls: Vec<String> = engines.iter().map(Simulator::url).collect();
        let folder = tempfile::tempdir().unwrap();
        let server = serve(&folder, &urls, settings);
        Self { engines, server, folder }
    }

    /// Runs a workflow and returns the name of the engine.
    async fn paint(&self) -> String {
        let result = self.server.call(PAINT, &json!({"prompt": "x", "steps": 1}), 200).await;
        result["engine"].as_str().unwrap().to_owned()
    }

    async fn engine(&self, name: &str) -> Value {
        self.server.read(&format!("/engines/{name}"), 200).await.json()
    }

    /// Waits until an engine is as wanted.
    async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let engine = self.engine(name).await;
                if wanted(&engine) {
                    return engine;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(20), waiting).await {
            Ok(engine) => engine,
            Err(late) => panic!("{late}: {:#}\n{}", self.engine(name).await, self.server.log()),
        }
    }

    async fn until_state(&self, name: &str, state: &str) -> Value {
        self.until(name, |engine| engine["state"] == state).await
    }

    fn received(&self, index: usize) -> usize {
        self.engines[index].ledger().count(LedgerEvent::Received)
    }
}

fn serve(folder: &tempfile::TempDir, urls: &[String], settings: &str) -> Comfyport {
    let mut text = String::from(
        "[engines]\npoll_ms = 50\nidle_poll_ms = 50\ninterrupt_grace_s = 1\n[comfyui]\nstall_timeout_s = 2\n",
    );
    text.push_str(settings);
    for (name, url) in ["a", "b", "c", "d"].iter().zip(urls) {
        text.push_str(&format!("\n[[engine]]\nname = \"{name}\"\nurl = \"{url}\"\ntags = [\"test\"]\n"));
    }
    let file = folder.path().join("comfyport.toml");
    fs::write(&file, text).unwrap();
    let workflows = folder.path().join("workflows");
    fs::create_dir_all(&workflows).unwrap();
    fs::write(workflows.join("detail.json"), detail().to_string()).unwrap();
    Comfyport::serving_with(&file, &workflows)
}

/// A workflow with a list of LoRAs.
fn detail() -> Value {
    let node = |class: &str, inputs: Value| json!({"class_type": class, "inputs": inputs});
    json!({
        "1": node("CheckpointLoaderSimple", json!({"ckpt_name": CHECKPOINT})),
        "2": node("LoraLoader", json!({"lora_name": "shared.safetensors", "strength_model": 1, "strength_clip": 1,
            "model": ["1", 0], "clip": ["1", 1]})),
        "3": node("CLIPTextEncode", json!({"text": "a portrait", "clip": ["2", 1]})),
        "4": node("EmptyLatentImage", json!({"width": 64, "height": 64, "batch_size": 1})),
        "5": node("KSampler", json!({"seed": 1, "steps": 1, "cfg": 7, "sampler_name": "euler", "scheduler": "normal",
            "denoise": 1, "model": ["2", 0], "positive": ["3", 0], "negative": ["3", 0], "latent_image": ["4", 0]})),
        "6": node("VAEDecode", json!({"samples": ["5", 0], "vae": ["1", 2]})),
        "7": node("SaveImage", json!({"images": ["6", 0], "filename_prefix": "x"})),
    })
}

fn exactly(files: &[(&str, &str)]) -> Options {
    let mut models = ModelFiles::new();
    for (folder, file) in files {
        models.entry((*folder).to_owned()).or_default().push((*file).to_owned());
    }
    Options { models: Models::Exact(models), ..Options::default() }
}

fn at(listen: SocketAddr) -> Options {
    Options { listen, ..Options::default() }
}

#[tokio::test]
async fn work_goes_only_where_its_models_are() {
    let hall = Hall::new([
        exactly(&[("vae", "x.safetensors")]),
        exactly(&[("checkpoints", CHECKPOINT), ("loras", "shared.safetensors")]),
        exactly(&[
            ("checkpoints", CHECKPOINT),
            ("loras", "shared.safetensors"),
            ("loras", "rare.safetensors"),
        ]),
    ])
    .await;
    let engines: Vec<String> = stream::iter(0..8).map(|_| hall.paint()).buffered(8).collect().await;
    assert!(engines.iter().all(|engine| engine != "a"), "{engines:?}");
    assert_eq!((hall.received(0), hall.received(1) + hall.received(2)), (0, 8));
    // What the caller chose only one has; what none has is the caller's fault.
    let with = |lora: &str| json!({"prompt": "x", "loras": [{"name": lora}]});
    for _ in 0..4 {
        let result = hall.server.call("/detail", &with("rare.safetensors"), 200).await;
        assert_eq!(result["engine"], "c");
    }
    let problem = hall.server.call("/detail", &with("raer.safetensors"), 422).await;
    assert_eq!(problem["errors"][0]["pointer"], "/loras");
    // Where the one that has it takes no work, nobody is at fault.
    hall.server.post("/engines/c:drain").send().await.unwrap();
    let problem = hall.server.call("/detail", &with("rare.safetensors"), 503).await;
    assert_eq!(
        (problem["code"].as_str(), problem["retryable"].as_bool()),
        (Some("engine_unreachable"), Some(true))
    );
    assert!(problem["detail"].as_str().unwrap().contains("c: an operator drained it"), "{problem}");
}

// The command line is waited for, while the engines have to answer.
#[tokio::test(flavor = "multi_thread")]
async fn operators_drain_and_resume() {
    let hall = Hall::new([Options::default(), Options::default()]).await;
    let engines = |arguments: &[&str]| {
        let server = ["--server", hall.server.url()];
        run(&[&["engines"], arguments, &server].concat())
    };
    let output = engines(&["drain", "a"]);
    assert!(output.status.success(), "{output:?}");
    for _ in 0..2 {
        let output = engines(&["drain", "a", "--format", "json"]);
        let engine: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((engine["state"].as_str(), engine["drained"].as_bool()), (Some("drained"), Some(true)));
    }
    let used: Vec<String> = stream::iter(0..4).map(|_| hall.paint()).buffered(4).collect().await;
    assert!(used.iter().all(|engine| engine == "b"), "{used:?}");
    let list = String::from_utf8(engines(&[]).stdout).unwrap();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        (rows[0][0], rows[1][0], rows[1][1], rows[2][0], rows[2][1]),
        ("NAME", "a", "drained", "b", "up")
    );
    let show = String::from_utf8(engines(&["show", "b"]).stdout).unwrap();
    assert!(show.contains("tags\ttest\n") && show.contains("concurrency\t2\n"), "{show}");
    hall.server.call("/engines/b:drain", &Value::Null, 200).await;
    let problem = hall.server.read("/ready", 503).await.json();
    assert!(problem["detail"].as_str().unwrap().contains("a: an operator drained it"), "{problem}");
    hall.server.call(PAINT, &json!({"prompt": "x"}), 503).await;
    assert!(engines(&["resume", "a"]).status.success());
    assert_eq!(hall.paint().await, "a");
    // Errors say what to do.
    let output = engines(&["drain", "aa"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no engine `aa`, the nearest is `a`"), "{said}");
    hall.server.call("/engines/a:explode", &Value::Null, 404).await;
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let output = run(&["engines", "--server", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no comfyport at http://127.0.0.1:9/") && said.contains("--server"), "{said}");
    let output = command(&["engines"]).env("COMFYPORT_SERVER", "ftp://x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn an_engine_that_is_away_is_left_out_until_it_returns() {
    let mut hall = Hall::new([Options::default(), Options::default()]).await;
    hall.until_state("a", "up").await;
    let gone = hall.engines.remove(0);
    let address = gone.addr();
    gone.stop().await;
    let down = hall.until_state("a", "down").await;
    assert!(down["last_error"]["message"].as_str().unwrap().contains("cannot connect"), "{down}");
    for _ in 0..6 {
        assert_eq!(hall.paint().await, "b");
    }
    let ready = hall.server.read("/ready", 200).await.json();
    assert_eq!(
        (ready["engines"][0]["ready"].as_bool(), ready["engines"][1]["ready"].as_bool()),
        (Some(false), Some(true))
    );
    hall.engines.insert(0, Simulator::start(at(address)).await.unwrap());
    hall.until_state("a", "probing").await;
    // It is well again once a prompt went well.
    hall.server.call("/engines/b:drain", &Value::Null, 200).await;
    assert_eq!(hall.paint().await, "a");
    assert_eq!(hall.engine("a").await["state"], "up");
}

#[tokio::test]
async fn an_engine_that_was_never_there_does_no_harm() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let there = Simulator::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&folder, &[format!("http://{address}"), there.url()], "");
    let mut hall = Hall { engines: vec![there], server, folder };
    // From the first request on, before anything is known of either.
    let used: Vec<String> = stream::iter(0..8).map(|_| hall.paint()).buffered(4).collect().await;
    assert!(used.iter().all(|engine| engine == "b"), "{used:?}");
    hall.until_state("a", "down").await;
    hall.engines.push(Simulator::start(at(address)).await.unwrap());
    hall.until_state("a", "probing").await;
}

#[tokio::test]
async fn a_zombie_is_ejected_and_comes_back_after_its_restart() {
    let hall = Hall::with([Options::default(), Options::default()], "[readiness]\nfresh_s = 1\n").await;
    hall.until_state("b", "up").await;
    hall.until_state("a", "up").await;
    hall.engines[0].faults().next(Fault::Zombie);
    // Its job ends well elsewhere.
    assert_eq!(hall.paint().await, "b");
    assert_eq!((hall.received(0), hall.received(1)), (1, 1));
    let ejected = hall.engine("a").await;
    assert_eq!(ejected["state"], "ejected", "{ejected}");
    for _ in 0..6 {
        assert_eq!(hall.paint().await, "b");
    }
    // Its prompt stays at the head of the queue and stops for nothing: nothing is sent to wait behind it.
    let blocked = hall.until("a", |engine| engine.get("retry_in_s").is_none()).await;
    assert!(blocked["reason"].as_str().unwrap().contains("does not stop"), "{blocked}");
    assert_eq!(blocked["queue"]["foreign"], 0);
    hall.engines[0].restart();
    hall.until("a", |engine| engine["reason"] != blocked["reason"]).await;
    hall.server.call("/engines/b:drain", &Value::Null, 200).await;
    hall.until_state("a", "probing").await;
    assert_eq!(hall.paint().await, "a");
    assert_eq!(hall.engine("a").await["state"], "up");
}

#[tokio::test]
async fn an_engine_that_fails_fast_attracts_nothing() {
    let hall =
        Hall::new((0..4).map(|_| Options { step_delay: Duration::from_millis(5), ..Options::default() }))
            .await;
    hall.engines[2].faults().during(Fault::Exception, FOR_GOOD);
    let body = json!({"prompt": "x", "steps": 4}).to_string();
    let all = 300;
    let statuses: Vec<u16> = stream::iter(0..all)
        .map(|_| async { hall.server.post(PAINT).body(body.clone()).send().await.unwrap().status().as_u16() })
        .buffer_unordered(8)
        .collect()
        .await;
    let failed = statuses.iter().filter(|status| **status != 200).count();
    assert!(
        failed > 0 && hall.received(2) * 50 <= all,
        "{failed} failed, {} of {all} went there",
        hall.received(2)
    );
    let engine = hall.engine("c").await;
    assert!(engine["outstanding"] == 0 && engine["queue"]["pending"] == 0, "{engine}");
}

#[tokio::test]
async fn prompts_of_others_are_counted_and_left_alone() {
    let hall = Hall::new([Options::default(), Options::default()]).await;
    hall.engines[0].faults().next(Fault::Stuck);
    let other = reqwest::Client::new();
    for id in ["theirs-1", "theirs-2"] {
        let prompt = json!({"prompt": detail(), "prompt_id": id, "client_id": "theirs"}).to_string();
        let url = format!("{}/prompt", hall.engines[0].url());
        let answer =
            other.post(url).header("content-type", "application/json").body(prompt).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
    let seen = hall.until("a", |engine| engine["queue"]["foreign"] == 2).await;
    assert_eq!((seen["queue"]["ours"].as_u64(), seen["state"].as_str()), (Some(0), Some("up")));
    for _ in 0..4 {
        assert_eq!(hall.paint().await, "b");
    }
    // Behind a prompt that runs for longer than any of ours may stand still, nothing more is to wait.
    let blocked = hall.until_state("a", "ejected").await;
    assert!(blocked["reason"].as_str().unwrap().contains("theirs-1 of somebody else"), "{blocked}");
    let Hall { engines, server, folder: _folder } = hall;
    drop(server);
    let ledger = engines[0].ledger();
    for event in [LedgerEvent::InterruptRequested, LedgerEvent::Deleted, LedgerEvent::Interrupted] {
        assert_eq!(ledger.count(event), 0, "{event:?}");
    }
    engines[0].faults().clear();
}

/// The class as it is, with one more input that prompts have to give.
async fn with_one_more_input(engine: &Simulator, class: &str) -> Catalog {
    let url = format!("{}/object_info/{class}", engine.url());
    let mut info: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    info[class]["input"]["required"]["sharpen"] = json!(["FLOAT", {"default": 0.5}]);
    Catalog::from_object_info(info.to_string().as_bytes()).unwrap().0
}

#[tokio::test]
async fn drift_is_named_and_only_what_it_breaks_is_refused() {
    let mut hall = Hall::with([Options::default(), Options::default()], "[readiness]\nfresh_s = 1\n").await;
    hall.until_state("a", "up").await;
    hall.until_state("b", "up").await;
    let catalog = with_one_more_input(&hall.engines[0], "EmptyLatentImage").await;
    for (index, name) in ["a", "b"].into_iter().enumerate() {
        assert!(hall.engine(name).await.get("drift").is_none());
        let old = hall.engines.remove(index);
        let address = old.addr();
        old.stop().await;
        let options = Options { catalog: Some(catalog.clone()), ..at(address) };
        hall.engines.insert(index, Simulator::start(options).await.unwrap());
        let drifted = hall.until(name, |engine| engine.get("drift").is_some()).await;
        let changed = json!({"changed": [{"class_type": "EmptyLatentImage", "added": ["sharpen"]}]});
        assert_eq!(drifted["drift"], changed);
        if index == 0 {
            // The other one serves.
            assert_eq!(hall.paint().await, "b");
        }
    }
    let problem = hall.server.call(PAINT, &json!({"prompt": "x"}), 503).await;
    assert_eq!(
        (problem["code"].as_str(), problem["source"].as_str(), problem["retryable"].as_bool()),
        (Some("workflow_incompatible"), Some("engine"), Some(false))
    );
    let missing = &problem["missing"]["inputs"][0];
    assert_eq!(
        (missing["class_type"].as_str(), missing["input"].as_str()),
        (Some("EmptyLatentImage"), Some("sharpen"))
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("input sharpen of node") && detail.contains("EmptyLatentImage"), "{detail}");
    let described = hall.server.read(PAINT, 200).await.json();
    assert_eq!(described["ready"], false);
    assert!(described["engines"][0]["reason"].as_str().unwrap().contains("sharpen"), "{described}");
    hall.server.call("/image/resize", &json!({"image": PIXEL}), 200).await;
    assert_eq!(
        hall.engines.iter().map(|engine| engine.ledger().count(LedgerEvent::Rejected)).sum::<usize>(),
        0
    );
    assert!(hall.server.log().contains("node definitions changed"), "{}", hall.server.log());
}

#[test]
fn the_prompt_tells_what_every_node_is_given() {
    for endpoint in comfyport_generated::endpoints() {
        let given = endpoint.given_inputs();
        let made = |id: &str| given.get(id).is_none_or(std::collections::BTreeSet::is_empty);
        let bare: Vec<&str> = endpoint.nodes.iter().map(|node| &*node.id).filter(|id| made(id)).collect();
        assert!(bare.is_empty(), "{}: {bare:?}", endpoint.path);
    }
}
