//! The routes that run workflows, over a real connection.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "run/workflows.rs"]
mod workflows;

use std::time::Duration;

use comfyport_endpoint::Endpoint;
use comfyport_server::{
    app::router,
    assemble::assemble,
    config::{Config, Overrides},
};
use comfyport_simulator::{LedgerEvent, Simulator};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use workflows::{LACKING, PAINT, RESIZE};

static ENDPOINTS: &[&Endpoint] = &[&RESIZE, &LACKING, &PAINT];

struct Server {
    simulator: Simulator,
    url: String,
    http: reqwest::Client,
    _data: tempfile::TempDir,
}

impl Server {
    async fn new(step_delay: Duration, prompt_route: bool) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let options = comfyport_simulator::Options { step_delay, ..Default::default() };
        let simulator = Simulator::start(options).await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::load(None, std::iter::empty(), &Overrides::default()).unwrap();
        config.prompt_route.enabled = prompt_route;
        config.comfyui.url = simulator.url().parse().unwrap();
        config.artifacts.data_dir = data.path().to_owned();
        config.server.max_form_parts = 10;
        let state = assemble(config, ENDPOINTS, true).await.unwrap();
        state.jobs.begin(true).await.unwrap();
        let app = router(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { simulator, url, http: reqwest::Client::new(), _data: data }
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).body(body.to_string())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }
}

async fn expect(request: RequestBuilder, status: u16) -> Value {
    let response = request.send().await.unwrap();
    let found = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_served_whole_in_part_and_not_again() {
    let server = Server::new(Duration::ZERO, false).await;
    let result = expect(server.post("/sd15/paint", &json!({"prompt": "x"})), 200).await;
    let item = &result["outputs"]["image"][0];
    let url = item["url"].as_str().unwrap();
    let whole = server.get(url).send().await.unwrap();
    let header =
        |response: &reqwest::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(&whole, "content-type"), "image/png");
    assert_eq!(header(&whole, "x-content-type-options"), "nosniff");
    assert_eq!(header(&whole, "content-length"), item["size"].to_string());
    let etag = header(&whole, "etag");
    assert_eq!(etag, format!("\"{}\"", item["sha256"].as_str().unwrap()));
    let whole = whole.bytes().await.unwrap();
    let part = server.get(url).header("range", "bytes=4-9").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(header(&part, "content-range"), format!("bytes 4-9/{}", whole.len()));
    assert_eq!(part.bytes().await.unwrap(), whole[4..10]);
    let same = server.get(url).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(same.status(), 304);
    let head = server.http.head(format!("{}{url}", server.url)).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, whole.len().to_string()));
    assert!(!whole.windows(6).any(|window| window == b"prompt"), "the prompt is still in the picture");
    expect(server.get(&url.replace("/0", "/7")), 404).await;
    expect(server.get("/jobs/nonsense/outputs/image/0"), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_the_answer_is_the_callers_choice() {
    let server = Server::new(Duration::ZERO, false).await;
    let request = || server.post("/sd15/paint", &json!({"prompt": "x", "seed": 7}));
    let picture = request().header("accept", "image/*").send().await.unwrap();
    assert_eq!(picture.headers()["x-comfyport-seed"], "7");
    assert_eq!(picture.headers()["x-comfyport-engine"], "simulator");
    assert!(picture.bytes().await.unwrap().starts_with(b"\x89PNG"));
    let problem = expect(request().header("accept", "video/mp4"), 406).await;
    assert_eq!(problem["code"], "not_acceptable");
    let job = expect(request().header("prefer", "respond-async"), 202).await;
    assert!(["queued", "running", "succeeded"].contains(&job["status"].as_str().unwrap()), "{job}");
    let events = request().header("accept", "text/event-stream").send().await.unwrap().text().await.unwrap();
    let names: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((names[0], *names.last().unwrap()), ("queued", "result"), "{names:?}");
    assert!(names.contains(&"progress"));
    let data = events.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let result: Value = serde_json::from_str(data).unwrap();
    assert_eq!(result["params"]["seed"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_closes_takes_the_run_along_if_that_is_wanted() {
    let server = Server::new(Duration::from_millis(50), false).await;
    let ledger = server.simulator.ledger();
    for (round, accept) in ["application/json", "text/event-stream"].into_iter().enumerate() {
        let request = server.post(
            "/sd15/paint",
            &json!({"prompt": "x", "steps": 500, "options": {"cancel_on_disconnect": true}}),
        );
        let request = request.header("accept", accept);
        let waiting = tokio::spawn(async move {
            let response = request.send().await.unwrap();
            response.bytes().await
        });
        let happened = async |event, times| {
            let wait = async {
                while ledger.count(event) < times {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            assert!(
                tokio::time::timeout(Duration::from_secs(10), wait).await.is_ok(),
                "{:?}",
                ledger.entries()
            );
        };
        happened(LedgerEvent::Started, round + 1).await;
        waiting.abort();
        happened(LedgerEvent::Interrupted, round + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_workflow_needs_is_told_without_running_it() {
    let server = Server::new(Duration::ZERO, false).await;
    let verdict = expect(server.post("/sd15/paint:check", &json!({"prompt": "x"})), 200).await;
    assert_eq!((&verdict["ready"], &verdict["engine"]), (&json!(true), &json!("simulator")));
    assert_eq!(verdict["params"]["prompt"], "x");
    let problem = expect(server.post("/sd15/paint:check", &json!({"promt": "x"})), 422).await;
    assert_eq!(problem["errors"][0]["did_you_mean"], "prompt");
    let image = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=";
    let verdict = expect(server.post("/lacking:check", &json!({"image": image})), 200).await;
    assert_eq!(verdict["ready"], false);
    assert_eq!(verdict["engines"][0]["missing"]["classes"][0]["class_type"], "ExampleNode");
    let problem = expect(server.post("/lacking", &json!({"image": image})), 503).await;
    assert_eq!(problem["code"], "workflow_not_ready");
    assert_eq!(problem["missing"]["classes"][0]["class_type"], "ExampleNode");
    let described = expect(server.get("/lacking"), 200).await;
    assert_eq!((&described["ready"], &described["path"]), (&json!(false), &json!("lacking")));
    let listed = expect(server.get("/workflows"), 200).await;
    assert_eq!(listed["workflows"].as_array().unwrap().len(), 3);
    expect(server.get("/nowhere/at/all"), 404).await;
    assert_eq!(server.simulator.ledger().count(LedgerEvent::Received), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_carry_files() {
    let server = Server::new(Duration::ZERO, false).await;
    let mut gif = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(3, 3).write_to(&mut gif, image::ImageFormat::Gif).unwrap();
    let gif = gif.into_inner();
    let form = |data: Vec<u8>| {
        let part =
            reqwest::multipart::Part::bytes(data).file_name("../../a b.svg").mime_str("text/html").unwrap();
        reqwest::multipart::Form::new().part("image", part).text("width", "9").text("height", "5")
    };
    let post = || server.http.post(format!("{}/image/resize", server.url));
    let result = expect(post().multipart(form(gif.clone())), 200).await;
    let item = &result["outputs"]["image"][0];
    assert_eq!((&item["width"], &item["height"]), (&json!(9), &json!(5)));
    let problem = expect(post().multipart(form(b"<svg/>".to_vec())), 415).await;
    assert_eq!(problem["errors"][0]["pointer"], "/image");
    expect(post().multipart(form(gif.clone()).text("width", "10")), 422).await;
    let many = (0..20).fold(form(gif), |form, number| form.text(format!("a{number}"), "x"));
    expect(post().multipart(many), 413).await;
    expect(
        server
            .http
            .post(format!("{}/image/resize", server.url))
            .header("content-type", "multipart/form-data"),
        400,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_graphs_are_off_and_can_be_turned_on() {
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
        "3": {"class_type": "NotInstalled", "inputs": {}},
    });
    let off = Server::new(Duration::ZERO, false).await;
    let problem = expect(off.post("/prompt", &graph), 403).await;
    assert!(problem["detail"].as_str().unwrap().contains("prompt_route.enabled"), "{problem}");
    let on = Server::new(Duration::ZERO, true).await;
    let result = expect(on.post("/prompt", &graph), 200).await;
    assert_eq!(result["outputs"]["2"][0]["width"], 8);
    expect(on.post("/prompt", &json!({"nodes": [], "links": []})), 422).await;
}
