//! The outbox of webhooks: who may take what, in which order, and what becomes of it.

use comfyport_store::{
    Store,
    deliveries::{Attempt, Claim, Delivery, DeliveryFilter, DeliveryState, IN_HAND},
};

use crate::stage::{Stage, on_both, submit, watched_job};

fn claim(holder: &str) -> Claim {
    Claim { holder: holder.to_owned(), limit: 100, per_origin: 100, room: Vec::new() }
}

async fn take(store: &Store, claim: Claim) -> Vec<Delivery> {
    store.due_deliveries(claim).await.unwrap().deliveries
}

fn attempt(state: DeliveryState, due_at: i64) -> Attempt {
    Attempt { state, due_at, status: Some(500), said: None, disable: None }
}

async fn tried(store: &Store, holder: &str, delivery: &Delivery, attempt: Attempt) {
    store.delivery_tried(holder.to_owned(), delivery.id.clone(), attempt).await.unwrap();
}

async fn one(store: &Store, id: &str) -> Delivery {
    let all = store.deliveries(DeliveryFilter::default(), 1000).await.unwrap();
    all.into_iter().find(|delivery| delivery.id == id).unwrap()
}

async fn each_is_taken_by_one_and_comes_back_by_itself(stage: Stage) {
    let [store, other] = stage.open_two();
    for _ in 0..50 {
        submit(&store, watched_job("http://a/x", &["job.queued"])).await;
    }
    let (left, right) = tokio::join!(take(&store, claim("left")), take(&other, claim("right")));
    assert_eq!(left.len() + right.len(), 50);
    assert!(left.iter().all(|mine| right.iter().all(|theirs| mine.id != theirs.id)));
    assert!(take(&store, claim("left")).await.is_empty());
    stage.pass(IN_HAND);
    let again = take(&store, claim("left")).await;
    assert_eq!((again.len(), again[0].attempts), (50, 2));
}

async fn whoever_lost_a_delivery_changes_nothing(stage: Stage) {
    let store = stage.open();
    submit(&store, watched_job("http://a/x", &["job.queued"])).await;
    let taken = take(&store, claim("left")).await.remove(0);
    store.beat("left".to_owned(), String::new()).await.unwrap();
    store.forget_server("left".to_owned()).await.unwrap();
    let again = take(&store, claim("right")).await.remove(0);
    assert_eq!(again.id, taken.id);
    tried(&store, "left", &taken, attempt(DeliveryState::Dead, 0)).await;
    assert_eq!(one(&store, &taken.id).await.state, DeliveryState::Pending);
    tried(&store, "right", &again, attempt(DeliveryState::Delivered, 0)).await;
    tried(&store, "right", &again, attempt(DeliveryState::Dead, 0)).await;
    assert_eq!(one(&store, &taken.id).await.state, DeliveryState::Delivered);
    let back = store.redeliver(taken.job, taken.id.clone()).await.unwrap().unwrap();
    assert_eq!((back.state, back.attempts, &back.body), (DeliveryState::Pending, 0, &taken.body));
    assert!(store.redeliver(uuid::Uuid::new_v4(), taken.id).await.unwrap().is_none());
}

async fn origins_have_their_share_and_the_rest_goes_on(stage: Stage) {
    let store = stage.open();
    for url in ["http://a/x", "http://a/y", "http://a:81/", "http://ab/"] {
        for _ in 0..10 {
            submit(&store, watched_job(url, &["job.queued"])).await;
        }
    }
    let room = vec![("http://ab".to_owned(), 1), ("http://a:81".to_owned(), 0)];
    let taken = take(&store, Claim { limit: 8, per_origin: 4, room, ..claim("left") }).await;
    let mut urls: Vec<&str> = taken.iter().map(|delivery| delivery.url.as_str()).collect();
    urls.sort_unstable();
    assert_eq!(urls, ["http://a/x", "http://a/x", "http://a/x", "http://a/x", "http://ab/"]);
    // Those that others keep waiting do not count for when to look again.
    let next = store.due_deliveries(Claim { limit: 1, ..claim("left") }).await.unwrap().next;
    assert_eq!(next, Some(stage.now() + IN_HAND));
}

async fn what_happened_is_told_in_order_once_the_first_try_is_over(stage: Stage) {
    let store = stage.open();
    let job = submit(&store, watched_job("http://a/x", &["job.queued", "job.cancelled"])).await;
    store.cancel(job.id).await.unwrap();
    let first = take(&store, claim("left")).await;
    assert_eq!(first.iter().map(|one| one.event.as_str()).collect::<Vec<_>>(), ["job.queued"]);
    assert!(take(&store, claim("left")).await.is_empty());
    tried(&store, "left", &first[0], attempt(DeliveryState::Pending, stage.now() + 5000)).await;
    let second = take(&store, claim("left")).await;
    assert_eq!(second.iter().map(|one| one.event.as_str()).collect::<Vec<_>>(), ["job.cancelled"]);
}

async fn gone_addresses_are_left_alone_until_somebody_asks(stage: Stage) {
    let store = stage.open();
    for _ in 0..3 {
        submit(&store, watched_job("http://a/x", &["job.queued"])).await;
    }
    let other = submit(&store, watched_job("http://a/y", &["job.queued"])).await;
    let taken = take(&store, Claim { limit: 1, ..claim("left") }).await.remove(0);
    let gone = Attempt { disable: Some("gone".to_owned()), ..attempt(DeliveryState::Dead, 0) };
    tried(&store, "left", &taken, gone).await;
    let late = submit(&store, watched_job("http://a/x", &["job.queued"])).await;
    let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
    assert_eq!(store.deliveries(dead, 100).await.unwrap().len(), 4);
    assert_eq!(take(&store, claim("left")).await.iter().map(|one| one.job).collect::<Vec<_>>(), [other.id]);
    let filter = DeliveryFilter { job: Some(late.id), ..DeliveryFilter::default() };
    let late = store.deliveries(filter, 1).await.unwrap().remove(0);
    store.redeliver(late.job, late.id).await.unwrap().unwrap();
    submit(&store, watched_job("http://a/x", &["job.queued"])).await;
    assert_eq!(take(&store, claim("left")).await.len(), 2);
}

on_both!(
    each_is_taken_by_one_and_comes_back_by_itself,
    whoever_lost_a_delivery_changes_nothing,
    origins_have_their_share_and_the_rest_goes_on,
    what_happened_is_told_in_order_once_the_first_try_is_over,
    gone_addresses_are_left_alone_until_somebody_asks,
);
