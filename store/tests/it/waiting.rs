//! Jobs that wait until something is there.

use comfyport_store::{State, submit::NewJob};

use crate::stage::{Stage, assignment, job, kinds, lane_of, new_job, on_both, submit};

async fn what_is_waited_for_is_noted_once_and_forgotten_when_it_runs(stage: Stage) {
    let store = stage.open();
    let of = |need: &str| NewJob { need: (need.to_owned(), "{}".to_owned()), ..new_job() };
    let (one, two) = (submit(&store, of("x")).await, submit(&store, of("x")).await);
    let other = submit(&store, of("y")).await;
    let wait = async |what: &str| store.wait_for("x".to_owned(), what.to_owned()).await.unwrap();
    assert_eq!(wait("{\"a\":1}").await, [one.id, two.id]);
    assert!(wait("{\"a\":1}").await.is_empty());
    assert_eq!(wait("{\"a\":2}").await, [one.id, two.id]);
    assert_eq!(kinds(&store, one.id).await, ["queued", "waiting", "waiting"]);
    assert_eq!(job(&store, one.id).await.progress.as_deref(), Some("{\"a\":2}"));
    assert_eq!(
        (job(&store, other.id).await, kinds(&store, other.id).await),
        (other, vec!["queued".to_owned()])
    );
    let wanted = vec![assignment(lane_of(&one), "box", 9)];
    let taken = store.claim(wanted, "server".to_owned()).await.unwrap().remove(0);
    assert_eq!((taken.id, taken.state, taken.progress), (one.id, State::Running, None));
    assert_eq!(wait("{\"a\":3}").await, [two.id], "what runs waits for nothing");
}

async fn those_who_wait_for_what_does_not_come_fail_and_no_others(stage: Stage) {
    let store = stage.open();
    let (first, second) = (submit(&store, new_job()).await, submit(&store, new_job()).await);
    let need = first.need.clone();
    store.wait_for(need.clone(), "{\"a\":1}".to_owned()).await.unwrap();
    store.cancel(second.id).await.unwrap();
    let late = submit(&store, new_job()).await;
    let fail = async |what: &str| {
        let failed =
            store.fail_waiting(need.clone(), what.to_owned(), "{\"why\":1}".to_owned()).await.unwrap();
        failed.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert!(fail("{\"a\":2}").await.is_empty());
    assert_eq!(fail("{\"a\":1}").await, [first.id]);
    assert!(fail("{\"a\":1}").await.is_empty());
    let failed = job(&store, first.id).await;
    assert_eq!((failed.state, failed.problem.as_deref()), (State::Failed, Some("{\"why\":1}")));
    assert_eq!(failed.ended_at, Some(stage.now()));
    assert_eq!(kinds(&store, first.id).await, ["queued", "waiting", "failed"]);
    assert_eq!(job(&store, second.id).await.state, State::Cancelled);
    assert_eq!(job(&store, late.id).await.state, State::Queued);
}

on_both!(
    what_is_waited_for_is_noted_once_and_forgotten_when_it_runs,
    those_who_wait_for_what_does_not_come_fail_and_no_others,
);
