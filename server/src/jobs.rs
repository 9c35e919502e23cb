//! Jobs: accepted, waiting, given out, watched, ended.
//!
//! What a job is and how it changes is the business of [`comfyport_store`]; how one try goes, of [`crate::run`]. Here it
//! is decided when a job runs and where, and what becomes of it if a try goes wrong.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use comfyport_store::{Job, Notice, State, Store, StoreError, list::MOST_COUNTED};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    artifacts::Files,
    endpoints::Endpoints,
    intake::Intake,
    media::Workshop,
    pool::{Place, Pool},
    run::RequestLimits,
    shelves::Shelves,
    supplies::Supplies,
};

mod answer;
pub mod body;
mod counts;
mod dispatch;
mod errands;
mod estimate;
mod fleet;
mod hub;
mod probe;
mod retry;
mod runner;
mod submit;
mod sweep;

pub use answer::Answer;
pub use body::{Body, Standing, Words};
pub use counts::{Counts, JobCounter};
pub use errands::Waiting;
pub use hub::{Expected, View, Watcher};
pub use submit::{Accepted, Asked, Idempotent};

/// The name under which graphs that callers send run.
pub const GRAPHS: &str = "prompt";

/// How jobs are handled.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs that may wait; more are refused.
    pub queued: usize,
    /// The longest a job may run.
    pub timeout: Duration,
    /// Tries of a job, if its caller does not say.
    pub max_attempts: u32,
    /// The longest a job may wait.
    pub max_wait: Duration,
    /// How long keys of callers are remembered.
    pub remember: Duration,
    /// How much older a job counts for an engine that has its models loaded.
    pub affinity_wait: Duration,
    /// A server that has not been heard of for so long is gone.
    pub lease: Duration,
    /// How long jobs are kept after their end.
    pub keep: Duration,
    /// How long output files are kept.
    pub keep_files: Duration,
    /// How many bytes of output files are kept.
    pub keep_bytes: u64,
    /// Endpoints, or beginnings of them that end in `*`, whose results answer identical requests.
    pub cached: Vec<String>,
    /// How many bytes of output files go into a result in base64.
    pub inline_bytes: u64,
    /// What requests may hold.
    pub request: RequestLimits,
}

/// What is heard from the store, before there is anybody to hear it.
#[derive(Debug, Default)]
pub struct Ears {
    queue: Notify,
    errands: Notify,
    fleet: Notify,
    /// There is a webhook to deliver.
    pub webhooks: Notify,
    hub: Arc<hub::Hub>,
    controls: Mutex<Controls>,
}

impl Ears {
    /// Hears a notice.
    pub fn hear(&self, notice: Notice) {
        match notice {
            Notice::Queue => {
                self.queue.notify_one();
                self.errands.notify_one();
            }
            Notice::Job(id) => self.hub.news(id),
            Notice::Cancel(id) => lock(&self.controls).cancel(id),
            Notice::Webhook => self.webhooks.notify_one(),
            Notice::Fleet => {
                self.fleet.notify_one();
                self.queue.notify_one();
            }
        }
    }
}

/// A job in our hands.
#[derive(Debug, Clone)]
struct Control {
    fence: i64,
    cancelled: CancellationToken,
    /// Somebody else has it now.
    taken: CancellationToken,
}

/// Jobs in our hands.
#[derive(Debug, Default)]
struct Controls {
    jobs: HashMap<Uuid, Control>,
    /// Jobs that were cancelled and are in nobody's hands here: one of them may be on its way into ours.
    early: VecDeque<Uuid>,
}

/// How many cancelled jobs that are not in our hands are remembered.
const EARLY: usize = 1000;

impl Controls {
    fn cancel(&mut self, id: Uuid) {
        if let Some(control) = self.jobs.get(&id) {
            control.cancelled.cancel();
            return;
        }
        if self.early.len() == EARLY {
            self.early.pop_front();
        }
        self.early.push_back(id);
    }

    fn add(&mut self, job: &Job) -> Control {
        let control = Control {
            fence: job.fence,
            cancelled: CancellationToken::new(),
            taken: CancellationToken::new(),
        };
        if job.cancel || self.early.contains(&job.id) {
            control.cancelled.cancel();
        }
        self.jobs.insert(job.id, control.clone());
        control
    }

    /// The same job may be in our hands again already.
    fn remove(&mut self, job: &Job) {
        if self.jobs.get(&job.id).is_some_and(|control| control.fence == job.fence) {
            self.jobs.remove(&job.id);
        }
    }
}

/// A job that was found to be so far behind that nobody counts how far.
#[derive(Debug)]
struct FarBehind {
    seq: i64,
    at: Instant,
}

/// How long others are believed to be far behind, too.
const FAR_BEHIND: Duration = Duration::from_secs(1);

/// Everything about jobs.
#[derive(Debug)]
pub struct Jobs {
    /// Where they are kept.
    pub store: Store,
    /// Where their files are.
    pub files: Files,
    /// Where the files of requests come in.
    pub intake: Intake,
    /// Where they run.
    pub pool: Arc<Pool>,
    /// Where their pictures are changed.
    pub workshop: Workshop,
    /// Where outputs are copied to.
    pub shelves: Arc<Shelves>,
    /// What they may need, and where that is had.
    pub supplies: Arc<Supplies>,
    /// How they are handled.
    pub settings: Settings,
    /// What is counted.
    pub counts: Counts,
    endpoints: Arc<Endpoints>,
    ears: Arc<Ears>,
    /// This server's id, new at every start.
    id: String,
    name: String,
    memory: dispatch::Memory,
    estimates: estimate::Estimates,
    probe: probe::Probe,
    strays: Mutex<HashMap<Uuid, Instant>>,
    /// By priority.
    far_behind: Mutex<HashMap<u8, FarBehind>>,
    /// Jobs that wait for errands in our hands, by these.
    waiting: Mutex<HashMap<Uuid, Vec<Uuid>>>,
    /// How many jobs wait, as last counted.
    queued: AtomicUsize,
    tasks: TaskTracker,
    /// No new work is taken.
    draining: CancellationToken,
    /// What runs is left.
    leaving: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    /// Nothing is done yet. `ears` are those that the store speaks to; `name` is what people call this server.
    #[expect(clippy::too_many_arguments, reason = "each is a part of its own")]
    pub fn new(
        store: Store,
        ears: Arc<Ears>,
        files: Files,
        intake: Intake,
        shelves: Arc<Shelves>,
        supplies: Arc<Supplies>,
        pool: Arc<Pool>,
        endpoints: Arc<Endpoints>,
        name: String,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            files,
            workshop: intake.workshop().clone(),
            shelves,
            supplies,
            intake,
            pool,
            settings,
            counts: Counts::default(),
            endpoints,
            ears,
            id: Uuid::new_v4().to_string(),
            name,
            memory: dispatch::Memory::default(),
            estimates: estimate::Estimates::default(),
            probe: probe::Probe::default(),
            strays: Mutex::default(),
            far_behind: Mutex::default(),
            waiting: Mutex::default(),
            queued: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            leaving: CancellationToken::new(),
        })
    }

    /// Begins: takes over what earlier processes left, if nobody else shares the store, and gives out work.
    pub async fn begin(self: &Arc<Self>, alone: bool) -> Result<(), StoreError> {
        let servers = self.store.beat(self.id.clone(), self.name.clone()).await?;
        if alone {
            for server in servers.into_iter().filter(|server| server.id != self.id) {
                self.store.forget_server(server.id).await?;
            }
        }
        fleet::take_over(self).await?;
        self.count_queued().await?;
        tokio::spawn(fleet::run(Arc::clone(self)));
        tokio::spawn(dispatch::run(Arc::clone(self)));
        tokio::spawn(errands::run(Arc::clone(self)));
        tokio::spawn(sweep::run(Arc::clone(self)));
        Ok(())
    }

    /// This server's id, new at every start.
    pub fn server(&self) -> &str {
        &self.id
    }

    /// Who is told that there is a webhook to deliver.
    pub fn ears(&self) -> &Arc<Ears> {
        &self.ears
    }

    fn hub(&self) -> &Arc<hub::Hub> {
        &self.ears.hub
    }

    /// Watches a job from now on.
    pub fn watch(&self, id: Uuid) -> Watcher {
        self.hub().watch(id, &self.store)
    }

    /// Remembers what happens to a job that is about to be accepted under this id.
    pub fn expect(&self, id: Uuid) -> Expected {
        self.hub().expect(id)
    }

    /// How many jobs are in our hands.
    pub fn in_hand(&self) -> usize {
        self.tasks.len()
    }

    /// How many jobs wait, as last counted.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Where a job that waits stands in line.
    pub async fn standing(&self, job: &Job) -> Standing {
        if job.state != State::Queued {
            return Standing::default();
        }
        let fetched = match Waiting::read(job) {
            Some(waiting) => {
                self.store.job(waiting.job).await.ok().flatten().and_then(|errand| errand.progress)
            }
            None => None,
        };
        let Ok(position) = self.place(job).await else { return Standing::default() };
        let capped = position >= MOST_COUNTED;
        let slots: usize = self.pool.places().iter().map(|place| place.slots().min(1)).sum();
        let usual = self.estimates.of(&job.workflow).or_else(|| self.estimates.usual());
        let ahead = position + i64::try_from(self.in_hand()).unwrap_or(0);
        let estimated_start = usual.filter(|_| !capped && slots > 0).map(|usual| {
            let wait = usual.as_millis() as f64 * ahead as f64 / slots as f64;
            #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
            let wait = wait as i64;
            self.store.now().saturating_add(wait)
        });
        Standing { position: Some(position), capped, estimated_start, fetched }
    }

    /// How many jobs are before one that waits. Counting far is dear: behind a job that was just found to be far behind,
    /// nobody is counted.
    async fn place(&self, job: &Job) -> Result<i64, StoreError> {
        let far = |known: &&FarBehind| known.seq <= job.seq && known.at.elapsed() < FAR_BEHIND;
        if lock(&self.far_behind).get(&job.priority).as_ref().is_some_and(far) {
            return Ok(MOST_COUNTED);
        }
        let position = self.store.place(job).await?;
        if position >= MOST_COUNTED {
            lock(&self.far_behind).insert(job.priority, FarBehind { seq: job.seq, at: Instant::now() });
        }
        Ok(position)
    }

    /// No new work is taken from now on.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Whether no new work is taken.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until nothing is in our hands any more.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Leaves what still runs to whoever comes next, and says goodbye.
    pub async fn leave(&self) {
        self.drain();
        self.leaving.cancel();
        self.idle().await;
        if let Err(error) = self.store.forget_server(self.id.clone()).await {
            tracing::warn!(%error, "cannot say goodbye to the store");
        }
    }

    async fn count_queued(&self) -> Result<(), StoreError> {
        let depth = self.store.depth().await?;
        let queued: u64 = depth.queued.iter().map(|(_, count)| count).sum();
        let queued = usize::try_from(queued).unwrap_or(usize::MAX);
        self.queued.store(queued, Ordering::Relaxed);
        self.counts.depth(depth);
        Ok(())
    }

    fn take_in_hand(&self, job: &Job) -> Control {
        lock(&self.ears.controls).add(job)
    }

    /// So many of those that wait were taken. What others take shows when the queue is counted.
    fn taken_from_queue(&self, count: usize) {
        let less = |queued: usize| Some(queued.saturating_sub(count));
        // It always changes something.
        self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
    }

    fn memory_took(&self, job: &Job) {
        self.memory.note_taken(&job.owner);
    }

    fn let_go(&self, job: &Job) {
        lock(&self.ears.controls).remove(job);
        self.memory.let_go(&job.owner);
        self.ears.queue.notify_one();
    }

    /// Jobs in our hands, by their fences.
    fn fences(&self) -> Vec<(Uuid, i64)> {
        lock(&self.ears.controls).jobs.iter().map(|(id, control)| (*id, control.fence)).collect()
    }

    /// Somebody else has a job that is in our hands.
    fn lose(&self, id: Uuid, fence: i64) {
        let controls = lock(&self.ears.controls);
        if let Some(control) = controls.jobs.get(&id).filter(|control| control.fence == fence) {
            control.taken.cancel();
        }
    }

    fn cancel_in_hand(&self, id: Uuid) {
        self.ears.hear(Notice::Cancel(id));
    }

    /// Since when a job is known that nobody cares for and whose engine we do not have.
    fn strays(&self, id: Uuid) -> Instant {
        *lock(&self.strays).entry(id).or_insert_with(Instant::now)
    }

    /// Whether another engine could run a job.
    fn has_other(&self, job: &Job, place: &Arc<Place>) -> bool {
        let Some(need) = self.memory.known_need(&job.need) else { return false };
        self.pool.places().iter().any(|other| {
            other.name() != place.name() && other.state().takes_work() && other.could_run(&need) == Some(true)
        })
    }
}
