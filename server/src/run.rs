//! Running a request on an engine and bringing back what it yields.
//!
//! A run is a task of its own. Whoever waits for it holds a [`Running`]; letting go of that, as happens when a client
//! disconnects, cancels the run, and its prompt leaves the engine's queue.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use comfyport_endpoint::Endpoint;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

use crate::{
    artifacts::Artifacts,
    engine::{Capabilities, Engine},
    readiness::{Ages, Missing, Readiness, Report},
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

pub use failure::{Complaint, RunError};
pub use graph::GraphPlan;
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
    /// How long an engine's lists are believed.
    pub ages: Ages,
}

/// Everything that runs, and where.
#[derive(Debug)]
pub struct Runs {
    places: Vec<Arc<Place>>,
    artifacts: Arc<Artifacts>,
    settings: Settings,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// An engine with what is remembered about it.
#[derive(Debug)]
pub struct Place {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Its lists.
    pub readiness: Readiness,
    uploaded: stage::Uploaded,
    outstanding: AtomicUsize,
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
    pub fn new(engines: Vec<Arc<dyn Engine>>, artifacts: Arc<Artifacts>, settings: Settings) -> Self {
        let place = |engine: Arc<dyn Engine>| {
            Arc::new(Place {
                readiness: Readiness::new(Arc::clone(&engine), settings.ages),
                engine,
                uploaded: stage::Uploaded::default(),
                outstanding: AtomicUsize::new(0),
            })
        };
        Self {
            places: engines.into_iter().map(place).collect(),
            artifacts,
            permits: Arc::new(Semaphore::new(settings.concurrent)),
            settings,
            waiting: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// The engines.
    pub fn places(&self) -> &[Arc<Place>] {
        &self.places
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

    /// Whether each engine can run a workflow.
    pub async fn report(&self, endpoint: &Endpoint) -> Vec<Report> {
        let all = self.places.iter().map(|place| place.readiness.report_workflow(endpoint));
        futures_util::future::join_all(all).await
    }

    /// The same for one request.
    pub async fn report_for(&self, prepared: &Prepared) -> Vec<Report> {
        let need = prepared.need();
        futures_util::future::join_all(self.places.iter().map(|place| place.readiness.report(&need))).await
    }

    /// What the first engine that answers can do.
    pub async fn known(&self) -> Result<Arc<Capabilities>, RunError> {
        let mut refusal = None;
        for place in self.least_busy_first() {
            match place.readiness.known().await {
                Ok(known) => return Ok(known),
                Err(error) => refusal = Some(failure::engine_error(place.engine.name(), error)),
            }
        }
        Err(refusal.unwrap_or_else(no_engine))
    }

    /// An engine that has what a request needs; of several, the one with the least to do. LoRAs that the request tells
    /// by their address get the names that this engine has for them.
    pub async fn choose(&self, prepared: &mut Prepared) -> Result<Arc<Place>, RunError> {
        let mut refusal = None;
        for place in self.least_busy_first() {
            let engine = place.engine.name();
            let missing = place.readiness.missing(&prepared.need()).await;
            match missing {
                Ok(missing) if missing.is_empty() => {
                    models::check(&place, prepared).await?;
                    return Ok(place);
                }
                Ok(missing) => refusal = Some(RunError::NotReady { engine: engine.to_owned(), missing }),
                // An engine that answers and lacks something tells more than one that does not answer.
                Err(error) => refusal = refusal.or_else(|| Some(failure::engine_error(engine, error))),
            }
        }
        Err(refusal.unwrap_or_else(no_engine))
    }

    /// An engine that has all of these node classes.
    pub async fn choose_by_classes(&self, classes: &BTreeSet<String>) -> Result<Arc<Place>, RunError> {
        let mut refusal = None;
        for place in self.least_busy_first() {
            let engine = place.engine.name();
            match place.readiness.known().await {
                Ok(known) => {
                    let missing = Missing::of_classes(classes.difference(&known.classes));
                    if missing.is_empty() {
                        return Ok(place);
                    }
                    refusal = Some(RunError::NotReady { engine: engine.to_owned(), missing });
                }
                Err(error) => refusal = refusal.or_else(|| Some(failure::engine_error(engine, error))),
            }
        }
        Err(refusal.unwrap_or_else(no_engine))
    }

    fn least_busy_first(&self) -> Vec<Arc<Place>> {
        let mut places = self.places.clone();
        places.sort_by_key(|place| place.outstanding.load(Ordering::Relaxed));
        places
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
        let engine = place.engine.name().to_owned();
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

/// Without any engine nothing could have been asked.
fn no_engine() -> RunError {
    RunError::Unreachable { engine: "(none configured)".to_owned() }
}

/// A JSON pointer of one step.
pub fn pointer(step: &str) -> String {
    format!("/{}", step.replace('~', "~0").replace('/', "~1"))
}
