//! Runs against a simulator on a real port: what comes back, and what comes of every way to fail.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "run/workflows.rs"]
mod workflows;

use std::{sync::Arc, time::Duration};

use comfyport_endpoint::{DecodeLimits, Endpoint, Held, Part, PartValue};
use comfyport_server::{
    artifacts::{Artifacts, Retention},
    engine::comfyui::ComfyUi,
    media::PictureLimits,
    pool::{Place, PlaceSettings, Pool, Settings as PoolSettings},
    readiness::Ages,
    run::{
        Body, Item, Options, Plan, Prepared, RequestLimits, RunError, RunResult, Running, Runs, Settings,
        Update,
    },
};
use comfyport_simulator::{Fault, LedgerEvent, Simulator};
use serde_json::json;
use tokio::sync::mpsc;
use workflows::{LACKING, PAINT, RESIZE};

struct Stage {
    simulator: Simulator,
    runs: Arc<Runs>,
    _data: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self::with(comfyport_simulator::Options::default()).await
    }

    async fn slow() -> Self {
        let step_delay = Duration::from_millis(50);
        Self::with(comfyport_simulator::Options { step_delay, ..Default::default() }).await
    }

    async fn with(options: comfyport_simulator::Options) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let simulator = Simulator::start(options).await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let runs = Arc::new(runs(&simulator.url(), data.path()));
        Self { simulator, runs, _data: data }
    }

    fn prepare(&self, endpoint: &'static Endpoint, body: &serde_json::Value) -> Result<Prepared, RunError> {
        Prepared::read(
            Held::Static(endpoint),
            Body::Json(body.to_string().into()),
            &self.runs.settings().request,
        )
    }

    async fn start(
        &self,
        mut prepared: Prepared,
        updates: Option<mpsc::Sender<Update>>,
    ) -> Result<Running, RunError> {
        let place = self.runs.pool().choose(&mut prepared).await?;
        let options = prepared.options;
        self.runs.start(Plan::Endpoint(Box::new(prepared)), place, options, updates)
    }

    async fn run(&self, endpoint: &'static Endpoint, body: serde_json::Value) -> Result<RunResult, RunError> {
        let prepared = self.prepare(endpoint, &body)?;
        self.start(prepared, None).await?.finish().await
    }

    fn happened(&self, event: LedgerEvent) -> usize {
        self.simulator.ledger().count(event)
    }

    async fn until(&self, event: LedgerEvent) {
        let wait = async {
            while self.happened(event) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
        assert!(waited.is_ok(), "no {event:?}: {:?}", self.simulator.ledger().entries());
    }
}

fn runs(url: &str, data: &std::path::Path) -> Runs {
    let mut config = comfyport_comfyui::ClientConfig::new(url.parse().unwrap());
    (config.poll_min, config.lost_grace) = (Duration::from_millis(100), Duration::from_millis(300));
    let client = comfyport_comfyui::Client::new(config).unwrap();
    let engine = Arc::new(ComfyUi::new("simulator", client, true));
    let retention = Retention { age: Duration::from_mins(1), bytes: 1 << 30, file_bytes: 1 << 28 };
    let artifacts = Arc::new(Artifacts::open(data, retention).unwrap());
    let request = RequestLimits {
        pictures: PictureLimits::default(),
        decode: DecodeLimits::default(),
        timeout: Duration::from_mins(1),
        body: 1 << 20,
        parts: 10,
    };
    let ages = Ages { fresh: Duration::from_mins(1), error: Duration::ZERO };
    let settings = Settings { concurrent: 8, waiting: 8, timeout: Duration::from_mins(1), request };
    let pool = Pool::new(vec![Place::new(engine, PlaceSettings::default(), ages)], PoolSettings::default());
    Runs::new(Arc::new(pool), artifacts, settings)
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(width, height).write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn read(result: &RunResult) -> image::DynamicImage {
    let Some(Item::File(file)) = result.outputs[0].items.first() else { panic!("no file: {result:?}") };
    image::open(&file.artifact.path)
        .or_else(|_| image::load_from_memory(&std::fs::read(&file.artifact.path).unwrap()))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_in_a_form_comes_back_in_the_size_asked_for() {
    let stage = Stage::new().await;
    let file = PartValue::File {
        data: picture(48, 32).into(),
        filename: Some("../../evil name.svg".to_owned()),
        content_type: Some("text/html".to_owned()),
    };
    let part = |name: &str, value| Part { name: name.to_owned(), value };
    let form = || {
        let text = |text: &str| PartValue::Text(text.to_owned());
        vec![part("image", file_again(&file)), part("width", text("20")), part("height", text("10"))]
    };
    let limits = &stage.runs.settings().request;
    for _ in 0..2 {
        let prepared = Prepared::read(Held::Static(&RESIZE), Body::Form(form()), limits).unwrap();
        let result = stage.start(prepared, None).await.unwrap().finish().await.unwrap();
        let resized = read(&result);
        assert_eq!((resized.width(), resized.height()), (20, 10));
        let json = serde_json::to_value(&result).unwrap();
        let item = &json["outputs"]["image"][0];
        assert_eq!(item["content_type"], "image/png");
        assert_eq!((&item["width"], &item["height"]), (&json!(20), &json!(10)));
        assert_eq!(json["status"], "succeeded");
        assert_eq!(json["params"]["width"], 20);
        assert_eq!(json["simulated"], true);
    }
    // The second run used what the first one uploaded, and nothing was called what the caller called it.
    let uploads: Vec<_> = stage
        .simulator
        .ledger()
        .entries()
        .into_iter()
        .filter(|one| one.event == LedgerEvent::Uploaded)
        .collect();
    assert_eq!(uploads.len(), 1, "{uploads:?}");
    assert!(!uploads[0].detail.contains("evil"), "{uploads:?}");
}

fn file_again(file: &PartValue) -> PartValue {
    let PartValue::File { data, filename, content_type } = file else { panic!() };
    PartValue::File { data: data.clone(), filename: filename.clone(), content_type: content_type.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_of_runs_at_the_same_time_are_not_mixed_up() {
    let stage = Stage::new().await;
    let widths: Vec<u32> = (0..12).map(|step| 64 + 16 * step).collect();
    let all = widths.iter().map(|width| stage.run(&PAINT, json!({"prompt": "x", "width": width})));
    let results = futures_util::future::join_all(all).await;
    for (width, result) in widths.iter().zip(results) {
        assert_eq!(read(&result.unwrap()).width(), *width);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_are_kept_or_drawn_and_bytes_are_inlined_on_demand() {
    let stage = Stage::new().await;
    let request = json!({"prompt": "x", "seed": u64::MAX, "options": {"inline": true}});
    let result = serde_json::to_value(stage.run(&PAINT, request).await.unwrap()).unwrap();
    assert_eq!(result["params"]["seed"], u64::MAX);
    assert!(result["outputs"]["image"][0]["data"].as_str().unwrap().starts_with("iVBORw0KGgo"));
    let drawn = stage.run(&PAINT, json!({"prompt": "x"})).await.unwrap();
    let again = stage.run(&PAINT, json!({"prompt": "x"})).await.unwrap();
    assert!(drawn.seed().is_some());
    assert_ne!(drawn.seed(), again.seed());
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_in_order() {
    let stage = Stage::new().await;
    let (sender, mut updates) = mpsc::channel(1000);
    let prepared = stage.prepare(&PAINT, &json!({"prompt": "x", "steps": 3})).unwrap();
    stage.start(prepared, Some(sender)).await.unwrap().finish().await.unwrap();
    let mut seen = Vec::new();
    while let Some(update) = updates.recv().await {
        seen.push(update);
    }
    assert!(matches!(seen.first(), Some(Update::Queued { .. })), "{seen:?}");
    let started = seen.iter().position(|one| matches!(one, Update::Started)).unwrap();
    let steps: Vec<f64> = seen[started..]
        .iter()
        .filter_map(|one| if let Update::Progress(step) = one { Some(step.percent) } else { None })
        .collect();
    assert!(steps.len() >= 3 && steps.is_sorted(), "{steps:?}");
    let titled =
        |one: &Update| matches!(one, Update::Progress(step) if step.title.as_deref() == Some("The sampler"));
    assert!(seen.iter().any(titled), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_takes_the_run_along() {
    let stage = Stage::slow().await;
    let request = json!({"prompt": "x", "steps": 500});
    let running = stage.start(stage.prepare(&PAINT, &request).unwrap(), None).await.unwrap();
    stage.until(LedgerEvent::Started).await;
    let waiting = stage.start(stage.prepare(&PAINT, &request).unwrap(), None).await.unwrap();
    while stage.happened(LedgerEvent::Received) < 2 {
        tokio::task::yield_now().await;
    }
    // One is in the queue, one is running: the first is deleted, the second interrupted.
    drop(waiting);
    stage.until(LedgerEvent::Deleted).await;
    assert_eq!(stage.happened(LedgerEvent::Interrupted), 0);
    drop(running);
    stage.until(LedgerEvent::Interrupted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_cancelled() {
    let stage = Stage::slow().await;
    let request = json!({"prompt": "x", "steps": 500, "options": {"timeout_s": 0.3}});
    let error = stage.run(&PAINT, request).await.unwrap_err();
    assert!(matches!(error, RunError::Timeout { .. }), "{error:?}");
    stage.until(LedgerEvent::Interrupted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_request_are_found_before_anything_happens() {
    let stage = Stage::new().await;
    let faults = |body: serde_json::Value| match stage.prepare(&RESIZE, &body) {
        Err(RunError::Request { faults, url }) => (faults.0, url),
        other => panic!("{other:?}"),
    };
    let (found, url) = faults(json!({"image": "https://example.com/a.png"}));
    assert!(url && found[0].pointer == "/image", "{found:?}");
    let (found, url) = faults(json!({"image": "PHN2Zz48L3N2Zz4=", "options": {"inlin": true}}));
    assert!(!url);
    assert!(found.iter().any(|one| one.pointer == "/options/inlin"));
    assert!(found.iter().any(|one| one.code == comfyport_endpoint::FaultKind::Unsupported), "{found:?}");
    let error =
        stage.run(&PAINT, json!({"prompt": "x", "checkpoint": "v1-5-pruned-emaonly.safetensors"})).await;
    // The simulator takes any name, so only our own check can have found this.
    let Err(RunError::Request { faults, .. }) = error else { panic!("{error:?}") };
    assert_eq!(faults.0[0].did_you_mean.as_deref(), Some("v1-5-pruned-emaonly-fp16.safetensors"));
    assert_eq!(stage.happened(LedgerEvent::Received), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_lacks_is_named() {
    let stage = Stage::new().await;
    let image = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=";
    let error = stage.run(&LACKING, json!({"image": image})).await.unwrap_err();
    let RunError::NotReady { missing, .. } = &error else { panic!("{error:?}") };
    assert_eq!(missing.classes[0].class_type, "ExampleNode");
    assert_eq!(missing.classes[0].repository.as_deref(), Some("https://example.org/pack"));
    assert_eq!(
        (missing.models[0].folder.as_str(), missing.models[0].file.as_str()),
        ("checkpoints", "sub/v1-5-pruned-emaonly.safetensors")
    );
    assert!(!stage.runs.pool().report(&LACKING).await[0].ready);
    assert!(stage.runs.pool().report(&RESIZE).await[0].ready);
    assert_eq!(stage.happened(LedgerEvent::Received), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_an_engine_has_its_own_error() {
    let stage = Stage::new().await;
    stage.run(&PAINT, json!({"prompt": "warm"})).await.unwrap();
    let after = async |fault: Fault| {
        stage.simulator.faults().next(fault);
        stage.run(&PAINT, json!({"prompt": "x"})).await
    };
    let oom = after(Fault::Oom).await.unwrap_err();
    assert!(matches!(oom, RunError::OutOfMemory { .. }), "{oom:?}");
    let failed = after(Fault::Exception).await.unwrap_err();
    let RunError::Failed { message, .. } = &failed else { panic!("{failed:?}") };
    assert!(message.contains("node ") && !message.contains(".py"), "{message}");
    let missing = after(Fault::MissingOutput).await.unwrap_err();
    assert!(matches!(missing, RunError::OutputMissing { .. }), "{missing:?}");
    let lost = after(Fault::Forget).await.unwrap_err();
    assert!(matches!(lost, RunError::Lost), "{lost:?}");
    // A file that was cut off once is whole at the second look.
    after(Fault::TruncatedOutput).await.unwrap();
    after(Fault::DropSocket).await.unwrap();
    after(Fault::Nan).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engine_nothing_is_queued() {
    let data = tempfile::tempdir().unwrap();
    rustls::crypto::ring::default_provider().install_default().ok();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let runs = Arc::new(runs(&format!("http://{address}"), data.path()));
    let body = Body::Json(r#"{"prompt":"x"}"#.into());
    let mut prepared = Prepared::read(Held::Static(&PAINT), body, &runs.settings().request).unwrap();
    let error = runs.pool().choose(&mut prepared).await.unwrap_err();
    assert!(matches!(error, RunError::Unreachable { .. }), "{error:?}");
    let report = runs.pool().report(&PAINT).await;
    assert!(!report[0].ready && report[0].reason.is_some());
    let refused = runs.start(
        Plan::Endpoint(Box::new(prepared)),
        Arc::clone(&runs.pool().places()[0]),
        Options::default(),
        None,
    );
    let error = refused.unwrap().finish().await.unwrap_err();
    assert!(matches!(error, RunError::Unreachable { .. }), "{error:?}");
    runs.stop().await;
}
