//! Webhooks on their way.

use std::collections::HashSet;

use comfyport_store::{
    Notice, Store,
    deliveries::{Attempt, Claim, Delivery, DeliveryFilter, DeliveryState},
};
use uuid::Uuid;

use crate::stage::{Stage, new_job, on_both, running, submit, success, watched_job};

async fn due(store: &Store, busy: &[&str], limit: u32) -> Vec<Delivery> {
    let room = busy.iter().map(|origin| ((*origin).to_owned(), 0)).collect();
    let claim = Claim { holder: "server".to_owned(), limit, per_origin: 1000, room };
    store.due_deliveries(claim).await.unwrap().deliveries
}

async fn tried(store: &Store, id: &str, attempt: Attempt) {
    store.delivery_tried("server".to_owned(), id.to_owned(), attempt).await.unwrap();
}

fn failed(due_at: i64) -> Attempt {
    Attempt {
        state: DeliveryState::Pending,
        due_at,
        status: Some(503),
        said: Some("busy".to_owned()),
        disable: None,
    }
}

async fn what_is_wanted_is_put_out_with_the_change(stage: Stage) {
    let store = stage.open();
    let all = ["job.running", "job.succeeded"];
    let taken = running(&store, watched_job("http://a/x", &all), "server").await;
    stage.hear(Notice::Webhook).await;
    let done = store.finish(taken.id, taken.fence, success()).await.unwrap().unwrap();
    running(&store, new_job(), "server").await;
    let out = store.deliveries(DeliveryFilter::default(), 10).await.unwrap();
    assert_eq!(
        out.iter().map(|one| one.event.as_str()).collect::<Vec<_>>(),
        ["job.succeeded", "job.running"]
    );
    let last = &out[0];
    // The words are those of the state it is in.
    assert_eq!(last.body, format!("job.succeeded {} {} {}", done.id, done.events, stage.now()));
    assert_eq!(
        (last.url.as_str(), last.state, last.attempts, last.job),
        ("http://a/x", DeliveryState::Pending, 0, done.id)
    );
    assert_ne!(out[0].id, out[1].id);
    // What is taken back leaves nothing to send.
    let (twin, other) =
        (watched_job("http://a/x", &["job.queued"]), watched_job("http://a/x", &["job.queued"]));
    let again = comfyport_store::submit::NewJob { id: twin.id, ..other };
    store.submit(vec![twin, again], None, None).await.unwrap_err();
    assert_eq!(store.deliveries(DeliveryFilter::default(), 10).await.unwrap().len(), 2);
}

async fn each_body_and_each_listener_has_a_delivery_of_its_own(stage: Stage) {
    let store = stage.open();
    let other = serde_json::json!({"url": "http://b/y", "events": ["job.queued"]});
    let never = serde_json::json!({"url": "http://c/z", "events": ["job.failed"]});
    let webhook = serde_json::json!({"url": "http://a/x", "events": ["job.queued"], "shape": "ab",
        "more": [other, never]});
    let job = comfyport_store::submit::NewJob { webhook: Some(webhook.to_string()), ..new_job() };
    submit(&store, job).await;
    let out = store.deliveries(DeliveryFilter::default(), 10).await.unwrap();
    let urls: Vec<&str> = out.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(urls, ["http://b/y", "http://a/x", "http://a/x", "http://a/x"]);
    let ids: HashSet<&str> = out.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

async fn deliveries_are_tried_in_time(stage: Stage) {
    let store = stage.open();
    for url in ["http://a/x", "http://b/x", "http://a/x"] {
        submit(&store, watched_job(url, &["job.queued"])).await;
        stage.pass(1);
    }
    let first = due(&store, &[], 1).await;
    assert_eq!((first.len(), first[0].url.as_str(), first[0].attempts), (1, "http://a/x", 1));
    let rest = due(&store, &["http://a"], 10).await;
    assert_eq!(rest.iter().map(|one| one.url.as_str()).collect::<Vec<_>>(), ["http://b/x"]);
    // Nobody else takes what is in hand.
    assert_eq!(due(&store, &[], 10).await.len(), 1);
    assert_eq!(due(&store, &[], 10).await, []);
    tried(&store, &first[0].id, failed(stage.now() + 50)).await;
    stage.pass(49);
    let claim = Claim { holder: "server".to_owned(), limit: 10, per_origin: 10, room: Vec::new() };
    let none = store.due_deliveries(claim).await.unwrap();
    assert_eq!((none.deliveries, none.next), (Vec::new(), Some(stage.now() + 1)));
    stage.pass(1);
    let again = due(&store, &[], 10).await;
    assert_eq!(
        (again[0].id.as_str(), again[0].body.as_str()),
        (first[0].id.as_str(), first[0].body.as_str())
    );
    assert_eq!((again[0].attempts, again[0].status, again[0].said.as_deref()), (2, Some(503), Some("busy")));
    let done = Attempt { state: DeliveryState::Delivered, status: Some(200), said: None, ..failed(0) };
    tried(&store, &again[0].id, done.clone()).await;
    // A late second word changes nothing.
    tried(&store, &again[0].id, Attempt { state: DeliveryState::Dead, ..done }).await;
    let filter = DeliveryFilter { state: Some(DeliveryState::Delivered), ..DeliveryFilter::default() };
    let delivered = store.deliveries(filter, 10).await.unwrap();
    assert_eq!((delivered.len(), delivered[0].ended_at), (1, Some(stage.now())));
    // Whoever had the others in hand died of it: in a minute they are anybody's.
    stage.pass(60_000);
    assert_eq!(due(&store, &[], 10).await.len(), 2);
}

async fn no_two_servers_take_the_same(stage: Stage) {
    let stores = stage.open_two();
    for _ in 0..40 {
        submit(&stores[0], watched_job("http://a/x", &["job.queued"])).await;
    }
    let mut tries = Vec::new();
    for number in 0..16_usize {
        let store = stores[number % 2].clone();
        tries.push(tokio::spawn(async move { due(&store, &[], 5).await }));
    }
    let (mut taken, mut known) = (0, HashSet::new());
    for one in tries {
        for delivery in one.await.unwrap() {
            taken += 1;
            known.insert(delivery.id);
        }
    }
    taken += due(&stores[0], &[], 100).await.into_iter().filter(|one| known.insert(one.id.clone())).count();
    assert_eq!((taken, known.len()), (40, 40));
}

async fn an_address_that_is_gone_is_left_alone(stage: Stage) {
    let store = stage.open();
    let first = submit(&store, watched_job("http://gone/x", &["job.queued"])).await;
    submit(&store, watched_job("http://gone/x", &["job.queued"])).await;
    submit(&store, watched_job("http://there/x", &["job.queued"])).await;
    let one = due(&store, &[], 1).await.remove(0);
    let gone = Attempt {
        state: DeliveryState::Dead,
        status: Some(410),
        disable: Some("it said 410".to_owned()),
        ..failed(0)
    };
    tried(&store, &one.id, gone).await;
    submit(&store, watched_job("http://gone/x", &["job.queued"])).await;
    let left = due(&store, &[], 10).await;
    assert_eq!(left.iter().map(|one| one.url.as_str()).collect::<Vec<_>>(), ["http://there/x"]);
    let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
    let dead = store.deliveries(dead, 10).await.unwrap();
    assert_eq!(dead.len(), 3);
    assert_eq!(dead[0].said.as_deref(), Some("it said 410"));
    // An operator who asks for it again says that it is there again.
    assert_eq!(store.redeliver(Uuid::new_v4(), one.id.clone()).await.unwrap(), None);
    let again = store.redeliver(first.id, one.id.clone()).await.unwrap().unwrap();
    assert_eq!(
        (again.state, again.attempts, again.body.as_str()),
        (DeliveryState::Pending, 0, one.body.as_str())
    );
    assert_eq!(due(&store, &[], 10).await[0].id, one.id);
    submit(&store, watched_job("http://gone/x", &["job.queued"])).await;
    assert_eq!(due(&store, &[], 10).await.len(), 1);
    let of_job = DeliveryFilter { job: Some(first.id), ..DeliveryFilter::default() };
    assert_eq!(store.deliveries(of_job, 10).await.unwrap().len(), 1);
    let page = DeliveryFilter { before: Some(dead[0].seq), ..DeliveryFilter::default() };
    assert!(store.deliveries(page, 10).await.unwrap().iter().all(|one| one.seq < dead[0].seq));
}

on_both!(
    what_is_wanted_is_put_out_with_the_change,
    each_body_and_each_listener_has_a_delivery_of_its_own,
    deliveries_are_tried_in_time,
    no_two_servers_take_the_same,
    an_address_that_is_gone_is_left_alone,
);
