//! What the socket does, and what it fails to do.

use std::time::Duration;

use axum::extract::ws::Message;
use comfyport_comfyui::{Event, Outcome, OutputItem, Run};
use serde_json::json;
use uuid::Uuid;

use crate::fake::{Fake, Ws, success};

const GRAPH: &[u8] = b"{}";

async fn all(mut run: Run) -> (Vec<Event>, Outcome) {
    let mut events = Vec::new();
    while let Some(event) = run.next_event().await {
        events.push(event);
    }
    (events, run.outcome().await)
}

/// Long enough that only the last message can explain a quick end.
fn slow(config: &mut comfyport_comfyui::ClientConfig) {
    config.poll_min = Duration::from_mins(10);
    config.poll_max = Duration::from_mins(10);
}

#[tokio::test]
async fn events_arrive_and_the_last_one_ends_the_run() {
    let fake = Fake::start().await;
    let client = fake.client(slow);
    let id = Uuid::new_v4();
    let run = client.submit(id, GRAPH, &[]).await.unwrap();
    let seen = fake.until(|seen| seen.first_frames.len() == 1).await;
    assert!(seen.first_frames[0].contains("supports_preview_metadata"));
    assert_eq!(seen.prompts[0]["client_id"], json!(seen.client_ids[0]));
    assert_eq!(seen.prompts[0]["prompt_id"], json!(id.to_string()));
    assert!(seen.headers.iter().all(|headers| !headers.contains_key("origin")));
    let started = json!({"prompt_id": id.to_string()});
    fake.emit("executing", &json!({"node": "4", "display_node": "4", "prompt_id": id.to_string()}));
    fake.emit("execution_start", &started);
    fake.emit("execution_start", &started);
    fake.emit("execution_start", &json!({"prompt_id": "foreign"}));
    fake.emit("execution_error", &json!({"prompt_id": id.to_string(), "exception_type": "ExecutionBlocked"}));
    fake.emit("my_event", &json!([1]));
    fake.emit_raw(Message::text("{"));
    fake.emit_raw(Message::binary(b"\0\0".to_vec()));
    fake.emit_raw(Message::text(format!(
        r#"{{"type":"executed","data":{{"node":"5","output":{{"x":[NaN]}},"prompt_id":"{id}"}}}}"#
    )));
    fake.finish(&id.to_string(), success());
    let (events, outcome) = all(run).await;
    let node = |node: &str| node.to_owned();
    assert_eq!(
        events,
        [Event::Executing { node: node("4") }, Event::Started, Event::Executed { node: node("5") }]
    );
    assert!(matches!(outcome, Outcome::Succeeded { .. }));
    assert_eq!(client.malformed_frames(), 2);
}

#[tokio::test]
async fn history_may_come_after_the_last_message() {
    let fake = Fake::start().await;
    let id = Uuid::new_v4();
    let run = fake.client(|_| {}).submit(id, GRAPH, &[]).await.unwrap();
    fake.with(|queue| queue.running.clear());
    let looks = fake.seen.borrow().looks;
    fake.emit("executing", &json!({"node": null, "prompt_id": id.to_string()}));
    fake.until(|seen| seen.looks > looks).await;
    fake.with(|queue| queue.finish(&id.to_string(), success()));
    assert!(matches!(run.outcome().await, Outcome::Succeeded { .. }));
}

#[tokio::test]
async fn a_socket_that_never_opens_leaves_polling() {
    let fake = Fake::start().await;
    fake.with(|queue| queue.ws = Ws::Refuse);
    let id = Uuid::new_v4();
    let client = fake.client(|config| config.socket_wait = Duration::from_millis(10));
    let run = client.submit(id, GRAPH, &[]).await.unwrap();
    fake.finish(&id.to_string(), success());
    let (events, outcome) = all(run).await;
    assert!(events.contains(&Event::Unknown), "{events:?}");
    assert!(matches!(outcome, Outcome::Succeeded { .. }));
}

#[tokio::test]
async fn a_socket_that_breaks_returns_under_another_id() {
    let fake = Fake::start().await;
    let id = Uuid::new_v4();
    let client = fake.client(|_| {});
    let run = client.submit(id, GRAPH, &[]).await.unwrap();
    fake.until(|seen| seen.first_frames.len() == 1).await;
    fake.cut_sockets();
    let seen = fake.until(|seen| seen.client_ids.len() == 2).await;
    assert_ne!(seen.client_ids[0], seen.client_ids[1]);
    fake.with(|queue| queue.finish(&id.to_string(), success()));
    let (events, outcome) = all(run).await;
    assert!(events.contains(&Event::Unknown), "{events:?}");
    assert!(matches!(outcome, Outcome::Succeeded { .. }));
}

#[tokio::test]
async fn a_silent_socket_is_replaced() {
    let fake = Fake::start().await;
    fake.with(|queue| queue.ws = Ws::Silent);
    let client = fake.client(|config| config.status_timeout = Duration::from_millis(20));
    let id = Uuid::new_v4();
    let run = client.submit(id, GRAPH, &[]).await.unwrap();
    fake.until(|seen| seen.client_ids.len() >= 2).await;
    fake.with(|queue| queue.finish(&id.to_string(), success()));
    assert!(matches!(run.outcome().await, Outcome::Succeeded { .. }));
}

#[tokio::test]
async fn pictures_sent_over_the_socket_are_results() {
    let fake = Fake::start().await;
    let id = Uuid::new_v4();
    let client = fake.client(slow);
    let run = client.submit(id, GRAPH, &["7".to_owned()]).await.unwrap();
    fake.until(|seen| seen.first_frames.len() == 1).await;
    fake.emit("progress", &json!({"node": "7", "value": 1, "max": 2, "prompt_id": id.to_string()}));
    let about = json!({"node_id": "7", "prompt_id": id.to_string(), "image_type": "image/png"}).to_string();
    let length = u32::try_from(about.len()).unwrap().to_be_bytes();
    for _ in 0..2 {
        let frame = [&4u32.to_be_bytes()[..], &length, about.as_bytes(), b"PNG"].concat();
        fake.emit_raw(Message::binary(frame));
    }
    fake.finish(&id.to_string(), success());
    let Outcome::Succeeded { outputs, missing, .. } = run.outcome().await else { panic!() };
    assert!(missing.is_empty());
    let png = OutputItem::Bytes { content_type: "image/png".to_owned(), data: "PNG".into() };
    assert_eq!(outputs["7"].items, [png.clone(), png]);
}
