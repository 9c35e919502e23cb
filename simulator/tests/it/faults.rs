//! Misbehaviour on request.

use comfyport_simulator::{Fault, Options, Simulator};
use serde_json::json;

use crate::{
    client::{Frame, Socket, finished, get, kinds, post},
    protocol::txt2img,
};

async fn start() -> Simulator {
    Simulator::start(Options::default()).await.unwrap()
}

#[tokio::test]
async fn a_node_fails_as_asked_over_http() {
    let simulator = start().await;
    let plan = json!({"next": [{"kind": "oom"}, {"kind": "error-before"}]});
    assert_eq!(post(simulator.addr(), "/simulator/faults", &plan).await.status, 204);
    let body = json!({"prompt": txt2img(1), "prompt_id": "p"});
    assert_eq!(post(simulator.addr(), "/prompt", &body).await.status, 500);
    assert_eq!(get(simulator.addr(), "/prompt").await.json()["exec_info"]["queue_remaining"], 0);
    assert_eq!(post(simulator.addr(), "/prompt", &body).await.status, 200);
    let entry = finished(simulator.addr(), "p").await;
    let error = entry["status"]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&error[0], &error[1]["exception_type"]),
        (&json!("execution_error"), &json!("torch.OutOfMemoryError"))
    );
    assert_eq!(error[1]["node_id"], "3");
    let ledger = get(simulator.addr(), "/simulator/ledger").await.json();
    assert!(ledger.as_array().unwrap().iter().any(|entry| entry["event"] == "failed"), "{ledger}");
    simulator.stop().await;
}

#[tokio::test]
async fn a_prompt_can_be_accepted_behind_an_error() {
    let simulator = start().await;
    simulator.faults().next(Fault::ErrorAfter { path: "/prompt".to_owned() });
    assert_eq!(
        post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "prompt_id": "p"})).await.status,
        500
    );
    finished(simulator.addr(), "p").await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_restart_forgets_everything() {
    let simulator = start().await;
    let mut socket = Socket::open(simulator.addr(), "me").await;
    simulator.faults().next(Fault::Forget);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "client_id": "me", "prompt_id": "p"}))
        .await;
    while socket.frame().await != Frame::Closed {}
    assert_eq!(
        get(simulator.addr(), "/queue").await.json(),
        json!({"queue_running": [], "queue_pending": []})
    );
    assert_eq!(get(simulator.addr(), "/history").await.text(), "{}");
    simulator.stop().await;
}

#[tokio::test]
async fn a_stuck_node_goes_on_when_the_faults_are_cleared() {
    let simulator = start().await;
    simulator.faults().next(Fault::Stuck);
    let mut socket = Socket::open(simulator.addr(), "me").await;
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "client_id": "me", "prompt_id": "p"}))
        .await;
    while socket.event().await["data"]["node"] != "3" {}
    assert_eq!(get(simulator.addr(), "/history/p").await.text(), "{}");
    simulator.faults().clear();
    socket.until_done().await;
    finished(simulator.addr(), "p").await;
    simulator.stop().await;
}

#[tokio::test]
async fn frames_can_be_doubled_and_hold_nan() {
    let simulator = start().await;
    let mut socket = Socket::open(simulator.addr(), "me").await;
    socket.event().await;
    simulator.faults().next(Fault::Nan);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "client_id": "me"})).await;
    let frames = socket.until_done().await;
    assert!(
        frames
            .iter()
            .any(|frame| matches!(frame, Frame::Text(text) if text.contains(r#""value": NaN, "max": 2"#)))
    );
    simulator.faults().next(Fault::DuplicateEvents);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(2), "client_id": "me"})).await;
    let seen = kinds(&socket.until_done().await);
    assert_eq!(seen.iter().filter(|kind| *kind == "execution_success").count(), 2);
    simulator.stop().await;
}

#[tokio::test]
async fn outputs_can_be_cut_off_or_gone() {
    let simulator = start().await;
    let view = "/view?filename=t2i_00001_.png";
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "prompt_id": "p"})).await;
    finished(simulator.addr(), "p").await;
    let whole = get(simulator.addr(), view).await.body.len();
    simulator.faults().next(Fault::TruncatedOutput);
    let cut = get(simulator.addr(), view).await;
    assert!(cut.head.contains(&format!("content-length: {whole}")) && cut.body.len() < whole, "{}", cut.head);
    simulator.faults().next(Fault::MissingOutput);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(2), "prompt_id": "q"})).await;
    finished(simulator.addr(), "q").await;
    assert_eq!(get(simulator.addr(), "/view?filename=t2i_00002_.png").await.status, 404);
    simulator.stop().await;
}

#[tokio::test]
async fn connections_can_be_refused() {
    let simulator = start().await;
    simulator.faults().next(Fault::Refuse);
    assert_eq!(crate::client::request(simulator.addr(), "GET", "/queue", "", b"").await.status, 0);
    assert_eq!(get(simulator.addr(), "/queue").await.status, 200);
    simulator.stop().await;
}
