//! Errands of servers that share a store: the one that has the folders does what any of them was asked for.

use comfyport_simulator::{Models, Options, Simulator};
use serde_json::{Value, json};

use crate::{
    errands::{CHECKPOINT, Home, ON, WAITS, follow, id_of, lock},
    postgres,
    process::Comfyport,
};

/// Two servers on one database, of which the first has the models folder.
struct Pair {
    home: Home,
    having: Comfyport,
    asked: Comfyport,
    _data: [tempfile::TempDir; 2],
}

impl Pair {
    async fn new(name: &str) -> Result<Self, &'static str> {
        let address = postgres::address()?;
        let joint = if address.contains('?') { '&' } else { '?' };
        let store = format!("{address}{joint}schema={name}_{}", std::process::id());
        let home = Home::new().await;
        let lock = lock(&home, "checkpoint.safetensors");
        let both = [ON, WAITS, ("COMFYPORT_STORE_URL", &store), ("COMFYPORT_SUPPLIES_LOCK", &lock)];
        let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let having = home.serve(data[0].path(), &both);
        let elsewhere = [&both[..], &[("COMFYPORT_SUPPLIES_ELSEWHERE", "true")]].concat();
        let asked = Comfyport::lasting(&home.engine.url(), data[1].path(), &elsewhere);
        Ok(Self { home, having, asked, _data: data })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_has_the_folder_does_what_another_was_asked_for() {
    let pair = match Pair::new("errands").await {
        Ok(pair) => pair,
        Err(why) => return println!("left out: {why}"),
    };
    let job = pair.asked.call("/admin/models:pull", &Home::wanted(), 202).await;
    let (events, job) = follow(&pair.asked, &id_of(&job)).await;
    assert_eq!(job["status"], "succeeded", "{job:#}");
    assert_eq!(job["outputs"]["models"][0]["how"], "fetched", "{job:#}");
    assert!(
        events.iter().any(|(name, _)| name == "running"),
        "watched from where it was asked for: {events:?}"
    );
    let file = pair.home.model(&format!("checkpoints/{CHECKPOINT}"));
    assert_eq!(std::fs::read(file).unwrap(), pair.home.checkpoint);
    let seen: Value = pair.having.read(&format!("/jobs/{}", id_of(&job)), 200).await.json();
    assert_eq!(seen["outputs"], job["outputs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_any_server_wait_for_what_one_of_them_fetches() {
    let pair = match Pair::new("waiting").await {
        Ok(pair) => pair,
        Err(why) => return println!("left out: {why}"),
    };
    let ask = async |server: &Comfyport| {
        let post = server.post("/sd15/txt2img").header("prefer", "respond-async");
        let body = json!({"prompt": "a fox", "steps": 1}).to_string();
        id_of(&server.expect(post.body(body), 202).await.json())
    };
    let jobs = [ask(&pair.asked).await, ask(&pair.having).await];
    for (server, id) in [&pair.asked, &pair.having].into_iter().zip(&jobs) {
        let (_, job) = follow(server, id).await;
        assert_eq!(job["status"], "succeeded", "{job:#}");
    }
    let asked = pair.home.hub.storage.host.seen();
    let fetched = asked.iter().filter(|seen| seen.method == "GET").count();
    assert_eq!(fetched, 1, "once for both");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_such_a_server_nothing_is_accepted_that_nobody_would_do() {
    let options = Options { models: Models::Exact([].into()), ..Options::default() };
    let engine = Simulator::start(options).await.unwrap();
    let server = Comfyport::in_front_of_with(&engine.url(), &[ON, WAITS]);
    let problem = server.call("/admin/models:pull", &Home::wanted(), 422).await;
    assert!(problem["detail"].as_str().unwrap().contains("its models folder"), "{problem}");
    let problem = server.call("/sd15/txt2img", &json!({"prompt": "a fox"}), 503).await;
    assert_eq!(problem["code"], "workflow_not_ready");
    // It is for servers that share a store.
    let output =
        crate::process::command(&["serve"]).env("COMFYPORT_SUPPLIES_ELSEWHERE", "true").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("supplies.elsewhere") && said.contains("store.url"), "{said}");
}
