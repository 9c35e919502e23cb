//! Those who watch jobs.
//!
//! A *topic* is a job that somebody watches. One task reads what is new of it, however many watch; what it knows is a
//! [`View`] that all of them share. Whoever is slow misses what happened in between, never the end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use comfyport_store::{Job, State, Store, StoreError, events::Event};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::run::Update;

/// Things that happen to a job and are kept nowhere: so many are remembered for those who are slow.
const LIVE: usize = 64;

/// Notices can get lost: everybody who watches looks this often anyway.
const LOOK: Duration = Duration::from_secs(2);

/// What is known of a watched job.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The job as of the last look; nothing before the first one.
    pub job: Option<Arc<Job>>,
    /// Its events.
    pub events: Arc<Vec<Event>>,
    /// What happened and is kept nowhere, numbered from 1.
    pub live: VecDeque<(u64, Arc<Update>)>,
    /// How many jobs are before it, while it waits.
    pub position: Option<i64>,
    /// Why nothing more can be seen.
    pub broken: Option<StoreError>,
}

impl View {
    /// The job, if it has ended.
    pub fn ended(&self) -> Option<&Arc<Job>> {
        self.job.as_ref().filter(|job| job.state.is_final())
    }
}

/// A job that somebody watches.
#[derive(Debug)]
struct Topic {
    view: watch::Sender<View>,
    news: Notify,
    /// Whether somebody reads what is new of it.
    is_followed: AtomicBool,
}

/// A job that somebody is about to watch: what happens to it meanwhile is remembered.
#[derive(Debug)]
pub struct Expected {
    hub: Arc<Hub>,
    id: Uuid,
    topic: Arc<Topic>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        // Nobody came to watch, so nobody else forgets it.
        if !self.topic.is_followed.load(Ordering::Acquire) {
            self.hub.topics().remove(&self.id);
        }
    }
}

/// All jobs that somebody watches.
#[derive(Debug, Default)]
pub(super) struct Hub {
    topics: Mutex<HashMap<Uuid, Weak<Topic>>>,
}

/// Somebody who watches a job.
#[derive(Debug)]
pub struct Watcher {
    view: watch::Receiver<View>,
    _topic: Arc<Topic>,
}

impl Watcher {
    /// Waits for something new, and answers all that is known.
    pub async fn next(&mut self) -> View {
        // The sender lives as long as the topic, which is held.
        self.view.changed().await.ok();
        self.view.borrow_and_update().clone()
    }

    /// What is known now.
    pub fn now(&mut self) -> View {
        self.view.borrow_and_update().clone()
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> Result<Arc<Job>, StoreError> {
        loop {
            {
                let view = self.view.borrow_and_update();
                if let Some(job) = view.ended() {
                    return Ok(Arc::clone(job));
                }
                if let Some(error) = &view.broken {
                    return Err(error.clone());
                }
            }
            self.view.changed().await.ok();
        }
    }
}

impl Hub {
    /// Watches a job from now on.
    pub(super) fn watch(self: &Arc<Self>, id: Uuid, store: &Store) -> Watcher {
        let topic = self.begin(id);
        if !topic.is_followed.swap(true, Ordering::AcqRel) {
            tokio::spawn(follow(Arc::downgrade(self), id, Arc::downgrade(&topic), store.clone()));
        }
        Watcher { view: topic.view.subscribe(), _topic: topic }
    }

    /// Remembers what happens to a job that is about to be accepted.
    pub(super) fn expect(self: &Arc<Self>, id: Uuid) -> Expected {
        Expected { hub: Arc::clone(self), id, topic: self.begin(id) }
    }

    fn begin(&self, id: Uuid) -> Arc<Topic> {
        let mut topics = self.topics();
        topics.get(&id).and_then(Weak::upgrade).unwrap_or_else(|| {
            let view = watch::Sender::new(View::default());
            let topic = Arc::new(Topic { view, news: Notify::new(), is_followed: AtomicBool::new(false) });
            topics.insert(id, Arc::downgrade(&topic));
            topic
        })
    }

    /// Something of a job was committed.
    pub(super) fn news(&self, id: Uuid) {
        if let Some(topic) = self.topic(id) {
            topic.news.notify_one();
        }
    }

    /// Something happened that is kept nowhere.
    pub(super) fn live(&self, id: Uuid, update: Update) {
        let Some(topic) = self.topic(id) else { return };
        topic.view.send_modify(|view| {
            let number = view.live.back().map_or(1, |(number, _)| number + 1);
            // Of pictures only the newest is of any use, and they are large.
            if matches!(update, Update::Preview { .. }) {
                view.live.retain(|(_, update)| !matches!(**update, Update::Preview { .. }));
            }
            if view.live.len() == LIVE {
                view.live.pop_front();
            }
            view.live.push_back((number, Arc::new(update)));
        });
    }

    fn topic(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.topics().get(&id).and_then(Weak::upgrade)
    }

    fn topics(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Weak<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        self.news.notify_one();
    }
}

/// Reads what is new of a job for as long as anybody watches it.
async fn follow(hub: Weak<Hub>, id: Uuid, topic: Weak<Topic>, store: Store) {
    let mut after = 0;
    while let Some(strong) = topic.upgrade() {
        match store.events(id, after).await {
            Ok(Some((job, events))) => {
                after = job.events.max(after);
                let waits = job.state == State::Queued;
                let position = if waits { store.place(&job).await.ok() } else { None };
                let ended = job.state.is_final();
                strong.view.send_modify(|view| {
                    if !events.is_empty() {
                        Arc::make_mut(&mut view.events).extend(events);
                    }
                    view.job = Some(Arc::new(job));
                    view.position = position;
                    view.broken = None;
                });
                if ended {
                    break;
                }
            }
            Ok(None) => {
                let gone = StoreError::Nonsense(format!("the job {id} is no longer kept"));
                strong.view.send_modify(|view| view.broken = Some(gone));
                break;
            }
            // A store that comes back is asked again; the job itself is not in danger.
            Err(error) if error.may_pass() => tracing::warn!(job = %id, %error, "cannot look at a job"),
            Err(error) => strong.view.send_modify(|view| view.broken = Some(error)),
        }
        let wait = async { tokio::time::timeout(LOOK, strong.news.notified()).await };
        let closed = strong.view.closed();
        tokio::select! {
            _ = wait => {}
            () = closed => {}
        }
    }
    let Some(hub) = hub.upgrade() else { return };
    let mut topics = hub.topics();
    // Somebody may have begun anew meanwhile.
    if topics.get(&id).is_some_and(|known| known.strong_count() == 0 || Weak::ptr_eq(known, &topic)) {
        topics.remove(&id);
    }
}
