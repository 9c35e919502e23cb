//! Engines that stop working, and prompts that are stopped.

use std::time::Duration;

use comfyport_comfyui::{CancelOutcome, Event, Outcome};
use serde_json::json;
use uuid::Uuid;

use crate::fake::{Fake, success};

const GRAPH: &[u8] = b"{}";

#[tokio::test]
async fn a_waiting_prompt_is_removed_and_its_neighbour_stays() {
    let fake = Fake::start().await;
    fake.with(|queue| queue.running.push("foreign".to_owned()));
    let client = fake.client(|_| {});
    let id = Uuid::new_v4();
    let mut run = client.submit(id, GRAPH, &[]).await.unwrap();
    assert_eq!(run.next_event().await, Some(Event::Queued { position: 1 }));
    assert_eq!(client.cancel(id).await.unwrap(), CancelOutcome::Removed);
    assert!(matches!(run.outcome().await, Outcome::Cancelled));
    assert_eq!(fake.with(|queue| queue.running.clone()), ["foreign"]);
    assert!(fake.seen.borrow().commands.iter().all(|(route, _)| route == "queue"));
}

#[tokio::test]
async fn a_running_prompt_is_interrupted_by_its_id() {
    let fake = Fake::start().await;
    let client = fake.client(|_| {});
    let id = Uuid::new_v4();
    let run = client.submit(id, GRAPH, &[]).await.unwrap();
    assert_eq!(client.cancel(id).await.unwrap(), CancelOutcome::Interrupted);
    assert!(matches!(run.outcome().await, Outcome::Cancelled));
    assert_eq!(fake.seen.borrow().commands, [("interrupt".to_owned(), json!({"prompt_id": id.to_string()}))]);
    assert_eq!(client.cancel(id).await.unwrap(), CancelOutcome::Interrupted);
}

#[tokio::test]
async fn cancelling_what_is_over_unknown_or_deaf() {
    let fake = Fake::start().await;
    let client = fake.client(|config| config.cancel_timeout = Duration::from_millis(50));
    let id = Uuid::new_v4();
    assert_eq!(client.cancel(id).await.unwrap(), CancelOutcome::Unknown);
    fake.with(|queue| queue.finish(&id.to_string(), success()));
    assert_eq!(client.cancel(id).await.unwrap(), CancelOutcome::Finished);
    let deaf = Uuid::new_v4();
    fake.with(|queue| {
        queue.interruptible = false;
        queue.running.push(deaf.to_string());
    });
    assert_eq!(client.cancel(deaf).await.unwrap(), CancelOutcome::StillRunning);
}

#[tokio::test]
async fn a_zombie_is_noticed() {
    let fake = Fake::start().await;
    let client = fake.client(|config| config.stall_after = Some(Duration::from_millis(150)));
    let run = client.submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap();
    assert!(matches!(run.outcome().await, Outcome::Stalled));
}

#[tokio::test]
async fn a_restart_loses_the_prompt() {
    let fake = Fake::start().await;
    let run = fake.client(|_| {}).submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap();
    fake.with(|queue| queue.running.clear());
    fake.cut_sockets();
    assert!(matches!(run.outcome().await, Outcome::Lost));
}

#[tokio::test]
async fn answers_that_are_no_answers_make_it_unreachable() {
    let fake = Fake::start().await;
    let client = fake.client(|config| config.unreachable_after = Duration::from_millis(100));
    let run = client.submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap();
    fake.with(|queue| queue.broken = true);
    assert!(matches!(run.outcome().await, Outcome::Unreachable(_)));
}

#[tokio::test]
async fn a_history_with_nan_and_a_traceback() {
    let fake = Fake::start().await;
    let id = Uuid::new_v4();
    let run = fake.client(|_| {}).submit(id, GRAPH, &[]).await.unwrap();
    let error = json!({"node_id": "3", "node_type": "KSampler", "exception_type": "ValueError",
        "exception_message": "cannot read '/srv/comfy/x.png'\n", "traceback": ["File \"/srv/a.py\""],
        "current_inputs": {"x": ["<nan>"]}});
    let entry =
        json!({"outputs": {}, "status": {"status_str": "error", "messages": [["execution_error", error]]}});
    fake.finish(&id.to_string(), entry);
    let Outcome::Failed(error) = run.outcome().await else { panic!() };
    assert_eq!((error.node_id.as_str(), error.message.as_str()), ("3", "cannot read 'x.png'"));
}
