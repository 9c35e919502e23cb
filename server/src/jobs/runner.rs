//! One job in our hands: from being taken to its end, or back into the queue.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use comfyport_store::{
    Job, State, StoreError,
    transition::{Ending, Return},
};

use super::{
    Jobs,
    retry::{Fate, TAKEOVERS, fate},
};
use crate::{
    pool::{Occupied, Place},
    problem::{Code, Problem},
    run::{
        Attempt, Finish, GraphPlan, KeptRequest, Limit, Options, Plan, Prepared, RunError, Start, Step, Stop,
        Update, Witness, Yield,
    },
    shelves::Shelf,
};

/// Progress is kept no more often than this.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Nor for less than so many percent.
const KEEP_STEP: f64 = 5.0;

/// Between two tries to write down what became of a job.
const STORE_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A job, the place it runs at, and what was begun of it before.
pub(super) struct Runner {
    pub(super) jobs: Arc<Jobs>,
    pub(super) job: Job,
    pub(super) place: Arc<Place>,
    pub(super) start: Start,
    pub(super) control: super::Control,
    pub(super) occupied: Occupied,
}

impl Runner {
    pub(super) async fn run(self) {
        let Self { jobs, job, place, start, control, occupied } = self;
        let started = Instant::now();
        let hears = Hears::new(&jobs, &job);
        let stop = if job.takeovers >= TAKEOVERS {
            Err(None)
        } else {
            patiently(&jobs, &job, &place, &occupied, start, &control, &hears).await.map_err(Some)
        };
        let submitted =
            hears.submitted.load(Ordering::Relaxed) || start == (Start::Adopt { submitted: true });
        match stop {
            Ok(done) => {
                succeed(&jobs, &job, &done).await;
                jobs.estimates.note(&job.workflow, started.elapsed());
            }
            Err(Some(Stop::Taken)) => give_up(&jobs, &job, &place).await,
            Err(Some(Stop::Left)) => leave(&jobs, &job, submitted).await,
            Err(Some(Stop::Unsent)) => {
                give_back(&jobs, &job, "worker_lost", super::retry::Again::default(), &place).await;
            }
            Err(Some(Stop::Cancelled)) => {
                let problem = Problem::new(Code::Cancelled, "somebody cancelled the job");
                end(&jobs, &job, State::Cancelled, &problem).await;
            }
            Err(Some(Stop::Expired)) => {
                let problem = Problem::new(Code::Expired, "the job's deadline passed before it ended");
                end(&jobs, &job, State::Expired, &problem).await;
            }
            Err(Some(Stop::Error(error))) => settle(&jobs, &job, &place, error).await,
            Err(None) => end(&jobs, &job, State::Failed, &poison()).await,
        }
        drop(occupied);
        jobs.let_go(&job);
    }
}

/// Runs a try. An engine that goes away with the prompt is waited for, if no other could run the job: its prompt may
/// well go on.
async fn patiently(
    jobs: &Arc<Jobs>,
    job: &Job,
    place: &Arc<Place>,
    occupied: &Occupied,
    mut start: Start,
    control: &super::Control,
    hears: &Hears,
) -> Result<Yield, Stop> {
    let options: crate::run::Options = serde_json::from_str(&job.options).unwrap_or_default();
    let allowed = options.timeout(jobs.settings.timeout);
    let until = Instant::now() + allowed;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let stop = match attempt(jobs, job, place, occupied, start, control, hears, left).await {
            Ok(done) => return Ok(done),
            Err(stop) => stop,
        };
        if !matches!(stop, Stop::Error(RunError::Away { .. })) {
            return Err(stop);
        }
        let submitted =
            hears.submitted.load(Ordering::Relaxed) || start == (Start::Adopt { submitted: true });
        if jobs.has_other(job, place) {
            place.orphan(prompt_id(job));
            return Err(if submitted { stop } else { Stop::Unsent });
        }
        tracing::warn!(job = %job.id, engine = place.name(), "the engine is away with a job; waiting for it");
        start = Start::Adopt { submitted };
        tokio::select! {
            () = back(jobs, place) => {}
            () = control.cancelled.cancelled() => {
                place.orphan(prompt_id(job));
                return Err(Stop::Cancelled);
            }
            () = jobs.leaving.cancelled() => return Err(Stop::Left),
            () = control.taken.cancelled() => return Err(Stop::Taken),
            () = tokio::time::sleep_until(until.into()) => {
                place.orphan(prompt_id(job));
                return Err(RunError::Timeout { after: allowed }.into());
            }
        }
    }
}

/// Waits until an engine answers again.
async fn back(jobs: &Jobs, place: &Arc<Place>) {
    let mut changes = jobs.pool.changed();
    // What is thought of an engine lags behind what happened to it.
    tokio::time::sleep(AWAY).await;
    while place.state() == crate::pool::State::Down {
        changes.changed().await.ok();
    }
}

fn prompt_id(job: &Job) -> uuid::Uuid {
    job.prompt_id.unwrap_or_else(|| comfyport_store::claim::prompt_id(job.id, job.fence))
}

/// An engine that went away is not asked again before this.
const AWAY: Duration = Duration::from_secs(1);

#[expect(clippy::too_many_arguments, reason = "all of them belong to one try")]
async fn attempt(
    jobs: &Arc<Jobs>,
    job: &Job,
    place: &Arc<Place>,
    occupied: &Occupied,
    start: Start,
    control: &super::Control,
    hears: &Hears,
    timeout: Duration,
) -> Result<Yield, Stop> {
    let plan = plan(jobs, job, place).await?;
    let options: Options = serde_json::from_str(&job.options).unwrap_or_default();
    let queued = jobs.store.now().saturating_sub(job.created_at);
    let deadline = job.deadline.map(|deadline| {
        let left = deadline.saturating_sub(jobs.store.now());
        Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0))
    });
    let attempt = Attempt {
        place,
        occupied,
        files: &jobs.files,
        workshop: &jobs.workshop,
        finish: Finish::of(&options),
        shelf: match &options.send_to {
            Some(prefix) => Some(Shelf::Address { fetcher: jobs.intake.fetcher(), prefix }),
            None => jobs.shelves.shelf(options.store.as_ref(), &job.owner, job.id),
        },
        job: job.id,
        prompt_id: prompt_id(job),
        limit: Limit {
            cancelled: control.cancelled.clone(),
            leaving: jobs.leaving.clone(),
            taken: control.taken.clone(),
            timeout,
            deadline,
        },
        witness: hears,
    };
    attempt.run(plan, start, Duration::from_millis(u64::try_from(queued).unwrap_or(0))).await
}

/// Reads what is to be run.
async fn plan(jobs: &Arc<Jobs>, job: &Job, place: &Arc<Place>) -> Result<Plan, RunError> {
    let gone = |why: &str| RunError::Gone { why: why.to_owned() };
    let request = KeptRequest::parse(&job.request);
    let request = request.ok_or_else(|| gone("the request cannot be read any more"))?;
    if let Some(graph) = &request.graph {
        let known = place.readiness.known().await;
        let known = known.map_err(|error| crate::run::engine_error(place.name(), error))?;
        let read = GraphPlan::read(graph.get().as_bytes(), |class| known.output_classes.contains(class));
        let mut plan = read.map_err(|_| gone("the graph has no output that this engine knows"))?;
        plan.fetch(&request.attached, &jobs.intake, &jobs.files).await?;
        return Ok(Plan::Graph(Box::new(plan)));
    }
    let endpoint = jobs.endpoints.now().find(&job.workflow).and_then(|entry| entry.endpoint.clone());
    let endpoint = endpoint.ok_or_else(|| gone("the workflow is no longer served"))?;
    let restored = Prepared::restore(endpoint, &request, &jobs.intake, &jobs.files, &jobs.settings.request);
    let prepared = restored.await.map_err(|error| match error {
        RunError::Request { .. } => gone("the workflow has changed, and does not take the request any more"),
        other => other,
    })?;
    Ok(Plan::Endpoint(Box::new(prepared)))
}

impl Jobs {
    /// The graph that a request to an endpoint becomes, if it can still be read. Files are in it by our names for them.
    pub async fn written(&self, job: &Job, request: &KeptRequest) -> Option<String> {
        let endpoint = self.endpoints.now().find(&job.workflow).and_then(|entry| entry.endpoint.clone())?;
        let restored =
            Prepared::restore(endpoint, request, &self.intake, &self.files, &self.settings.request);
        let mut plan = Plan::Endpoint(Box::new(restored.await.ok()?));
        plan.name_files();
        String::from_utf8(plan.prompt(&format!("comfyport/{}", job.id))).ok()
    }
}

/// Writes something down, however long the store is not available: what is known of a run that has ended is known
/// nowhere else.
pub(super) async fn persist<T, F: Future<Output = Result<T, StoreError>>>(
    job: &Job,
    mut write: impl FnMut() -> F,
) -> Option<T> {
    let mut pause = STORE_PAUSES.0;
    loop {
        match write().await {
            Ok(written) => return Some(written),
            Err(error) if error.may_pass() => {
                tracing::error!(job = %job.id, %error, "cannot write down what became of a job; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(STORE_PAUSES.1);
            }
            Err(error) => {
                tracing::error!(job = %job.id, %error, "cannot write down what became of a job");
                return None;
            }
        }
    }
}

async fn succeed(jobs: &Jobs, job: &Job, done: &Yield) {
    let result = serde_json::to_string(done).ok();
    let records = done.records();
    let ended = persist(job, || {
        let ending = Ending {
            state: State::Succeeded,
            result: result.clone(),
            problem: None,
            artifacts: records.clone(),
        };
        jobs.store.finish(job.id, job.fence, ending)
    });
    if let Some(Some(_)) = ended.await {
        if jobs.files.are_ours() {
            done.artifacts().for_each(crate::artifacts::Artifact::keep);
        }
        tracing::info!(job = %job.id, workflow = job.workflow, engine = done.engine, "job succeeded");
        jobs.counts.ended(job, State::Succeeded, &done.engine, Some(done.timing));
    } else {
        tracing::warn!(job = %job.id, fence = job.fence, "a result came too late and was dropped");
    }
}

/// Ends a job that yielded nothing.
pub(super) async fn end(jobs: &Jobs, job: &Job, state: State, problem: &Problem) {
    let text = String::from_utf8(problem.to_json()).ok();
    let ended = persist(job, || {
        let ending = Ending { state, result: None, problem: text.clone(), artifacts: Vec::new() };
        jobs.store.finish(job.id, job.fence, ending)
    });
    if let Some(Some(_)) = ended.await {
        tracing::warn!(job = %job.id, workflow = job.workflow, state = %state, why = problem.detail(), "job ended");
        jobs.counts.ended(job, state, job.engine.as_deref().unwrap_or_default(), None);
    }
}

/// Decides what becomes of a job whose try went wrong.
async fn settle(jobs: &Jobs, job: &Job, place: &Arc<Place>, error: RunError) {
    let others = jobs.has_other(job, place);
    match fate(&error, job, others) {
        Fate::Fail => end(jobs, job, State::Failed, &Problem::from(error)).await,
        Fate::Park => end(jobs, job, State::Failed, &poison()).await,
        Fate::Cancel => end(jobs, job, State::Cancelled, &Problem::from(error)).await,
        Fate::Again(again) => {
            if again.free
                && let Err(error) = place.engine.free().await
            {
                tracing::warn!(engine = place.name(), %error, "the engine did not free its memory");
            }
            let code = Problem::from(error).code();
            tracing::warn!(job = %job.id, engine = place.name(), code = code.as_str(), "job is tried again");
            jobs.counts.retried(job, code);
            give_back(jobs, job, code.as_str(), again, place).await;
        }
    }
}

async fn give_back(jobs: &Jobs, job: &Job, reason: &str, again: super::retry::Again, place: &Arc<Place>) {
    persist(job, || {
        let back = Return {
            counts: again.counts,
            crashed: again.crashed,
            pause: again.pause.map(|pause| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)),
            avoid: again.elsewhere.then(|| place.name().to_owned()),
            reason: reason.to_owned(),
        };
        jobs.store.give_back(job.id, job.fence, back)
    })
    .await;
}

/// Another server has the job. Its prompt goes on if that one watches it; with any other try it is one too many.
async fn give_up(jobs: &Jobs, job: &Job, place: &Arc<Place>) {
    tracing::warn!(job = %job.id, fence = job.fence, "another server has the job now");
    let is_watched = match jobs.store.job(job.id).await {
        Ok(now) => now.is_some_and(|now| now.state == State::Running && now.prompt_id == job.prompt_id),
        // Better once too often than not at all.
        Err(_) => true,
    };
    if !is_watched {
        place.orphan(prompt_id(job));
    }
}

/// The server is about to end: what runs is left running, and what does not goes back. Neither counts.
async fn leave(jobs: &Jobs, job: &Job, submitted: bool) {
    let left = if submitted {
        jobs.store.hand_over(job.id, job.fence).await.map(drop)
    } else {
        let back = Return {
            counts: false,
            crashed: false,
            pause: None,
            avoid: None,
            reason: Code::Stopping.as_str().to_owned(),
        };
        jobs.store.give_back(job.id, job.fence, back).await.map(drop)
    };
    // Whoever comes next finds that nobody holds it.
    if let Err(error) = left {
        tracing::warn!(job = %job.id, %error, "a job could not be handed over");
    }
}

pub(super) fn poison() -> Problem {
    let detail =
        "engines or servers went down again and again while they had this job, so it is not tried any more";
    Problem::new(Code::Poison, detail)
}

/// Passes on what happens to a job.
#[derive(Debug)]
struct Hears {
    jobs: Arc<Jobs>,
    id: uuid::Uuid,
    fence: i64,
    previews: bool,
    started: Instant,
    submitted: AtomicBool,
    kept: Mutex<(Instant, f64)>,
}

impl Hears {
    fn new(jobs: &Arc<Jobs>, job: &Job) -> Self {
        let now = Instant::now();
        let options: crate::run::Options = serde_json::from_str(&job.options).unwrap_or_default();
        Self {
            jobs: Arc::clone(jobs),
            id: job.id,
            fence: job.fence,
            previews: options.previews,
            started: now,
            submitted: AtomicBool::new(false),
            kept: Mutex::new((now, 0.0)),
        }
    }

    /// Seconds until the end, if it goes on like this.
    fn eta(&self, percent: f64) -> Option<f64> {
        let so_far = self.started.elapsed().as_secs_f64();
        (percent >= 1.0 && so_far >= 1.0)
            .then(|| (so_far * (100.0 - percent) / percent * 10.0).round() / 10.0)
    }

    fn keep(&self, step: &Step) {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.0.elapsed() < KEEP_EVERY || step.percent < kept.1 + KEEP_STEP {
                return;
            }
            *kept = (Instant::now(), step.percent);
        }
        let Ok(text) = serde_json::to_string(step) else { return };
        let (store, id, fence) = (self.jobs.store.clone(), self.id, self.fence);
        tokio::spawn(async move {
            if let Err(error) = store.progressed(id, fence, text).await {
                tracing::debug!(job = %id, %error, "progress was not kept");
            }
        });
    }
}

impl Witness for Hears {
    fn submitted(&self) {
        self.submitted.store(true, Ordering::Relaxed);
        let (jobs, id, fence) = (Arc::clone(&self.jobs), self.id, self.fence);
        // Nobody waits for it: without it, whoever comes next looks for the prompt, and finds it.
        tokio::spawn(async move {
            match jobs.store.submitted(id, fence).await {
                Ok(true) => {}
                Ok(false) => jobs.lose(id, fence),
                Err(error) => tracing::debug!(job = %id, %error, "a submission was not noted"),
            }
        });
    }

    fn update(&self, update: Update) {
        let update = match update {
            Update::Progress(step) => {
                let step = Step { eta_s: self.eta(step.percent), ..step };
                self.keep(&step);
                Update::Progress(step)
            }
            Update::Preview { .. } if !self.previews => return,
            other => other,
        };
        self.jobs.hub().live(self.id, update);
    }
}
