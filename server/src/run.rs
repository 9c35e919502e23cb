//! Running a request on an engine and bringing back what it yields.
//!
//! A run is a task of its own. Whoever waits for it holds a [`Running`]; letting go of that, as happens when a client
//! disconnects, cancels the run, and its prompt leaves the engine's queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

use crate::{
    artifacts::Artifacts,
    pool::{Place, Pool},
};

mod collect;
mod failure;
mod graph;
mod models;
mod options;
mod plan;
mod progress;
mod request;
mod result;
mod stage;
mod task;

pub(crate) use failure::engine_error;
pub use failure::{Complaint, RunError};
pub use graph::GraphPlan;
pub(crate) use models::check as check_models;
pub use options::Options;
pub use progress::Update;
pub use request::{Body, Prepared, RequestLimits};
pub use result::{FileItem, Item, Named, RunResult, Timing};

/// How many runs there may be, and for how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Runs that are with an engine at the same time.
    pub concurrent: usize,
    /// Runs that wait for one of those places; more are refused.
    pub waiting: usize,
    /// A run that takes longer is cancelled.
    pub timeout: Duration,
    /// What requests may hold.
    pub request: RequestLimits,
}

/// Everything that runs, and where.
#[derive(Debug)]
pub struct Runs {
    pool: Arc<Pool>,
    artifacts: Arc<Artifacts>,
    settings: Settings,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What to run.
#[derive(Debug)]
pub enum Plan {
    /// A request to an endpoint.
    Endpoint(Box<Prepared>),
    /// A graph that a caller sent.
    Graph(Box<GraphPlan>),
}

/// A run in progress. Dropping it cancels the run.
#[derive(Debug)]
pub struct Running {
    /// The run's id.
    pub id: Uuid,
    /// The engine's name.
    pub engine: String,
    outcome: oneshot::Receiver<Result<RunResult, RunError>>,
    guard: DropGuard,
}

impl Running {
    /// Waits for the end.
    pub async fn finish(&mut self) -> Result<RunResult, RunError> {
        (&mut self.outcome).await.unwrap_or(Err(RunError::Cancelled))
    }

    /// A handle that cancels the run when dropped, for those who only wait for its end.
    pub fn into_parts(self) -> (oneshot::Receiver<Result<RunResult, RunError>>, DropGuard) {
        (self.outcome, self.guard)
    }
}

impl Runs {
    /// Nothing runs yet.
    pub fn new(pool: Arc<Pool>, artifacts: Arc<Artifacts>, settings: Settings) -> Self {
        Self {
            pool,
            artifacts,
            permits: Arc::new(Semaphore::new(settings.concurrent)),
            settings,
            waiting: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// The engines.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The output files.
    pub fn artifacts(&self) -> &Arc<Artifacts> {
        &self.artifacts
    }

    /// The limits.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many runs are under way, waiting ones included.
    pub fn active(&self) -> usize {
        self.tasks.len()
    }

    /// Starts a run. Progress goes to `updates`, and is dropped there if nobody takes it in time.
    pub fn start(
        self: &Arc<Self>,
        plan: Plan,
        place: Arc<Place>,
        options: Options,
        updates: Option<mpsc::Sender<Update>>,
    ) -> Result<Running, RunError> {
        if self.stop.is_cancelled() {
            return Err(RunError::Stopping);
        }
        if self.permits.available_permits() == 0
            && self.waiting.load(Ordering::Relaxed) >= self.settings.waiting
        {
            return Err(RunError::Busy);
        }
        let id = Uuid::new_v4();
        let cancelled = self.stop.child_token();
        let guard = cancelled.clone().drop_guard();
        let (sender, outcome) = oneshot::channel();
        let engine = place.name().to_owned();
        let task = task::Task {
            runs: Arc::clone(self),
            place,
            id,
            options,
            updates,
            limit: task::Limit::new(
                cancelled,
                self.stop.clone(),
                options.timeout.unwrap_or(self.settings.timeout),
            ),
        };
        self.tasks.spawn(async move {
            // A caller who left does not take the answer; that is what cancelled the run.
            sender.send(task.run(plan).await).ok();
        });
        Ok(Running { id, engine, outcome, guard })
    }

    /// Cancels what still runs and waits for the engines to be told.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A JSON pointer of one step.
pub fn pointer(step: &str) -> String {
    format!("/{}", step.replace('~', "~0").replace('/', "~1"))
}
