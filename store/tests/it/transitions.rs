//! What becomes of running jobs, and who may say so.

use comfyport_store::{
    Job, Notice, State, Store,
    artifacts::NewArtifact,
    submit::NewJob,
    transition::{Cancelled, Ending, Return},
};
use uuid::Uuid;

use crate::stage::{Stage, assignment, claim, job, kinds, lane, new_job, on_both, running, submit, success};

pub(crate) fn retry() -> Return {
    Return { counts: true, crashed: false, pause: None, avoid: None, reason: "engine_lost".to_owned() }
}

fn artifact() -> NewArtifact {
    NewArtifact {
        output: "image".to_owned(),
        position: 0,
        file: "late.png".to_owned(),
        content_type: "image/png".to_owned(),
        filename: "a.png".to_owned(),
        size: 5,
        sha256: "00".to_owned(),
        dimensions: Some((1, 2)),
    }
}

async fn a_job_ends_once(stage: Stage) {
    let store = stage.open();
    let taken = running(&store, new_job(), "server").await;
    stage.pass(5);
    let ending = Ending { artifacts: vec![artifact()], ..success() };
    let ended = store.finish(taken.id, taken.fence, ending.clone()).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.ended_at, ended.holder.as_deref()),
        (State::Succeeded, Some(stage.now()), None)
    );
    assert_eq!((ended.result.as_deref(), ended.engine.as_deref()), (Some("{\"image\":1}"), Some("box")));
    assert_eq!(job(&store, taken.id).await, ended);
    assert_eq!(store.artifacts(taken.id).await.unwrap()[0].file, artifact());
    assert_eq!(store.finish(taken.id, taken.fence, ending).await.unwrap(), None);
    assert_eq!(store.give_back(taken.id, taken.fence, retry()).await.unwrap(), None);
    assert_eq!(kinds(&store, taken.id).await, ["queued", "running", "succeeded"]);
}

/// Everything somebody may still try who has lost a job. Nothing of it changes anything.
async fn try_late(store: &Store, id: Uuid, fence: i64) {
    let before = (job(store, id).await, kinds(store, id).await);
    let ending = Ending { artifacts: vec![artifact()], ..success() };
    assert_eq!(store.finish(id, fence, ending).await.unwrap(), None);
    assert_eq!(store.give_back(id, fence, retry()).await.unwrap(), None);
    assert!(!store.progressed(id, fence, "{}".to_owned()).await.unwrap());
    assert!(!store.submitted(id, fence).await.unwrap());
    assert!(!store.hand_over(id, fence).await.unwrap());
    for server in ["server", "other"] {
        assert!(!store.held(server.to_owned()).await.unwrap().contains(&(id, fence)));
    }
    assert_eq!((job(store, id).await, kinds(store, id).await), before);
    assert_eq!(store.artifacts(id).await.unwrap(), []);
}

async fn whoever_comes_late_changes_nothing(stage: Stage) {
    let store = stage.open();
    let first = running(&store, new_job(), "server").await;
    store.give_back(first.id, first.fence, retry()).await.unwrap().unwrap();
    try_late(&store, first.id, first.fence).await;
    let second = claim(&store, "other").await;
    assert_eq!((second.id, second.fence), (first.id, first.fence + 1));
    try_late(&store, first.id, first.fence).await;
    assert_eq!(store.held("other".to_owned()).await.unwrap(), [(second.id, second.fence)].into());
    store.finish(second.id, second.fence, success()).await.unwrap().unwrap();
    try_late(&store, first.id, first.fence).await;
    try_late(&store, second.id, second.fence).await;
    assert_eq!(store.finish(Uuid::new_v4(), 1, success()).await.unwrap(), None);
}

async fn progress_is_an_event(stage: Stage) {
    let store = stage.open();
    let taken = running(&store, new_job(), "server").await;
    assert!(store.submitted(taken.id, taken.fence).await.unwrap());
    for step in 1..=3 {
        assert!(store.progressed(taken.id, taken.fence, format!("{{\"step\":{step}}}")).await.unwrap());
    }
    let now = job(&store, taken.id).await;
    assert_eq!((now.progress.as_deref(), now.submitted, now.events), (Some("{\"step\":3}"), true, 5));
    let (_, later) = store.events(taken.id, 3).await.unwrap().unwrap();
    assert_eq!(
        later.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(),
        ["{\"step\":2}", "{\"step\":3}"]
    );
    assert!(store.events(Uuid::new_v4(), 0).await.unwrap().is_none());
}

/// Progress of the holder and wishes of others number their events one after another.
async fn events_have_no_gaps_when_many_write(stage: Stage) {
    let stores = stage.open_two();
    let taken = running(&stores[0], new_job(), "server").await;
    let mut tries = Vec::new();
    for number in 0..24_usize {
        let (store, id, fence) = (stores[number % 2].clone(), taken.id, taken.fence);
        tries.push(tokio::spawn(
            async move { store.progressed(id, fence, format!("{number}")).await.unwrap() },
        ));
    }
    for one in tries {
        assert!(one.await.unwrap());
    }
    assert_eq!(kinds(&stores[1], taken.id).await.len(), 26);
}

async fn a_return_waits_and_avoids(stage: Stage) {
    let store = stage.open();
    let taken = running(&store, new_job(), "server").await;
    store.progressed(taken.id, taken.fence, "{}".to_owned()).await.unwrap();
    let why = Return { pause: Some(100), crashed: true, avoid: Some("box".to_owned()), ..retry() };
    let back = store.give_back(taken.id, taken.fence, why).await.unwrap().unwrap();
    assert_eq!((back.state, back.holder.as_deref(), back.progress.as_deref()), (State::Queued, None, None));
    assert_eq!((back.run_after, back.avoid.as_deref()), (Some(stage.now() + 100), Some("box")));
    assert_eq!((back.attempts, back.crashes), (1, 1));
    // It stands in no lane until its pause is over.
    assert_eq!(store.heads(None, 9).await.unwrap(), []);
    assert_eq!(store.wake().await.unwrap(), Some(stage.now() + 100));
    stage.pass(99);
    store.wake().await.unwrap();
    assert!(store.claim(vec![assignment(lane(), "box", 9)], "server".to_owned()).await.unwrap().is_empty());
    stage.deafen();
    stage.pass(1);
    assert_eq!(store.wake().await.unwrap(), None);
    stage.hear(Notice::Queue).await;
    assert_eq!(store.heads(None, 9).await.unwrap()[0].avoid.as_deref(), Some("box"));
    let again = claim(&store, "server").await;
    assert_eq!((again.id, again.attempts, again.run_after), (taken.id, 2, None));
    // A try that does not count is none.
    let why = Return { counts: false, ..retry() };
    let back = store.give_back(again.id, again.fence, why).await.unwrap().unwrap();
    assert_eq!((back.attempts, back.crashes), (1, 1));
    let wanted = ["queued", "running", "progress", "retrying", "running", "retrying"];
    assert_eq!(kinds(&store, taken.id).await, wanted);
}

async fn cancel_in_every_state(stage: Stage) {
    let store = stage.open();
    assert!(matches!(store.cancel(Uuid::new_v4()).await.unwrap(), Cancelled::Unknown));
    let waiting = submit(&store, new_job()).await;
    let Cancelled::Now(ended) = store.cancel(waiting.id).await.unwrap() else { panic!("it waited") };
    assert_eq!((ended.state, ended.ended_at), (State::Cancelled, Some(stage.now())));
    assert!(matches!(store.cancel(waiting.id).await.unwrap(), Cancelled::Before(_)));
    assert_eq!(kinds(&store, waiting.id).await, ["queued", "cancelled"]);
    assert_eq!(store.heads(None, 9).await.unwrap(), []);

    let taken = running(&store, new_job(), "server").await;
    let Cancelled::Told(told) = store.cancel(taken.id).await.unwrap() else { panic!("it runs") };
    assert!(told.cancel && told.state == State::Running);
    stage.hear(Notice::Cancel(taken.id)).await;
    assert_eq!(store.cancellations("server".to_owned()).await.unwrap(), [taken.id]);
    assert_eq!(store.cancellations("other".to_owned()).await.unwrap(), [] as [Uuid; 0]);
    let ending = Ending { state: State::Cancelled, result: None, ..success() };
    store.finish(taken.id, taken.fence, ending).await.unwrap().unwrap();
    assert!(matches!(store.cancel(taken.id).await.unwrap(), Cancelled::Before(_)));
    assert_eq!(store.cancellations("server".to_owned()).await.unwrap(), [] as [Uuid; 0]);

    let done = running(&store, new_job(), "server").await;
    store.finish(done.id, done.fence, success()).await.unwrap().unwrap();
    assert!(matches!(store.cancel(done.id).await.unwrap(), Cancelled::TooLate(_)));
    assert_eq!(job(&store, done.id).await.state, State::Succeeded);
}

/// A job that is to be cancelled does not go back into the queue to wait for an engine.
async fn what_is_to_be_cancelled_does_not_come_back(stage: Stage) {
    let store = stage.open();
    let taken = running(&store, new_job(), "server").await;
    assert!(matches!(store.cancel(taken.id).await.unwrap(), Cancelled::Told(_)));
    let back = store.give_back(taken.id, taken.fence, retry()).await.unwrap().unwrap();
    assert_eq!((back.state, back.ended_at, back.cancel), (State::Cancelled, Some(stage.now()), false));
    assert_eq!(job(&store, taken.id).await, back);
    assert_eq!(store.heads(None, 9).await.unwrap(), []);
    assert_eq!(kinds(&store, taken.id).await.last().map(String::as_str), Some("cancelled"));
}

/// Whoever takes the job and whoever cancels it: the wish is either granted at once or told to the holder.
async fn claiming_and_cancelling_race(stage: Stage) {
    let [store, other] = stage.open_two();
    for _ in 0..20 {
        let one = submit(&store, new_job()).await;
        let (taken, cancelled) = tokio::join!(
            store.claim(vec![assignment(lane(), "box", 1000)], "server".to_owned()),
            other.cancel(one.id)
        );
        let (taken, now) = (taken.unwrap(), job(&store, one.id).await);
        match cancelled.unwrap() {
            Cancelled::Now(_) => {
                assert!(taken.is_empty() && now.state == State::Cancelled, "{taken:?} {now:?}");
            }
            Cancelled::Told(_) => {
                assert!(taken.len() == 1 && now.cancel, "{taken:?} {now:?}");
                store.finish(one.id, now.fence, success()).await.unwrap().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn finishing_and_cancelling_race(stage: Stage) {
    let [store, other] = stage.open_two();
    for _ in 0..20 {
        let taken = running(&store, new_job(), "server").await;
        let (finished, cancelled, again) = tokio::join!(
            store.finish(taken.id, taken.fence, success()),
            other.cancel(taken.id),
            other.give_back(taken.id, taken.fence, retry())
        );
        let (finished, returned): (Option<Job>, Option<Job>) = (finished.unwrap(), again.unwrap());
        assert_eq!(usize::from(finished.is_some()) + usize::from(returned.is_some()), 1);
        let (now, cancelled) = (job(&store, taken.id).await, cancelled.unwrap());
        if finished.is_some() {
            assert_eq!(now.state, State::Succeeded);
            assert!(matches!(cancelled, Cancelled::Told(_) | Cancelled::TooLate(_)), "{cancelled:?}");
        } else {
            // Told before the return, or found in the queue after it.
            assert_eq!(now.state, State::Cancelled, "{cancelled:?}");
        }
        kinds(&store, taken.id).await;
    }
}

async fn what_waits_too_long_expires(stage: Stage) {
    let store = stage.open();
    let until = |deadline| NewJob { deadline: Some(deadline), ..new_job() };
    let now = stage.now();
    let taken = running(&store, until(now + 10), "server").await;
    let late = submit(&store, until(now + 10)).await;
    let later = submit(&store, until(now + 10)).await;
    let patient = submit(&store, until(now + 11)).await;
    submit(&store, new_job()).await;
    stage.pass(9);
    assert_eq!(store.expire(100).await.unwrap().len(), 0);
    stage.pass(1);
    assert_eq!(store.expire(1).await.unwrap().len(), 1);
    assert_eq!(store.expire(100).await.unwrap().len(), 1);
    assert_eq!(store.expire(100).await.unwrap().len(), 0);
    for id in [late.id, later.id] {
        assert_eq!(job(&store, id).await.state, State::Expired);
        assert_eq!(kinds(&store, id).await, ["queued", "expired"]);
    }
    assert_eq!(job(&store, patient.id).await.state, State::Queued);
    assert_eq!(job(&store, taken.id).await.state, State::Running);
    assert!(matches!(store.cancel(late.id).await.unwrap(), Cancelled::TooLate(_)));
}

on_both!(
    a_job_ends_once,
    whoever_comes_late_changes_nothing,
    progress_is_an_event,
    events_have_no_gaps_when_many_write,
    a_return_waits_and_avoids,
    cancel_in_every_state,
    what_is_to_be_cancelled_does_not_come_back,
    claiming_and_cancelling_race,
    finishing_and_cancelling_race,
    what_waits_too_long_expires,
);
