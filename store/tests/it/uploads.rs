//! Files that callers refer to for a while.

use comfyport_store::{
    submit::NewJob,
    uploads::{Added, NewUpload, Quota, Upload},
};

use crate::stage::{Stage, new_job, on_both, submit};

const MUCH: Quota = Quota { files: 100, bytes: 1 << 40 };

fn upload(stage: &Stage, owner: &str, sha256: &str, size: u64) -> NewUpload {
    NewUpload {
        owner: owner.to_owned(),
        file: format!("{sha256}.png"),
        content_type: "image/png".to_owned(),
        size,
        sha256: sha256.to_owned(),
        dimensions: None,
        expires_at: stage.now() + 1000,
    }
}

fn new(added: Added) -> Upload {
    match added {
        Added::New(upload) => upload,
        other => panic!("{other:?}"),
    }
}

async fn an_upload_is_its_owners(stage: Stage) {
    let store = stage.open();
    let wide = NewUpload { dimensions: Some((30, 40)), ..upload(&stage, "ann", "aa", 1 << 33) };
    let kept = new(store.add_upload(wide.clone(), MUCH).await.unwrap());
    assert_eq!((kept.created_at, &kept.upload), (stage.now(), &wide));
    let of = async |owner: &str| store.upload(kept.id, owner.to_owned()).await.unwrap();
    assert_eq!(of("ann").await, Some(kept.clone()));
    assert_eq!((of("bob").await, of("").await), (None, None));
    assert!(!store.remove_upload(kept.id, "bob".to_owned()).await.unwrap());
    assert!(store.remove_upload(kept.id, "ann".to_owned()).await.unwrap());
    assert!(!store.remove_upload(kept.id, "ann".to_owned()).await.unwrap());
    assert_eq!(of("ann").await, None);
}

async fn the_same_content_is_the_same_upload(stage: Stage) {
    let store = stage.open();
    let first = new(store.add_upload(upload(&stage, "ann", "aa", 5), MUCH).await.unwrap());
    let others = new(store.add_upload(upload(&stage, "bob", "aa", 5), MUCH).await.unwrap());
    assert_ne!(first.id, others.id);
    stage.pass(500);
    // Even by somebody who may keep nothing more.
    let none = Quota { files: 0, bytes: 0 };
    let again = store.add_upload(upload(&stage, "ann", "aa", 5), none).await.unwrap();
    let Added::Again(again) = again else { panic!("{again:?}") };
    assert_eq!((again.id, again.upload.expires_at), (first.id, stage.now() + 1000));
    stage.pass(600);
    assert!(store.upload(first.id, "ann".to_owned()).await.unwrap().is_some());
    assert!(store.upload(others.id, "bob".to_owned()).await.unwrap().is_none());
}

async fn an_owner_keeps_so_much(stage: Stage) {
    let store = stage.open();
    let quota = Quota { files: 2, bytes: 100 };
    let add = async |owner: &str, sha: &str, size| {
        store.add_upload(upload(&stage, owner, sha, size), quota).await.unwrap()
    };
    assert_eq!(add("ann", "aa", 101).await, Added::Full);
    let first = new(add("ann", "bb", 60).await);
    assert_eq!(add("ann", "cc", 41).await, Added::Full);
    new(add("ann", "dd", 40).await);
    assert_eq!(add("ann", "ee", 0).await, Added::Full);
    new(add("bob", "ee", 100).await);
    store.remove_upload(first.id, "ann".to_owned()).await.unwrap();
    new(add("ann", "ee", 60).await);
    // What has expired does not count, swept or not.
    stage.pass(1000);
    new(add("ann", "ff", 100).await);
}

async fn what_is_uploaded_is_wanted_until_it_expires(stage: Stage) {
    let store = stage.open();
    let wanted = async |file: &str| store.is_wanted(file.to_owned()).await.unwrap();
    let there = async |file: &str| store.read_chunk(file.to_owned(), 0).await.unwrap().is_some();
    for file in ["aa", "bb"] {
        new(store.add_upload(upload(&stage, "ann", file, 3), MUCH).await.unwrap());
        store.write_chunk(format!("{file}.png"), 0, vec![1, 2, 3]).await.unwrap();
    }
    submit(&store, NewJob { inputs: vec!["bb.png".to_owned()], ..new_job() }).await;
    assert!(wanted("aa.png").await && wanted("bb.png").await && !wanted("cc.png").await);
    assert_eq!(store.expire_uploads(9).await.unwrap(), 0);
    stage.pass(999);
    assert_eq!(store.sweep_chunks(stage.now(), 9).await.unwrap(), 0);
    stage.pass(1);
    assert_eq!(store.expire_uploads(1).await.unwrap(), 1);
    assert_eq!(store.expire_uploads(9).await.unwrap(), 1);
    assert!(!wanted("aa.png").await && wanted("bb.png").await, "a job refers to it still");
    // Who is about to refer to a file again is not left without.
    assert_eq!(store.renew_chunks("aa.png".to_owned()).await.unwrap(), Some(3));
    assert_eq!(store.renew_chunks("cc.png".to_owned()).await.unwrap(), None);
    assert_eq!(store.sweep_chunks(stage.now(), 9).await.unwrap(), 0);
    assert_eq!(store.sweep_chunks(stage.now() + 1, 9).await.unwrap(), 1);
    assert!(!there("aa.png").await && there("bb.png").await);
}

on_both!(
    an_upload_is_its_owners,
    the_same_content_is_the_same_upload,
    an_owner_keeps_so_much,
    what_is_uploaded_is_wanted_until_it_expires,
);
