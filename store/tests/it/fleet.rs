//! Servers that come and go, and what they leave behind.

use comfyport_store::{Notice, fleet::Orphan};

use crate::stage::{Stage, job, new_job, on_both, running, submit};

async fn servers_that_live_count(stage: Stage) {
    let [store, other] = stage.open_two();
    let first = store.beat("a".to_owned(), "alpha".to_owned()).await.unwrap();
    assert_eq!((first.len(), first[0].beat, first[0].name.as_str()), (1, 1, "alpha"));
    assert_eq!(first[0].started_at, stage.now());
    stage.pass(1);
    let second = other.beat("b".to_owned(), "beta".to_owned()).await.unwrap();
    assert_eq!(second.iter().map(|server| server.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let beats = (0..10).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.beat("a".to_owned(), "alpha".to_owned()).await.unwrap() })
    });
    for beat in beats.collect::<Vec<_>>() {
        beat.await.unwrap();
    }
    assert_eq!(other.beat("b".to_owned(), "beta".to_owned()).await.unwrap()[0].beat, 11);
    other.forget_server("a".to_owned()).await.unwrap();
    stage.hear(Notice::Fleet).await;
    assert_eq!(store.beat("b".to_owned(), "beta".to_owned()).await.unwrap().len(), 1);
}

async fn jobs_of_a_dead_server_are_taken_over_by_one(stage: Stage) {
    let [store, other] = stage.open_two();
    for server in ["dead", "one", "two"] {
        store.beat(server.to_owned(), String::new()).await.unwrap();
    }
    let left = running(&store, new_job(), "dead").await;
    let kept = running(&store, new_job(), "one").await;
    store.cancel(left.id).await.unwrap();
    assert_eq!(store.orphans().await.unwrap(), []);
    store.forget_server("dead".to_owned()).await.unwrap();
    let orphan = Orphan { id: left.id, engine: Some("box".to_owned()), holder: Some("dead".to_owned()) };
    assert_eq!(store.orphans().await.unwrap(), std::slice::from_ref(&orphan));
    let (first, second) = tokio::join!(
        store.take_over(orphan.clone(), "one".to_owned()),
        other.take_over(orphan.clone(), "two".to_owned())
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.is_some() != second.is_some(), "{first:?} {second:?}");
    let new = first.or(second).unwrap();
    // The try and its prompt go on, the wish to cancel included; the number says whose it is.
    assert_eq!((new.fence, new.attempts, new.takeovers), (left.fence + 1, 1, 1));
    assert_eq!((new.prompt_id, new.cancel), (left.prompt_id, true));
    assert!(!store.submitted(left.id, left.fence).await.unwrap());
    assert!(store.submitted(new.id, new.fence).await.unwrap());
    assert_eq!(store.take_over(orphan, "one".to_owned()).await.unwrap(), None);
    assert_eq!(job(&store, kept.id).await, kept);
}

async fn handing_over_is_no_accident(stage: Stage) {
    let store = stage.open();
    store.beat("one".to_owned(), String::new()).await.unwrap();
    let left = running(&store, new_job(), "one").await;
    store.submitted(left.id, left.fence).await.unwrap();
    assert!(store.hand_over(left.id, left.fence).await.unwrap());
    stage.hear(Notice::Fleet).await;
    let orphans = store.orphans().await.unwrap();
    assert_eq!((orphans.len(), orphans[0].holder.as_deref()), (1, None));
    let new = store.take_over(orphans[0].clone(), "two".to_owned()).await.unwrap().unwrap();
    assert_eq!((new.takeovers, new.submitted, new.holder.as_deref()), (0, true, Some("two")));
    assert!(!store.hand_over(left.id, left.fence).await.unwrap());
}

async fn engines_stay_out_of_service(stage: Stage) {
    let [store, other] = stage.open_two();
    store.drain("box".to_owned(), true).await.unwrap();
    store.drain("a".to_owned(), true).await.unwrap();
    assert_eq!(other.drained().await.unwrap(), ["a", "box"]);
    store.drain("box".to_owned(), false).await.unwrap();
    // Taking jobs notes the engine, which changes nothing for operators.
    submit(&store, new_job()).await;
    crate::stage::claim(&store, "server").await;
    assert_eq!(other.drained().await.unwrap(), ["a"]);
}

on_both!(
    servers_that_live_count,
    jobs_of_a_dead_server_are_taken_over_by_one,
    handing_over_is_no_accident,
    engines_stay_out_of_service,
);
