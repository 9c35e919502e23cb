//! Warming up: the smallest instance of each workflow is run on each engine when the server starts, so that models are
//! loaded, and what does not run is known, before anybody waits for it.
//!
//! These runs are no jobs: nobody asked for them, nothing of them is kept, and they end with the server. An engine that is
//! away is waited for, and none of it for longer than the limit.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use comfyport_endpoint::{Endpoint, Held};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::AppState,
    config::{WarmUp as Settings, seconds},
    endpoints::is_among,
    intake::Purpose,
    pool::{Place, State},
    run::{Attempt, Body, Draft, Finish, Limit, Options, Plan, RunError, Start, Stop, Update, Witness},
};

mod smallest;

/// How long engines have to take prompts back when time is up.
const FAREWELL: Duration = Duration::from_secs(5);

/// What was run, or is to be.
#[derive(Debug)]
pub struct WarmUp {
    settings: Settings,
    over: AtomicBool,
    runs: Mutex<Vec<Run>>,
}

/// One workflow on one engine.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    engine: String,
    workflow: String,
    /// `waiting`, `running`, `done`, `failed` or `skipped`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// All of it, as `/ready` tells it.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Whether it has come to an end, of whatever kind.
    pub over: bool,
    /// How many were run.
    pub done: usize,
    /// How many there are.
    pub all: usize,
    /// Those that were not run, and why.
    pub not_done: Vec<Run>,
}

impl WarmUp {
    /// Nothing is run yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        let over = AtomicBool::new(!settings.enabled);
        Arc::new(Self { settings, over, runs: Mutex::default() })
    }

    /// How far it is; nothing where nobody wants it.
    pub fn summary(&self) -> Option<Summary> {
        if !self.settings.enabled {
            return None;
        }
        let runs = self.runs();
        let over = self.over.load(Ordering::Acquire);
        let is_open = |run: &&Run| matches!(run.state, "waiting" | "running");
        Some(Summary {
            over,
            done: runs.iter().filter(|run| run.state == "done").count(),
            all: runs.len(),
            not_done: runs
                .iter()
                .filter(|run| run.state != "done" && (over || !is_open(run)))
                .cloned()
                .collect(),
        })
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, Vec<Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, index: usize, state: &'static str, took: Option<Duration>, why: Option<String>) {
        if let Some(run) = self.runs().get_mut(index) {
            let took_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            (run.state, run.took_ms, run.why) = (state, took_ms, why);
        }
    }

    /// What has not come to an end does not any more.
    fn give_up(&self) {
        let why = format!("not within {} s (`warm_up.limit_s`)", self.settings.limit_s);
        for run in self.runs().iter_mut().filter(|run| matches!(run.state, "waiting" | "running")) {
            (run.state, run.why) = ("failed", Some(why.clone()));
        }
    }

    fn is_chosen(&self, path: &str) -> bool {
        let chosen = &self.settings.workflows;
        chosen.is_empty() || chosen.iter().any(|pattern| is_among(path, pattern))
    }
}

/// Runs all that are wanted: engines beside each other, the workflows of each one after the other.
pub async fn run(app: AppState) {
    let warm_up = Arc::clone(&app.warm_up);
    if !warm_up.settings.enabled {
        return;
    }
    let now = app.endpoints.now();
    let served: Vec<Held<Endpoint>> =
        now.served().filter(|endpoint| warm_up.is_chosen(&endpoint.path)).cloned().collect();
    let places = app.jobs.pool.places().to_vec();
    for place in &places {
        warm_up.runs().extend(served.iter().map(|endpoint| Run {
            engine: place.name().to_owned(),
            workflow: endpoint.path.to_string(),
            state: "waiting",
            took_ms: None,
            why: None,
        }));
    }
    let limit = seconds(warm_up.settings.limit_s);
    let stop = app.stopping.child_token();
    let each = places.iter().enumerate().map(|(number, place)| {
        let (app, place, served, stop) = (app.clone(), Arc::clone(place), served.clone(), stop.clone());
        tokio::spawn(async move { engine(&app, &place, &served, number * served.len(), &stop).await })
    });
    let mut all = futures_util::future::join_all(each.collect::<Vec<_>>());
    tokio::select! {
        _ = &mut all => {}
        () = tokio::time::sleep(limit) => {
            tracing::warn!(limit_s = limit.as_secs(), "warming up takes too long; going on without");
            // Prompts are taken back, as far as engines listen.
            stop.cancel();
            tokio::time::timeout(FAREWELL, all).await.ok();
            warm_up.give_up();
        }
    }
    warm_up.over.store(true, Ordering::Release);
    if let Some(Summary { done, all, .. }) = warm_up.summary() {
        tracing::info!(done, all, "warmed up");
    }
}

async fn engine(
    app: &AppState,
    place: &Arc<Place>,
    served: &[Held<Endpoint>],
    first: usize,
    stop: &CancellationToken,
) {
    let mut changes = app.jobs.pool.changed();
    place.look_unless_within(Duration::ZERO).await;
    while place.state() == State::Down {
        tokio::select! {
            _ = changes.changed() => {}
            () = stop.cancelled() => return,
        }
    }
    for (index, endpoint) in (first..).zip(served) {
        app.warm_up.note(index, "running", None, None);
        let begun = Instant::now();
        let ran = one(app, place, endpoint, stop).await;
        if stop.is_cancelled() {
            return;
        }
        match ran {
            Ok(()) => app.warm_up.note(index, "done", Some(begun.elapsed()), None),
            Err((state, why)) => {
                let (engine, workflow) = (place.name(), &*endpoint.path);
                tracing::warn!(engine, workflow, state, why, "a workflow was not warmed up");
                app.warm_up.note(index, state, None, Some(why));
            }
        }
    }
}

/// Runs one workflow. Why not, if it does not run: skipped, or failed.
async fn one(
    app: &AppState,
    place: &Arc<Place>,
    endpoint: &Held<Endpoint>,
    stop: &CancellationToken,
) -> Result<(), (&'static str, String)> {
    let skipped = |why: String| ("skipped", why);
    let failed = |error: RunError| ("failed", error.to_string());
    let request = smallest::request(endpoint);
    let request = request.ok_or_else(|| skipped("it takes a file that cannot be made up".to_owned()))?;
    let body = Body::Json(Bytes::from(request.to_string()));
    let draft = Draft::read(endpoint.clone(), body, &app.jobs.settings.request);
    let prepared = app.jobs.prepare(draft, "", Purpose::Keep).await.map_err(failed)?;
    let missing =
        place.lacks(&prepared.requirement()).await.map_err(|error| ("failed", error.to_string()))?;
    if !missing.is_empty() {
        return Err(skipped(format!("missing: {}", missing.sentence())));
    }
    let (occupied, id) = (place.occupy(), Uuid::new_v4());
    let attempt = Attempt {
        place,
        occupied: &occupied,
        files: &app.jobs.files,
        workshop: &app.jobs.workshop,
        finish: Finish::of(&Options::default()),
        shelf: None,
        job: id,
        prompt_id: id,
        limit: Limit {
            cancelled: stop.clone(),
            leaving: CancellationToken::new(),
            taken: CancellationToken::new(),
            timeout: seconds(app.warm_up.settings.timeout_s),
            deadline: None,
        },
        witness: &Nobody,
    };
    let ran = attempt.run(Plan::Endpoint(Box::new(prepared)), Start::Fresh, Duration::ZERO).await;
    // It is no secret, and of no use to anybody.
    if let Err(error) = place.engine.forget(id).await {
        tracing::debug!(%error, "the engine keeps the history of a warm-up");
    }
    match ran {
        Ok(_) => Ok(()),
        Err(Stop::Error(error)) => Err(failed(error)),
        Err(Stop::Cancelled | Stop::Expired | Stop::Left | Stop::Taken | Stop::Unsent) => {
            Err(skipped("it was stopped".to_owned()))
        }
    }
}

/// Nobody watches.
#[derive(Debug)]
struct Nobody;

impl Witness for Nobody {
    fn submitted(&self) {}

    fn update(&self, _: Update) {}
}
