//! Lanes, heads, and taking jobs.

use comfyport_store::{
    State,
    claim::{Lane, prompt_id},
    submit::NewJob,
};

use crate::stage::{Stage, assignment, claim, job, kinds, lane, new_job, on_both, submit};

async fn heads_are_the_oldest_of_each_lane(stage: Stage) {
    let store = stage.open();
    let of = |priority, owner: &str, need: &str| NewJob {
        priority,
        owner: owner.to_owned(),
        need: (need.to_owned(), "{}".to_owned()),
        ..new_job()
    };
    // Submitted in no order; upper case comes before lower case, whatever the database's language.
    let lanes = [(9, "b", "x"), (5, "a", "y"), (5, "B", "x"), (5, "a", "x"), (0, "", "x")];
    let mut oldest = Vec::new();
    for _ in 0..3 {
        for (priority, owner, need) in lanes {
            oldest.push(submit(&store, of(priority, owner, need)).await);
        }
    }
    oldest.truncate(lanes.len());
    oldest.sort_by_key(|job| (9 - job.priority, job.owner.clone(), job.need.clone()));
    let heads = store.heads(None, 100).await.unwrap();
    assert_eq!(
        heads.iter().map(|head| head.seq).collect::<Vec<_>>(),
        oldest.iter().map(|job| job.seq).collect::<Vec<_>>()
    );
    let first = &heads[0];
    let expected = Lane { rank: 0, owner: "b".to_owned(), need: "x".to_owned() };
    assert_eq!(
        (&first.lane, first.workflow.as_str(), first.created_at),
        (&expected, "flux/portrait", stage.now())
    );
    // A page at a time.
    let page = store.heads(None, 2).await.unwrap();
    assert_eq!(page, heads[..2]);
    let rest = store.heads(Some(page[1].lane.clone()), 100).await.unwrap();
    assert_eq!(rest, heads[2..]);
    assert_eq!(store.heads(Some(rest[2].lane.clone()), 100).await.unwrap(), []);
    assert_eq!(store.heads(None, 0).await.unwrap(), []);
}

async fn the_oldest_goes_first(stage: Stage) {
    let store = stage.open();
    let (first, second) = (submit(&store, new_job()).await, submit(&store, new_job()).await);
    stage.pass(7);
    let taken = claim(&store, "server").await;
    assert_eq!((taken.id, taken.state, taken.fence, taken.attempts), (first.id, State::Running, 1, 1));
    assert_eq!((taken.holder.as_deref(), taken.engine.as_deref()), (Some("server"), Some("box")));
    assert_eq!(taken.started_at, Some(stage.now()));
    assert_eq!(taken.prompt_id, Some(prompt_id(first.id, 1)));
    assert_ne!(prompt_id(first.id, 1), prompt_id(first.id, 2));
    assert_eq!(job(&store, first.id).await, taken);
    assert_eq!(kinds(&store, first.id).await, ["queued", "running"]);
    assert_eq!(store.heads(None, 10).await.unwrap()[0].seq, second.seq);
    claim(&store, "server").await;
    let none = store.claim(vec![assignment(lane(), "box", 9)], "server".to_owned()).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
}

/// Two servers with several callers each never give an engine more than it may have, and no job goes out twice.
async fn an_engine_gets_no_more_than_it_may_have(stage: Stage) {
    let stores = stage.open_two();
    for _ in 0..20 {
        submit(&stores[0], new_job()).await;
    }
    let mut tries = Vec::new();
    for number in 0..16_usize {
        let store = stores[number % 2].clone();
        tries.push(tokio::spawn(async move {
            let wanted = vec![assignment(lane(), "one", 3), assignment(lane(), "two", 2)];
            store.claim(wanted, format!("server {}", number % 2)).await.unwrap()
        }));
    }
    let mut taken = Vec::new();
    for one in tries {
        taken.extend(one.await.unwrap());
    }
    let on = |engine: &str| taken.iter().filter(|job| job.engine.as_deref() == Some(engine)).count();
    assert_eq!((on("one"), on("two")), (3, 2));
    let mut seqs: Vec<i64> = taken.iter().map(|job| job.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 5);
    // Room is made by an end, a return and a handing over to nobody.
    let on_two = taken.iter().find(|job| job.engine.as_deref() == Some("two")).unwrap();
    stores[0].finish(on_two.id, on_two.fence, crate::stage::success()).await.unwrap().unwrap();
    let next = stores[1].claim(vec![assignment(lane(), "two", 2)], "server".to_owned()).await.unwrap();
    assert_eq!(next.len(), 1);
}

/// Orders of engines that cross would lock each other out, if they were not tried again.
async fn servers_that_cross_do_not_block_each_other(stage: Stage) {
    let stores = stage.open_two();
    for _ in 0..60 {
        submit(&stores[0], new_job()).await;
    }
    let mut tries = Vec::new();
    for number in 0..30_usize {
        let store = stores[number % 2].clone();
        tries.push(tokio::spawn(async move {
            let mut engines = ["one", "two"];
            if number % 2 == 0 {
                engines.reverse();
            }
            let wanted = engines.map(|engine| assignment(lane(), engine, 30)).to_vec();
            store.claim(wanted, "server".to_owned()).await.unwrap().len()
        }));
    }
    let mut taken = 0;
    for one in tries {
        taken += one.await.unwrap();
    }
    assert_eq!(taken, 60);
}

on_both!(
    heads_are_the_oldest_of_each_lane,
    the_oldest_goes_first,
    an_engine_gets_no_more_than_it_may_have,
    servers_that_cross_do_not_block_each_other,
);
