//! Webhooks on their way: what the store has in its outbox is sent, again and again if need be.
//!
//! The outbox is written together with what it tells of; here it is only emptied. A delivery whose sender dies is due
//! again by itself, so receivers may hear of the same thing twice, under the same id.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use comfyport_fetch::Client;
use comfyport_store::{
    StoreError,
    deliveries::{Attempt, Claim, Delivery, DeliveryState, origin},
};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::jobs::Jobs;

mod judge;
mod keys;
mod post;
mod targets;
mod view;

pub use judge::Schedule;
pub use keys::{BadSecret, Keys, fresh as fresh_secret};
use post::{Answer, Post};
pub use targets::{Forbidden, Targets};
pub use view::{DeliveryView, masked};

/// Notices get lost and other servers finish tries: the outbox is looked at this often anyway.
const LOOK: Duration = Duration::from_secs(1);

/// Of those on their way, this part may go to one origin.
const SHARE: usize = 4;

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where they may go.
    pub targets: Targets,
    /// How many are on their way at the same time.
    pub concurrency: usize,
    /// For a try, the answer included.
    pub timeout: Duration,
    /// When they are tried again.
    pub schedule: Schedule,
}

/// Whoever shows what becomes of webhooks.
pub trait DeliveryCounter: Send + Sync + std::fmt::Debug {
    /// A try is over. `state` is what the delivery is now: still pending if it is tried again.
    fn tried(&self, state: DeliveryState, took: Duration);
}

/// Whoever adds to a delivery what the outbox does not hold: bytes of files.
pub trait Enclose: Send + Sync + std::fmt::Debug {
    /// The body that is sent; nothing if it is the one of the outbox.
    fn enclose<'d>(&'d self, delivery: &'d Delivery) -> BoxFuture<'d, Option<String>>;
}

/// Sends webhooks.
#[derive(Debug)]
pub struct Webhooks {
    jobs: Arc<Jobs>,
    settings: Settings,
    post: Post,
    counter: Arc<dyn DeliveryCounter>,
    enclosing: Arc<dyn Enclose>,
    traffic: Mutex<Traffic>,
    landed: Notify,
    tasks: TaskTracker,
    leaving: CancellationToken,
}

/// What is on its way where.
#[derive(Debug, Default)]
struct Traffic {
    under_way: HashMap<String, usize>,
    /// Origins that asked for less, until when.
    slowed: HashMap<String, Instant>,
}

impl Traffic {
    /// How many more may go to the origins that are known.
    fn room(&mut self, per_origin: usize) -> Vec<(String, u32)> {
        let now = Instant::now();
        self.slowed.retain(|_, until| *until > now);
        let known =
            self.under_way.keys().chain(self.slowed.keys().filter(|one| !self.under_way.contains_key(*one)));
        let room = |origin: &String| {
            let most = if self.slowed.contains_key(origin) { 1 } else { per_origin };
            let left = most.saturating_sub(self.under_way.get(origin).copied().unwrap_or(0));
            (origin.clone(), u32::try_from(left).unwrap_or(u32::MAX))
        };
        known.map(room).collect()
    }
}

/// A place among those on their way.
struct UnderWay {
    owner: Arc<Webhooks>,
    origin: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        {
            let mut traffic = self.owner.traffic();
            if let Some(count) = traffic.under_way.get_mut(&self.origin) {
                *count -= 1;
                if *count == 0 {
                    traffic.under_way.remove(&self.origin);
                }
            }
        }
        self.owner.landed.notify_one();
    }
}

impl Webhooks {
    /// Nothing is sent yet. `client` dials what its guard finds public, and what the operator allows by name.
    pub fn new(
        jobs: Arc<Jobs>,
        settings: Settings,
        keys: Keys,
        client: Client,
        counter: Arc<dyn DeliveryCounter>,
        enclosing: Arc<dyn Enclose>,
    ) -> Arc<Self> {
        let post = Post::new(client, keys, settings.timeout);
        Arc::new(Self {
            jobs,
            settings,
            post,
            counter,
            enclosing,
            traffic: Mutex::default(),
            landed: Notify::new(),
            tasks: TaskTracker::new(),
            leaving: CancellationToken::new(),
        })
    }

    /// Sends what is due from now on.
    pub fn begin(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).run());
    }

    /// Takes nothing more in hand, and waits until what is under way has landed.
    pub async fn leave(&self) {
        self.leaving.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn traffic(&self) -> std::sync::MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        while !self.leaving.is_cancelled() {
            let next = match self.send_due().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "cannot look for webhooks to deliver");
                    None
                }
            };
            let until_due = next.map_or(LOOK, |next| {
                let left = next.saturating_sub(self.jobs.store.now());
                Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(LOOK)
            });
            tokio::select! {
                () = self.jobs.ears().webhooks.notified() => {}
                () = self.landed.notified() => {}
                () = tokio::time::sleep(until_due) => {}
                () = self.leaving.cancelled() => {}
            }
        }
    }

    /// Sends what is due, as far as there is room. Answers when more will be.
    async fn send_due(self: &Arc<Self>) -> Result<Option<i64>, StoreError> {
        let most = self.settings.concurrency;
        let per_origin = (most / SHARE).max(1);
        let (room, under_way) = {
            let mut traffic = self.traffic();
            (traffic.room(per_origin), traffic.under_way.values().sum::<usize>())
        };
        let free = most.saturating_sub(under_way);
        if free == 0 {
            return Ok(None);
        }
        let taken = self
            .jobs
            .store
            .due_deliveries(Claim {
                holder: self.jobs.server().to_owned(),
                limit: u32::try_from(free).unwrap_or(u32::MAX),
                per_origin: u32::try_from(per_origin).unwrap_or(u32::MAX),
                room,
            })
            .await?;
        for delivery in taken.deliveries {
            let origin = origin(&delivery.url).to_owned();
            *self.traffic().under_way.entry(origin.clone()).or_default() += 1;
            let under_way = UnderWay { owner: Arc::clone(self), origin };
            let owner = Arc::clone(self);
            self.tasks.spawn(async move {
                owner.deliver(delivery).await;
                drop(under_way);
            });
        }
        Ok(taken.next)
    }

    async fn deliver(&self, mut delivery: Delivery) {
        let started = Instant::now();
        // The operator may have changed his mind since the job was accepted.
        let target =
            url::Url::parse(&delivery.url).ok().and_then(|url| self.settings.targets.judge(url).ok());
        let answer = match target {
            Some(target) => {
                if let Some(body) = self.enclosing.enclose(&delivery).await {
                    delivery.body = body;
                }
                self.post.send(&delivery, &target).await
            }
            None => Answer::Forbidden,
        };
        let attempt = self.settings.schedule.judge(&answer, delivery.attempts, self.jobs.store.now());
        self.note_pace(origin(&delivery.url), &answer, &attempt);
        self.counter.tried(attempt.state, started.elapsed());
        let (id, event, state) = (&delivery.id, &delivery.event, attempt.state.as_str());
        let (to, said) = (masked(&delivery.url), attempt.said.as_deref().unwrap_or_default());
        match attempt.state {
            DeliveryState::Delivered => tracing::debug!(id, event, to, "webhook delivered"),
            DeliveryState::Pending => {
                tracing::info!(id, event, to, said, attempts = delivery.attempts, "webhook is tried again");
            }
            DeliveryState::Dead => tracing::warn!(id, event, to, said, state, "webhook given up"),
        }
        let noted =
            self.jobs.store.delivery_tried(self.jobs.server().to_owned(), delivery.id.clone(), attempt);
        if let Err(error) = noted.await {
            tracing::warn!(id = delivery.id, %error, "what became of a webhook was not noted; it is sent again");
        }
    }

    /// Who says that it is too much gets one at a time until the next try.
    fn note_pace(&self, origin: &str, answer: &Answer, attempt: &Attempt) {
        let Answer::Status { code, .. } = answer else { return };
        let mut traffic = self.traffic();
        if matches!(code, 429 | 502 | 503 | 504) {
            let pause = attempt.due_at.saturating_sub(self.jobs.store.now());
            let until = Instant::now() + Duration::from_millis(u64::try_from(pause).unwrap_or(0));
            traffic.slowed.insert(origin.to_owned(), until);
        } else {
            traffic.slowed.remove(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_room_for_their_share_and_less_when_they_ask_for_it() {
        let mut traffic = Traffic::default();
        traffic.under_way.insert("http://a".to_owned(), 3);
        traffic.under_way.insert("http://b".to_owned(), 1);
        let soon = Instant::now() + Duration::from_hours(1);
        traffic.slowed.insert("http://b".to_owned(), soon);
        traffic.slowed.insert("http://c".to_owned(), soon);
        traffic.slowed.insert("http://d".to_owned(), Instant::now());
        let mut room = traffic.room(8);
        room.sort();
        let expected = [("http://a", 5), ("http://b", 0), ("http://c", 1)];
        assert_eq!(room, expected.map(|(origin, left)| (origin.to_owned(), left)));
    }
}
