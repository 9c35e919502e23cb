//! Keys, what callers used, and how much they may have.

use std::sync::Arc;

use comfyport_store::{
    Options, Store,
    keys::NewKey,
    submit::{NewJob, Submitted},
    usage::Usage,
};

use crate::stage::{Plain, Stage, new_job, on_both, submit};

fn key(id: &str) -> NewKey {
    NewKey {
        id: id.to_owned(),
        name: "test".to_owned(),
        owner: "acme".to_owned(),
        digest: "d".to_owned(),
        grant: "{}".to_owned(),
        expires_at: Some(7),
    }
}

async fn keys_are_made_once_and_taken_back_once(stage: Stage) {
    let [store, other] = stage.open_two();
    let before = store.keys_version().await.unwrap();
    assert!(store.create_key(key("a")).await.unwrap());
    assert!(!store.create_key(NewKey { owner: "mallory".to_owned(), ..key("a") }).await.unwrap());
    let made = other.keys_version().await.unwrap();
    assert_ne!(made, before);
    let known = other.keys().await.unwrap();
    assert_eq!((known.len(), &known[0].key, known[0].revoked_at), (1, &key("a"), None));
    let at = stage.now();
    stage.pass(5);
    let revoked = store.revoke_key("a".to_owned()).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(at + 5));
    stage.pass(5);
    assert_eq!(other.revoke_key("a".to_owned()).await.unwrap(), Some(revoked));
    assert_ne!(other.keys_version().await.unwrap(), made);
    assert_eq!(store.revoke_key("b".to_owned()).await.unwrap(), None);
}

async fn secrets_are_shared(stage: Stage) {
    let [store, other] = stage.open_two();
    let mine = store.secret("links", "one".to_owned()).await.unwrap();
    assert_eq!(
        (mine.as_str(), other.secret("links", "two".to_owned()).await.unwrap().as_str()),
        ("one", "one")
    );
}

async fn usage_adds_up(stage: Stage) {
    let store = stage.open();
    let used = |subject: &str, day, amount| Usage {
        subject: subject.to_owned(),
        day,
        kind: "jobs".to_owned(),
        amount,
    };
    store.add_usage(vec![used("a", 1, 2), used("a", 2, 1), used("b", 1, 1)]).await.unwrap();
    store.add_usage(vec![used("a", 1, 3)]).await.unwrap();
    let all = store.usage(None, 0).await.unwrap();
    assert_eq!(all, [used("a", 1, 5), used("a", 2, 1), used("b", 1, 1)]);
    assert_eq!(store.usage(Some("a".to_owned()), 2).await.unwrap(), [used("a", 2, 1)]);
}

async fn an_owner_has_no_more_jobs_than_allowed(stage: Stage) {
    let store = stage.open();
    let limited = |owner: &str| NewJob { owner: owner.to_owned(), most_active: Some(3), ..new_job() };
    let first = submit(&store, limited("a")).await;
    let tries = (0..8).map(|_| {
        let (store, job) = (store.clone(), limited("a"));
        tokio::spawn(async move { store.submit(vec![job], None, None).await.unwrap() })
    });
    let mut accepted = 0;
    for one in tries.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Submitted::New(_) => accepted += 1,
            Submitted::TooMany => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 2);
    submit(&store, limited("b")).await;
    // What has ended does not count; a batch is counted whole.
    store.cancel(first.id).await.unwrap();
    let two = store.submit(vec![limited("a"), limited("a")], None, None).await.unwrap();
    assert!(matches!(two, Submitted::TooMany), "{two:?}");
    submit(&store, limited("a")).await;
}

on_both!(
    keys_are_made_once_and_taken_back_once,
    secrets_are_shared,
    usage_adds_up,
    an_owner_has_no_more_jobs_than_allowed,
);

#[tokio::test]
async fn keys_are_made_beside_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::Sqlite(folder.path().to_owned());
    let server = Store::open(&options, Arc::new(Plain), |_| {}).unwrap();
    let visitor = Store::visit(&options, Arc::new(Plain)).unwrap();
    assert!(visitor.create_key(key("a")).await.unwrap());
    assert_eq!(server.keys().await.unwrap().len(), 1);
    let job = submit(&server, new_job()).await;
    assert!(visitor.revoke_key("a".to_owned()).await.unwrap().is_some());
    drop((server, visitor));
    // Without a server it is as good as one, and makes what is missing.
    let alone = Store::visit(&options, Arc::new(Plain)).unwrap();
    assert!(alone.job(job.id).await.unwrap().is_some());
    let fresh = tempfile::tempdir().unwrap();
    let fresh = Store::visit(&Options::Sqlite(fresh.path().to_owned()), Arc::new(Plain)).unwrap();
    assert!(fresh.create_key(key("a")).await.unwrap());
}
