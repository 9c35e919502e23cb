//! Each fault of the simulator, and how a run ends under it.

use std::time::Duration;

use comfyport_comfyui::{CancelOutcome, Client, ClientConfig, ClientError, Event, Outcome, Run, SubmitError};
use comfyport_simulator::{Fault, LedgerEvent, Options, Simulator};
use uuid::Uuid;

/// Far beyond what any of these runs takes, and far below a timeout that was not shortened.
const BOUND: Duration = Duration::from_secs(10);
const GRAPH: &[u8] = br#"{
    "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 2, "cfg": 7, "sampler_name": "euler",
        "scheduler": "normal", "denoise": 1, "model": ["2", 0], "positive": ["4", 0], "negative": ["4", 0],
        "latent_image": ["1", 0]}},
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["2", 1]}},
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["2", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["5", 0]}}
}"#;
const FOR_GOOD: Duration = Duration::from_hours(1);

async fn start(change: impl FnOnce(&mut ClientConfig)) -> (Simulator, Client) {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let mut config = ClientConfig::new(simulator.url().parse().unwrap());
    config.poll_min = Duration::from_millis(20);
    config.poll_max = Duration::from_millis(50);
    config.lost_grace = Duration::from_millis(100);
    config.stall_after = None;
    config.unreachable_after = Duration::from_millis(200);
    config.socket_wait = Duration::from_millis(500);
    config.status_timeout = Duration::from_secs(5);
    config.reconnect_min = Duration::from_millis(10);
    change(&mut config);
    (simulator, Client::new(config).unwrap())
}

async fn submit(client: &Client) -> Result<Run, SubmitError> {
    let submitting = client.submit(Uuid::new_v4(), GRAPH, &[]);
    tokio::time::timeout(BOUND, submitting).await.expect("a submission ends")
}

async fn end(mut run: Run) -> (Vec<Event>, Outcome) {
    let ending = async {
        let mut events = Vec::new();
        while let Some(event) = run.next_event().await {
            events.push(event);
        }
        (events, run.outcome().await)
    };
    tokio::time::timeout(BOUND, ending).await.expect("a run ends")
}

/// A whole run with a fault once.
async fn run_with(fault: Fault, change: impl FnOnce(&mut ClientConfig)) -> (Simulator, Vec<Event>, Outcome) {
    let (simulator, client) = start(change).await;
    simulator.faults().next(fault);
    let (events, outcome) = end(submit(&client).await.unwrap()).await;
    (simulator, events, outcome)
}

fn at(path: &str) -> String {
    path.to_owned()
}

/// Long enough that only the socket can explain a quick end.
fn trusting(config: &mut ClientConfig) {
    config.poll_min = FOR_GOOD;
    config.poll_max = FOR_GOOD;
}

#[tokio::test]
async fn refuse() {
    let (simulator, client) = start(|config| config.socket_wait = Duration::from_millis(20)).await;
    simulator.faults().during(Fault::Refuse, FOR_GOOD);
    let error = submit(&client).await.unwrap_err();
    // The connection was made and then reset, so what became of the request is not known, unless the reset was there
    // before anything could be sent.
    let (SubmitError::Unknown(cause) | SubmitError::Unreachable(cause)) = &error else { panic!("{error:?}") };
    assert!(cause.retryable(), "{error:?}");
    assert_eq!(simulator.ledger().count(LedgerEvent::Received), 0);
    simulator.faults().clear();
    let (_, outcome) = end(submit(&client).await.unwrap()).await;
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
}

#[tokio::test]
async fn gone_in_the_middle_of_a_run() {
    let (simulator, client) = start(|_| {}).await;
    simulator.faults().next(Fault::Stuck);
    let run = submit(&client).await.unwrap();
    simulator.stop().await;
    let (_, outcome) = end(run).await;
    assert!(matches!(outcome, Outcome::Unreachable(_)), "{outcome:?}");
}

#[tokio::test]
async fn delay() {
    let (simulator, client) = start(|config| config.request_timeout = Duration::from_millis(200)).await;
    let hour = 3_600_000;
    simulator.faults().next(Fault::Delay { milliseconds: hour, path: at("/prompt") });
    let error = submit(&client).await.unwrap_err();
    assert!(matches!(error, SubmitError::NotAccepted(ClientError::Timeout)), "{error:?}");
    // A look that takes too long is taken again.
    simulator.faults().next(Fault::Delay { milliseconds: hour, path: at("/history") });
    let (_, outcome) = end(submit(&client).await.unwrap()).await;
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    simulator.faults().during(Fault::Delay { milliseconds: hour, path: at("/queue") }, FOR_GOOD);
    let (_, outcome) = end(submit(&client).await.unwrap()).await;
    assert!(matches!(outcome, Outcome::Unreachable(ClientError::Timeout)), "{outcome:?}");
    assert_eq!(simulator.ledger().count(LedgerEvent::Received), 2);
}

#[tokio::test]
async fn error_before() {
    let (simulator, client) = start(|_| {}).await;
    simulator.faults().next(Fault::ErrorBefore { path: at("/prompt") });
    let error = submit(&client).await.unwrap_err();
    assert!(matches!(error, SubmitError::NotAccepted(ClientError::Status { status: 500, .. })), "{error:?}");
    assert_eq!(simulator.ledger().count(LedgerEvent::Received), 0);
    simulator.faults().during(Fault::ErrorBefore { path: at("/queue") }, FOR_GOOD);
    let (_, outcome) = end(submit(&client).await.unwrap()).await;
    assert!(matches!(outcome, Outcome::Unreachable(ClientError::Status { status: 500, .. })), "{outcome:?}");
}

#[tokio::test]
async fn error_after_and_html_behind_which_the_prompt_runs_once() {
    for fault in [Fault::ErrorAfter { path: at("/prompt") }, Fault::Html { path: at("/prompt") }] {
        let (simulator, _, outcome) = run_with(fault, |_| {}).await;
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
        assert_eq!(simulator.ledger().count(LedgerEvent::Received), 1);
    }
}

#[tokio::test]
async fn html_instead_of_history() {
    let (_simulator, _, outcome) = run_with(Fault::Html { path: at("/history") }, |_| {}).await;
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    let (simulator, client) = start(|_| {}).await;
    simulator.faults().during(Fault::Html { path: at("/history") }, FOR_GOOD);
    let (_, outcome) = end(submit(&client).await.unwrap()).await;
    assert!(matches!(outcome, Outcome::Unreachable(ClientError::NotJson(_))), "{outcome:?}");
}

#[tokio::test]
async fn truncated_and_missing_output() {
    for fault in [Fault::TruncatedOutput, Fault::MissingOutput] {
        let (simulator, client) = start(|_| {}).await;
        simulator.faults().next(fault.clone());
        let (_, outcome) = end(submit(&client).await.unwrap()).await;
        let Outcome::Succeeded { outputs, .. } = outcome else { panic!("{outcome:?}") };
        let comfyport_comfyui::OutputItem::File(file) = &outputs["6"].items[0] else { panic!("{outputs:?}") };
        let fetch = async { client.view(file).await?.bytes(1 << 20).await };
        let error = tokio::time::timeout(BOUND, fetch).await.expect("a download ends").unwrap_err();
        let right = match fault {
            Fault::TruncatedOutput => {
                matches!(error, ClientError::Truncated { expected, received } if received < expected)
            }
            _ => matches!(error, ClientError::Status { status: 404, .. }),
        };
        assert!(right, "{error:?}");
        assert_eq!(simulator.ledger().count(LedgerEvent::Received), 1);
    }
}

#[tokio::test]
async fn drop_socket() {
    let (simulator, events, outcome) = run_with(Fault::DropSocket, |_| {}).await;
    assert!(events.contains(&Event::Unknown), "{events:?}");
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert_eq!(simulator.ledger().count(LedgerEvent::Received), 1);
}

#[tokio::test]
async fn silent_websocket() {
    let (_simulator, events, outcome) = run_with(Fault::SilentWebsocket, |_| {}).await;
    assert!(!events.contains(&Event::Started), "{events:?}");
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    let (simulator, client) = start(|config| config.status_timeout = Duration::from_millis(20)).await;
    simulator.faults().during(Fault::SilentWebsocket, FOR_GOOD);
    let (_, outcome) = end(submit(&client).await.unwrap()).await;
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    let replaced = async {
        while simulator.ledger().count(LedgerEvent::Connected) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, replaced).await.expect("a socket that says nothing is replaced");
}

#[tokio::test]
async fn forget() {
    let (simulator, _, outcome) = run_with(Fault::Forget, |_| {}).await;
    assert!(matches!(outcome, Outcome::Lost), "{outcome:?}");
    assert_eq!(simulator.ledger().count(LedgerEvent::Received), 1);
}

#[tokio::test]
async fn zombie_and_stuck() {
    for fault in [Fault::Zombie, Fault::Stuck] {
        let (simulator, client) = start(|config| {
            config.stall_after = Some(Duration::from_millis(150));
            config.cancel_timeout = Duration::from_millis(50);
        })
        .await;
        simulator.faults().next(fault);
        let run = submit(&client).await.unwrap();
        let prompt_id = run.prompt_id();
        let (_, outcome) = end(run).await;
        assert!(matches!(outcome, Outcome::Stalled), "{outcome:?}");
        assert_eq!(client.cancel(prompt_id).await.unwrap(), CancelOutcome::StillRunning);
    }
}

#[tokio::test]
async fn oom_and_exception() {
    for (fault, oom) in [(Fault::Oom, true), (Fault::Exception, false)] {
        let (_simulator, _, outcome) = run_with(fault, trusting).await;
        let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!((error.node_id.as_str(), error.node_type.as_str(), error.oom), ("3", "KSampler", oom));
        assert!(!format!("{error:?}").contains("/srv"), "{error:?}");
    }
}

#[tokio::test]
async fn events_out_of_order_twice_or_not_numbers() {
    for fault in [Fault::OutOfOrder, Fault::DuplicateEvents, Fault::Nan] {
        let (_simulator, events, outcome) = run_with(fault.clone(), trusting).await;
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{fault:?} {outcome:?}");
        let started = events.iter().filter(|event| **event == Event::Started).count();
        assert_eq!(started, 1, "{fault:?} {events:?}");
        let numbers = events.iter().filter_map(|event| match event {
            Event::Progress { value, .. } => Some(*value),
            _ => None,
        });
        assert!(numbers.into_iter().all(f64::is_finite), "{events:?}");
    }
}
