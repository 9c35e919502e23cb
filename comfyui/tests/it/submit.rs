//! Submissions and the answers they get.

use comfyport_comfyui::{Outcome, SubmitError};
use uuid::Uuid;

use crate::fake::{Fake, Post, success};

const GRAPH: &[u8] = br#"{"9":{"class_type":"SaveImage","inputs":{}}}"#;

#[tokio::test]
async fn a_prompt_whose_answer_is_lost_runs_once() {
    for post in [Post::AcceptThenCut, Post::AcceptThenHtml500] {
        let fake = Fake::start().await;
        fake.with(|queue| queue.post = post);
        let id = Uuid::new_v4();
        let run = fake.client(|_| {}).submit(id, GRAPH, &[]).await.unwrap();
        fake.finish(&id.to_string(), success());
        assert!(matches!(run.outcome().await, Outcome::Succeeded { .. }));
        assert_eq!(fake.seen.borrow().prompts.len(), 1);
    }
}

#[tokio::test]
async fn a_prompt_that_never_landed_is_reported_as_such() {
    for post in [Post::CutOnly, Post::Html500] {
        let fake = Fake::start().await;
        fake.with(|queue| queue.post = post);
        let error = fake.client(|_| {}).submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap_err();
        assert!(matches!(error, SubmitError::NotAccepted(_)), "{error:?}");
        assert_eq!(fake.seen.borrow().prompts.len(), 1);
    }
}

#[tokio::test]
async fn absence_is_not_concluded_from_lookups_that_failed() {
    let fake = Fake::start().await;
    fake.with(|queue| (queue.post, queue.broken) = (Post::AcceptThenCut, true));
    let error = fake.client(|_| {}).submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut config = comfyport_comfyui::ClientConfig::new(url.parse().unwrap());
    config.socket_wait = std::time::Duration::from_millis(10);
    let client = comfyport_comfyui::Client::new(config).unwrap();
    let error = client.submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_rejection_is_read_in_full() {
    let fake = Fake::start().await;
    fake.with(|queue| queue.post = Post::Reject);
    let error = fake.client(|_| {}).submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap_err();
    let SubmitError::Rejected(rejection) = error else { panic!("{error:?}") };
    assert_eq!(rejection.error.kind, "prompt_outputs_failed_validation");
    assert_eq!(rejection.node_errors[0].errors[0].input_name.as_deref(), Some("width"));
}

#[tokio::test]
async fn a_prompt_accepted_in_part_is_cancelled() {
    for busy in [false, true] {
        let fake = Fake::start().await;
        fake.with(|queue| {
            queue.post = Post::AcceptPartly;
            queue.running.extend(busy.then(|| "foreign".to_owned()));
        });
        let error = fake.client(|_| {}).submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap_err();
        let SubmitError::Rejected(rejection) = error else { panic!("{error:?}") };
        assert_eq!(rejection.node_errors[0].node_id, "1");
        let left = fake.with(|queue| (queue.running.clone(), queue.pending.clone()));
        assert_eq!(left, (if busy { vec!["foreign".to_owned()] } else { vec![] }, vec![]));
    }
}

#[tokio::test]
async fn a_fully_cached_run_needs_no_events() {
    let fake = Fake::start().await;
    fake.with(|queue| queue.post = Post::Finish);
    let run = fake.client(|_| {}).submit(Uuid::new_v4(), GRAPH, &[]).await.unwrap();
    let Outcome::Succeeded { outputs, timing, .. } = run.outcome().await else { panic!() };
    assert_eq!(outputs["9"].items.len(), 1);
    assert_eq!(timing.finished_ms, Some(5));
}
