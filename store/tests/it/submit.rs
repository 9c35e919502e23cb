//! Accepting jobs.

use comfyport_store::{
    Notice, State,
    submit::{Idempotency, NewJob, Submitted},
};
use uuid::Uuid;

use crate::stage::{self, Stage, job, kinds, new_job, on_both};

fn named(key: &str, fingerprint: &str, expires_at: i64) -> Idempotency {
    Idempotency {
        scope: "caller".to_owned(),
        key: key.to_owned(),
        fingerprint: fingerprint.to_owned(),
        expires_at,
    }
}

async fn what_is_accepted_is_kept(stage: Stage) {
    let store = stage.open();
    let new = NewJob {
        owner: "me".to_owned(),
        priority: 7,
        tags: vec!["b".to_owned(), "a".to_owned(), "a".to_owned()],
        deadline: Some(2_000_000),
        cache_key: Some("same".to_owned()),
        inputs: vec!["in.png".to_owned(), "in.png".to_owned()],
        request: "{\"prompt\":\"日本 🐈 ' \\u0000\"}".to_owned(),
        ..new_job()
    };
    let accepted = stage::submit(&store, new.clone()).await;
    assert_eq!(accepted, job(&store, new.id).await);
    assert_eq!((accepted.state, accepted.priority, accepted.owner.as_str()), (State::Queued, 7, "me"));
    assert_eq!((accepted.request.as_str(), accepted.options.as_str()), (new.request.as_str(), "{}"));
    assert_eq!((accepted.created_at, accepted.deadline), (stage.now(), Some(2_000_000)));
    assert_eq!((accepted.fence, accepted.attempts, accepted.max_attempts), (0, 0, 3));
    assert_eq!(store.tags(&accepted).await.unwrap(), ["a", "b"]);
    assert_eq!(store.need("gpu".to_owned()).await.unwrap().as_deref(), Some("{\"vram\":8}"));
    assert_eq!(store.need("none".to_owned()).await.unwrap(), None);
    assert!(store.is_wanted("in.png".to_owned()).await.unwrap());
    assert_eq!(kinds(&store, new.id).await, ["queued"]);
    assert_eq!(store.job(Uuid::new_v4()).await.unwrap(), None);
    stage.hear(Notice::Queue).await;
    stage.hear(Notice::Job(new.id)).await;
}

async fn jobs_outlive_the_store(stage: Stage) {
    let accepted = stage::submit(&stage.open(), new_job()).await;
    assert_eq!(job(&stage.open(), accepted.id).await, accepted);
}

async fn all_jobs_of_a_request_are_accepted_or_none(stage: Stage) {
    let store = stage.open();
    let (first, second) = (new_job(), new_job());
    // The second has the id of a job that is there: a fault of whoever chose it.
    stage::submit(&store, second.clone()).await;
    store.submit(vec![first.clone(), second], None, None).await.unwrap_err();
    assert_eq!(store.job(first.id).await.unwrap(), None);
}

async fn a_key_leads_to_one_job(stage: Stage) {
    let [store, other] = stage.open_two();
    let mut tries = Vec::new();
    for number in 0..50 {
        let store = if number % 2 == 0 { store.clone() } else { other.clone() };
        let (job, key) = (new_job(), Some(named("k", "same", 2_000_000)));
        tries.push(tokio::spawn(async move { store.submit(vec![job], None, key).await.unwrap() }));
    }
    let (mut new, mut replayed) = (Vec::new(), Vec::new());
    for answer in tries {
        match answer.await.unwrap() {
            Submitted::New(jobs) => new.extend(jobs.into_iter().map(|job| job.id)),
            Submitted::Replay(id) => replayed.push(id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new.len(), replayed.len()), (1, 49));
    assert!(replayed.iter().all(|id| *id == new[0]));
    assert_eq!(store.list(comfyport_store::list::Filter::default(), 100).await.unwrap().len(), 1);
}

async fn a_key_belongs_to_what_was_asked_for(stage: Stage) {
    let store = stage.open();
    let first = new_job();
    let answer = store.submit(vec![first.clone()], None, Some(named("k", "one", 1_500_000))).await.unwrap();
    assert!(matches!(answer, Submitted::New(_)));
    let remembered = store.remembered("caller".to_owned(), "k".to_owned()).await.unwrap();
    assert_eq!(remembered, Some(("one".to_owned(), first.id)));
    let other = store.submit(vec![new_job()], None, Some(named("k", "two", 1_500_000))).await.unwrap();
    assert!(matches!(other, Submitted::Mismatch), "{other:?}");
    let again = store.submit(vec![new_job()], None, Some(named("k", "one", 1_500_000))).await.unwrap();
    assert!(matches!(again, Submitted::Replay(id) if id == first.id), "{again:?}");
    let elsewhere = Idempotency { scope: "other".to_owned(), ..named("k", "two", 1_500_000) };
    let elsewhere = store.submit(vec![new_job()], None, Some(elsewhere)).await.unwrap();
    assert!(matches!(elsewhere, Submitted::New(_)), "{elsewhere:?}");
}

async fn a_key_is_forgotten_in_time(stage: Stage) {
    let store = stage.open();
    store.submit(vec![new_job()], None, Some(named("k", "one", stage.now() + 10))).await.unwrap();
    stage.pass(9);
    let again = store.submit(vec![new_job()], None, Some(named("k", "one", stage.now() + 10))).await.unwrap();
    assert!(matches!(again, Submitted::Replay(_)), "{again:?}");
    stage.pass(1);
    assert_eq!(store.remembered("caller".to_owned(), "k".to_owned()).await.unwrap(), None);
    let later =
        store.submit(vec![new_job()], None, Some(named("k", "other", stage.now() + 10))).await.unwrap();
    assert!(matches!(later, Submitted::New(_)), "{later:?}");
}

on_both!(
    what_is_accepted_is_kept,
    jobs_outlive_the_store,
    all_jobs_of_a_request_are_accepted_or_none,
    a_key_leads_to_one_job,
    a_key_belongs_to_what_was_asked_for,
    a_key_is_forgotten_in_time,
);
