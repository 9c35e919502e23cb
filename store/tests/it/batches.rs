//! Batches, looking for jobs, and counting them.

use comfyport_store::{
    State, Store,
    batches::NewBatch,
    list::{Filter, MOST_COUNTED},
    submit::{Idempotency, NewJob, Submitted},
};
use uuid::Uuid;

use crate::stage::{Stage, assignment, job, lane, lane_of, new_job, on_both, running, submit, success};

fn new_batch() -> NewBatch {
    NewBatch {
        id: Uuid::new_v4(),
        workflow: "flux/portrait".to_owned(),
        owner: "me".to_owned(),
        shape: "{\"seed\":[1,2,3]}".to_owned(),
    }
}

async fn a_batch_is_one_thing(stage: Stage) {
    let store = stage.open();
    let (batch, jobs) = (new_batch(), vec![new_job(), new_job(), new_job()]);
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id).collect();
    let key = Idempotency {
        scope: "me".to_owned(),
        key: "k".to_owned(),
        fingerprint: "f".to_owned(),
        expires_at: 2_000_000,
    };
    let answer = store.submit(jobs, Some(batch.clone()), Some(key.clone())).await.unwrap();
    assert!(matches!(answer, Submitted::New(jobs) if jobs.len() == 3));
    let again = store.submit(vec![new_job()], Some(new_batch()), Some(key)).await.unwrap();
    assert!(matches!(again, Submitted::Replay(id) if id == batch.id), "{again:?}");
    let (kept, jobs) = store.batch(batch.id).await.unwrap().unwrap();
    assert_eq!((kept.size, kept.owner.as_str(), kept.shape.as_str()), (3, "me", batch.shape.as_str()));
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), ids);
    assert_eq!(jobs.iter().map(|job| job.batch_index).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert_eq!(store.batch(Uuid::new_v4()).await.unwrap(), None);

    let taken = store.claim(vec![assignment(lane(), "box", 9); 2], "server".to_owned()).await.unwrap();
    store.finish(taken[0].id, taken[0].fence, success()).await.unwrap().unwrap();
    assert_eq!(store.cancel_batch(batch.id).await.unwrap(), Some(2));
    assert_eq!(job(&store, ids[0]).await.state, State::Succeeded);
    assert!(job(&store, ids[1]).await.cancel);
    assert_eq!(job(&store, ids[2]).await.state, State::Cancelled);
    assert_eq!(store.cancel_batch(Uuid::new_v4()).await.unwrap(), None);
}

async fn seqs(store: &Store, filter: Filter, limit: u32) -> Vec<i64> {
    store.list(filter, limit).await.unwrap().into_iter().map(|job| job.seq).collect()
}

async fn jobs_are_found(stage: Stage) {
    let store = stage.open();
    let batch = new_batch();
    store.submit(vec![new_job()], Some(batch.clone()), None).await.unwrap();
    let mut jobs = vec![store.batch(batch.id).await.unwrap().unwrap().1.remove(0)];
    for (workflow, owner, tag) in
        [("a", "me", "x"), ("a", "you", "y"), ("b", "me", "x"), ("b", "you", "100%' OR 1=1")]
    {
        stage.pass(10);
        jobs.push(
            submit(
                &store,
                NewJob {
                    workflow: workflow.to_owned(),
                    owner: owner.to_owned(),
                    tags: vec![tag.to_owned()],
                    ..new_job()
                },
            )
            .await,
        );
    }
    let all: Vec<i64> = jobs.iter().rev().map(|job| job.seq).collect();
    let any = Filter::default;
    assert_eq!(seqs(&store, any(), 100).await, all);
    assert_eq!(seqs(&store, any(), 2).await, all[..2]);
    assert_eq!(seqs(&store, Filter { before: Some(all[1]), ..any() }, 100).await, all[2..]);
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(seqs(&store, Filter { workflow: of("b"), ..any() }, 9).await, all[..2]);
    assert_eq!(seqs(&store, Filter { tag: of("x"), ..any() }, 9).await, [all[1], all[3]]);
    assert_eq!(seqs(&store, Filter { tag: of("100%' OR 1=1"), ..any() }, 9).await, all[..1]);
    assert_eq!(seqs(&store, Filter { tag: of("%"), ..any() }, 9).await, [] as [i64; 0]);
    assert_eq!(seqs(&store, Filter { owner: of("me"), ..any() }, 9).await, [all[1], all[3]]);
    assert_eq!(seqs(&store, Filter { batch: Some(batch.id), ..any() }, 9).await, all[4..]);
    let times = Filter { since: Some(jobs[1].created_at), until: Some(jobs[3].created_at), ..any() };
    assert_eq!(seqs(&store, times, 9).await, all[2..4]);
    store.cancel(jobs[1].id).await.unwrap();
    let ended = Filter { states: vec![State::Cancelled, State::Failed], tag: of("x"), ..any() };
    assert_eq!(seqs(&store, ended, 9).await, [all[3]]);
    let both = Filter { states: vec![State::Queued], workflow: of("a"), owner: of("you"), ..any() };
    assert_eq!(seqs(&store, both, 9).await, [all[2]]);
}

async fn a_place_is_counted_up_to_a_bound(stage: Stage) {
    let store = stage.open();
    let urgent = || NewJob { priority: 9, ..new_job() };
    let first = submit(&store, new_job()).await;
    let second = submit(&store, new_job()).await;
    assert_eq!(store.place(&first).await.unwrap(), 0);
    submit(&store, urgent()).await;
    assert_eq!((store.place(&first).await.unwrap(), store.place(&second).await.unwrap()), (1, 2));
    let many = (0..MOST_COUNTED + 5).map(|_| urgent()).collect();
    store.submit(many, None, None).await.unwrap();
    assert_eq!(store.place(&second).await.unwrap(), MOST_COUNTED);
}

async fn what_waits_and_runs_is_counted(stage: Stage) {
    let store = stage.open();
    assert_eq!(store.depth().await.unwrap(), comfyport_store::list::Depth::default());
    let first = running(&store, crate::stage::watched_job("http://a", &["job.queued"]), "server").await;
    stage.pass(3);
    let second = submit(&store, new_job()).await;
    stage.pass(3);
    submit(&store, NewJob { workflow: "b".to_owned(), ..new_job() }).await;
    let depth = store.depth().await.unwrap();
    assert_eq!(depth.queued, [("b".to_owned(), 1), ("flux/portrait".to_owned(), 1)]);
    assert_eq!(depth.running, [("box".to_owned(), 1)]);
    assert_eq!((depth.oldest, depth.webhooks), (Some(second.created_at), 1));
    store.finish(first.id, first.fence, success()).await.unwrap().unwrap();
    assert_eq!(store.depth().await.unwrap().running, []);
}

async fn the_newest_success_is_found_again(stage: Stage) {
    let store = stage.open();
    let same = || NewJob { cache_key: Some("same".to_owned()), ..new_job() };
    let find = |since| store.cached("same".to_owned(), since);
    let mut ended = Vec::new();
    for _ in 0..2 {
        stage.pass(10);
        let one = running(&store, same(), "server").await;
        ended.push(store.finish(one.id, one.fence, success()).await.unwrap().unwrap());
    }
    submit(&store, same()).await;
    assert_eq!(find(0).await.unwrap().unwrap(), ended[1]);
    assert_eq!(find(ended[1].created_at).await.unwrap().unwrap(), ended[1]);
    assert_eq!(find(ended[1].created_at + 1).await.unwrap(), None);
    assert_eq!(store.cached("other".to_owned(), 0).await.unwrap(), None);
    assert_eq!(lane_of(&ended[0]), lane());
}

on_both!(
    a_batch_is_one_thing,
    jobs_are_found,
    a_place_is_counted_up_to_a_bound,
    what_waits_and_runs_is_counted,
    the_newest_success_is_found_again,
);
