//! Output files, input files, and letting go of what is old.

use comfyport_store::{
    Job, Store,
    artifacts::NewArtifact,
    batches::NewBatch,
    retention::{Limits, Swept},
    submit::NewJob,
    transition::Ending,
};
use uuid::Uuid;

use crate::stage::{Stage, job, new_job, on_both, running, submit, success, watched_job};

fn artifact(output: &str, position: u32, file: &str, size: u64) -> NewArtifact {
    NewArtifact {
        output: output.to_owned(),
        position,
        file: file.to_owned(),
        content_type: "image/png".to_owned(),
        filename: "a \"b\".png".to_owned(),
        size,
        sha256: "ab".to_owned(),
        dimensions: None,
    }
}

async fn ended(store: &Store, new: NewJob, artifacts: Vec<NewArtifact>) -> Job {
    let taken = running(store, new, "server").await;
    store.finish(taken.id, taken.fence, Ending { artifacts, ..success() }).await.unwrap().unwrap()
}

const KEEP: Limits = Limits { jobs_before: 0, artifacts_before: 0, artifact_bytes: u64::MAX, at_once: 100 };

async fn files_are_remembered_with_their_job(stage: Stage) {
    let store = stage.open();
    let wide = NewArtifact { dimensions: Some((3, 4)), ..artifact("image", 1, "two", 1 << 40) };
    let all = vec![wide.clone(), artifact("image", 0, "one", 5), artifact("audio", 0, "three", 6)];
    let done = ended(&store, new_job(), all).await;
    let kept = store.artifacts(done.id).await.unwrap();
    let named: Vec<_> = kept.iter().map(|one| one.file.file.as_str()).collect();
    assert_eq!(named, ["three", "one", "two"]);
    let one = store.artifact(done.id, "image".to_owned(), 1).await.unwrap().unwrap();
    assert_eq!((one.job, one.created_at, one.file), (done.id, stage.now(), wide));
    assert_eq!(store.artifact(done.id, "image".to_owned(), 2).await.unwrap(), None);
    assert!(store.is_wanted("one".to_owned()).await.unwrap());
    assert!(!store.is_wanted("none".to_owned()).await.unwrap());
}

async fn files_are_kept_in_pieces(stage: Stage) {
    let store = stage.open();
    let piece = |number: u8| vec![number, 0, 255, b'\''];
    for number in 0..3_u8 {
        store.write_chunk("f".to_owned(), number.into(), piece(number)).await.unwrap();
    }
    // A second try with the same piece is the same piece.
    store.write_chunk("f".to_owned(), 1, piece(1)).await.unwrap();
    for number in 0..3_u8 {
        assert_eq!(store.read_chunk("f".to_owned(), number.into()).await.unwrap(), Some(piece(number)));
    }
    assert_eq!(store.read_chunk("f".to_owned(), 3).await.unwrap(), None);
    store.write_chunk("empty".to_owned(), 0, Vec::new()).await.unwrap();
    assert_eq!(store.read_chunk("empty".to_owned(), 0).await.unwrap(), Some(Vec::new()));
}

async fn what_was_yielded_is_erased_once(stage: Stage) {
    let store = stage.open();
    let cached = NewJob { cache_key: Some("same".to_owned()), ..new_job() };
    let done = ended(&store, cached, vec![artifact("image", 0, "one", 5)]).await;
    store.write_chunk("one".to_owned(), 0, vec![1]).await.unwrap();
    assert!(store.cached("same".to_owned(), 0).await.unwrap().is_some());
    let erase = async || store.erase_outputs(done.id, "{}".to_owned()).await.unwrap();
    assert_eq!(erase().await, Some(vec!["one".to_owned()]));
    assert_eq!(erase().await, Some(Vec::new()));
    assert_eq!(store.artifacts(done.id).await.unwrap(), []);
    assert_eq!(store.read_chunk("one".to_owned(), 0).await.unwrap(), None);
    assert_eq!(job(&store, done.id).await.result.as_deref(), Some("{}"));
    assert!(store.cached("same".to_owned(), 0).await.unwrap().is_none());
    let waiting = submit(&store, new_job()).await;
    assert_eq!(store.erase_outputs(waiting.id, "{}".to_owned()).await.unwrap(), None);
}

async fn pieces_that_nothing_refers_to_go(stage: Stage) {
    let store = stage.open();
    let there = async |file: &str| store.read_chunk(file.to_owned(), 0).await.unwrap().is_some();
    submit(&store, NewJob { inputs: vec!["input".to_owned()], ..new_job() }).await;
    for (file, number) in [("input", 0), ("stray", 0), ("stray", 1), ("again", 0)] {
        store.write_chunk(file.to_owned(), number, vec![1]).await.unwrap();
    }
    let written = stage.now();
    assert_eq!(store.sweep_chunks(written, 9).await.unwrap(), 0);
    stage.pass(100);
    store.write_chunk("again".to_owned(), 0, vec![1]).await.unwrap();
    assert_eq!(store.sweep_chunks(written + 1, 9).await.unwrap(), 1);
    assert!(there("input").await && there("again").await && !there("stray").await);
    assert_eq!(store.read_chunk("stray".to_owned(), 1).await.unwrap(), None);
}

async fn what_is_old_goes(stage: Stage) {
    let store = stage.open();
    let shared = || NewJob {
        inputs: vec!["input".to_owned()],
        tags: vec!["t".to_owned()],
        ..watched_job("http://a", &["job.queued"])
    };
    let old = ended(&store, shared(), vec![artifact("image", 0, "old", 5)]).await;
    store.write_chunk("old".to_owned(), 0, vec![1]).await.unwrap();
    stage.pass(100);
    let new = ended(&store, shared(), vec![artifact("image", 0, "new", 7)]).await;
    let waiting = submit(&store, new_job()).await;
    assert_eq!(store.sweep(KEEP).await.unwrap(), Swept { jobs: 0, files: Vec::new(), bytes: 12 });

    let swept = store.sweep(Limits { jobs_before: stage.now(), ..KEEP }).await.unwrap();
    assert_eq!(swept, Swept { jobs: 1, files: vec!["old".to_owned()], bytes: 7 });
    assert_eq!(store.job(old.id).await.unwrap(), None);
    assert!(store.events(old.id, 0).await.unwrap().is_none());
    assert_eq!(store.read_chunk("old".to_owned(), 0).await.unwrap(), None);
    assert_eq!(
        store.deliveries(comfyport_store::deliveries::DeliveryFilter::default(), 9).await.unwrap().len(),
        1
    );
    let tagged = comfyport_store::list::Filter { tag: Some("t".to_owned()), ..Default::default() };
    assert_eq!(store.list(tagged, 9).await.unwrap().len(), 1);
    stage.pass(1);
    assert!(store.is_wanted("input".to_owned()).await.unwrap());
    let swept = store.sweep(Limits { jobs_before: stage.now(), ..KEEP }).await.unwrap();
    assert_eq!(swept, Swept { jobs: 1, files: vec!["new".to_owned()], bytes: 0 });
    assert!(!store.is_wanted("input".to_owned()).await.unwrap());
    assert_eq!(store.job(new.id).await.unwrap(), None);
    assert_eq!(job(&store, waiting.id).await, waiting);
}

async fn files_go_before_their_jobs(stage: Stage) {
    let store = stage.open();
    let mut jobs = Vec::new();
    for size in [10, 20, 30] {
        jobs.push(ended(&store, new_job(), vec![artifact("image", 0, &format!("file {size}"), size)]).await);
        stage.pass(10);
    }
    let swept = store.sweep(Limits { artifacts_before: jobs[1].created_at, ..KEEP }).await.unwrap();
    assert_eq!(swept, Swept { jobs: 0, files: vec!["file 10".to_owned()], bytes: 50 });
    let swept = store.sweep(Limits { artifact_bytes: 49, ..KEEP }).await.unwrap();
    assert_eq!(swept, Swept { jobs: 0, files: vec!["file 20".to_owned()], bytes: 30 });
    // The newest stays, too large as it is.
    let swept = store.sweep(Limits { artifact_bytes: 1, ..KEEP }).await.unwrap();
    assert_eq!(swept, Swept { jobs: 0, files: Vec::new(), bytes: 30 });
    assert_eq!(job(&store, jobs[0].id).await, jobs[0]);
    assert_eq!(store.artifacts(jobs[0].id).await.unwrap(), []);
}

async fn one_sweep_takes_so_much(stage: Stage) {
    let store = stage.open();
    for number in 0..7 {
        let file = format!("file {number}");
        ended(&store, new_job(), vec![artifact("image", 0, &file, 1)]).await;
        stage.pass(1);
    }
    let sweep = |limits| store.sweep(limits);
    let few = Limits { at_once: 2, ..KEEP };
    assert_eq!(sweep(Limits { artifacts_before: stage.now(), ..few }).await.unwrap().bytes, 5);
    assert_eq!(sweep(Limits { artifact_bytes: 0, ..few }).await.unwrap().bytes, 3);
    assert_eq!(sweep(Limits { jobs_before: stage.now(), ..few }).await.unwrap().jobs, 2);
    assert_eq!(sweep(Limits { jobs_before: stage.now(), ..KEEP }).await.unwrap().jobs, 5);
}

async fn a_batch_goes_with_its_last_job(stage: Stage) {
    let store = stage.open();
    let batch = NewBatch {
        id: Uuid::new_v4(),
        workflow: "w".to_owned(),
        owner: String::new(),
        shape: "{}".to_owned(),
    };
    let (first, second) = (new_job(), new_job());
    store.submit(vec![first.clone(), second.clone()], Some(batch.clone()), None).await.unwrap();
    store.cancel(first.id).await.unwrap();
    stage.pass(1);
    store.cancel(second.id).await.unwrap();
    store.sweep(Limits { jobs_before: stage.now(), ..KEEP }).await.unwrap();
    let (kept, jobs) = store.batch(batch.id).await.unwrap().unwrap();
    assert_eq!((kept.size, jobs.len()), (2, 1));
    store.sweep(Limits { jobs_before: stage.now() + 1, ..KEEP }).await.unwrap();
    assert_eq!(store.batch(batch.id).await.unwrap(), None);
}

on_both!(
    files_are_remembered_with_their_job,
    files_are_kept_in_pieces,
    what_was_yielded_is_erased_once,
    pieces_that_nothing_refers_to_go,
    what_is_old_goes,
    files_go_before_their_jobs,
    one_sweep_takes_so_much,
    a_batch_goes_with_its_last_job,
);
