//! Prompts that a process which ended, or a lost answer, left behind.

use comfyport_comfyui::{ClientError, Event, Outcome};
use serde_json::json;
use uuid::Uuid;

use crate::fake::{Fake, interrupted, success};

#[tokio::test]
async fn a_waiting_prompt_is_followed_to_its_end() {
    let fake = Fake::start().await;
    let id = Uuid::new_v4();
    fake.with(|queue| {
        queue.running.push("foreign".to_owned());
        queue.pending.push(id.to_string());
    });
    let mut run = fake.client(|_| {}).adopt(id, &[]).await.unwrap().unwrap();
    assert_eq!(run.prompt_id(), id);
    assert_eq!(run.next_event().await, Some(Event::Unknown));
    assert_eq!(run.next_event().await, Some(Event::Queued { position: 1 }));
    fake.with(|queue| queue.finish(&id.to_string(), success()));
    assert!(matches!(run.outcome().await, Outcome::Succeeded { .. }));
    assert!(fake.seen.borrow().prompts.is_empty() && fake.seen.borrow().commands.is_empty());
}

#[tokio::test]
async fn a_running_prompt_is_followed_and_events_that_come_are_its_own() {
    let fake = Fake::start().await;
    let client = fake.client(|_| {});
    // The answer to its submission was lost; the socket is still the one that it was sent with.
    let id = Uuid::new_v4();
    drop(client.submit(id, b"{}", &[]).await.unwrap());
    let mut run = client.adopt(id, &[]).await.unwrap().unwrap();
    fake.emit("executing", &json!({"node": "3", "display_node": "3", "prompt_id": id.to_string()}));
    while let Some(event) = run.next_event().await {
        if event == (Event::Executing { node: "3".to_owned() }) {
            fake.finish(&id.to_string(), success());
        }
    }
    assert!(matches!(run.outcome().await, Outcome::Succeeded { .. }));
    assert_eq!(fake.seen.borrow().prompts.len(), 1);
}

#[tokio::test]
async fn what_has_ended_is_told_at_once() {
    let fake = Fake::start().await;
    let client = fake.client(|config| config.poll_min = std::time::Duration::from_hours(1));
    for (entry, succeeded) in [(success(), true), (interrupted(), false)] {
        let id = Uuid::new_v4();
        fake.with(|queue| queue.finish(&id.to_string(), entry));
        let run = client.adopt(id, &[]).await.unwrap().unwrap();
        let outcome = run.outcome().await;
        assert_eq!(matches!(outcome, Outcome::Succeeded { .. }), succeeded, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Cancelled), !succeeded, "{outcome:?}");
    }
}

#[tokio::test]
async fn pictures_that_went_over_another_socket_are_missing() {
    let fake = Fake::start().await;
    let id = Uuid::new_v4();
    fake.with(|queue| queue.finish(&id.to_string(), success()));
    let run = fake.client(|_| {}).adopt(id, &["7".to_owned()]).await.unwrap().unwrap();
    let Outcome::Succeeded { missing, .. } = run.outcome().await else { panic!() };
    assert_eq!(missing, ["7"]);
}

#[tokio::test]
async fn what_nobody_knows_is_looked_for_more_than_once() {
    let fake = Fake::start().await;
    let client = fake.client(|config| config.lookups = 3);
    assert!(client.adopt(Uuid::new_v4(), &[]).await.unwrap().is_none());
    assert_eq!(fake.seen.borrow().looks, 3);
    fake.with(|queue| queue.broken = true);
    let error = client.adopt(Uuid::new_v4(), &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Status { status: 500, .. }), "{error:?}");
}

#[tokio::test]
async fn a_restart_meanwhile_loses_it() {
    let fake = Fake::start().await;
    let id = Uuid::new_v4();
    fake.with(|queue| queue.running.push(id.to_string()));
    let client = fake.client(|_| {});
    let run = client.adopt(id, &[]).await.unwrap().unwrap();
    fake.with(|queue| queue.running.clear());
    assert!(matches!(run.outcome().await, Outcome::Lost));
    assert!(client.adopt(id, &[]).await.unwrap().is_none());
}
