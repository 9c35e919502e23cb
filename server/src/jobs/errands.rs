//! Errands: what this server does itself, in jobs that are kept, watched and cancelled like all others.
//!
//! They stand in the queue under a path that no workflow has, so nobody gives them to an engine. They are taken here, at a
//! *desk* that stands for the engine whose folders are on this machine; another server that shares the store leaves them
//! to us. An errand that was left halfway goes back into the queue, and goes on from what it left.

mod missing;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use comfyport_store::{
    Job, State, StoreError,
    claim::{Assignment, Lane},
    list::Filter,
    submit::NewJob,
    transition::{Ending, Return},
    usage::{DAY, Usage},
};
use serde_json::json;

use super::{
    Accepted, Asked, Control, Jobs, lock,
    retry::TAKEOVERS,
    runner::{end, persist, poison},
};
use crate::{
    pool::Occupied,
    problem::{Code, Problem},
    run::{Options, Timing, Update},
    supplies::{
        Done,
        board::{Board, Progress},
        errand::{Errand, Kind, at_desk},
    },
};

pub use missing::Waiting;

/// Without any news, the queue is looked at this often.
const LOOK: Duration = Duration::from_secs(2);

/// Between two looks, whatever the news.
const PAUSE: Duration = Duration::from_millis(100);

/// Errands of a kind that are looked at together. Nobody has so many.
const MOST: u32 = 200;

/// How often those who watch are told how far an errand is.
const TELL: Duration = Duration::from_millis(250);

/// Progress is kept no more often than this, nor for less than so many percent.
const KEEP: (Duration, f64) = (Duration::from_secs(1), 5.0);

/// Under what the bytes of a day are counted.
const COUNTED: (&str, &str) = ("supplies", "fetched_bytes");

/// Gives out errands until the server does not take any more.
pub(super) async fn run(jobs: Arc<Jobs>) {
    if !jobs.supplies.settings.are_used() && !jobs.supplies.may_help() {
        return;
    }
    while !jobs.draining.is_cancelled() {
        if let Err(error) = missing::look(&jobs).await {
            tracing::error!(%error, "jobs that nobody can run cannot be looked for");
        }
        match round(&jobs).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::error!(%error, "errands cannot be looked for"),
        }
        tokio::select! {
            () = jobs.ears.errands.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = jobs.draining.cancelled() => {}
        }
        // Where much happens, not everything is looked at.
        tokio::time::sleep(PAUSE).await;
    }
}

async fn round(jobs: &Arc<Jobs>) -> Result<usize, StoreError> {
    let mut assignments: BTreeMap<Lane, Assignment> = BTreeMap::new();
    for kind in Kind::ALL {
        let filter = Filter {
            states: vec![State::Queued],
            workflow: Some(kind.path().to_owned()),
            ..Filter::default()
        };
        for job in jobs.store.list(filter, MOST).await? {
            let Some(errand) = read(&job) else { continue };
            // Where nobody else shares the store, nobody else will ever do it.
            if !jobs.supplies.does(kind, &errand.engine) && !jobs.files.are_ours() {
                continue;
            }
            let lane = Lane { rank: i64::from(9 - job.priority), owner: job.owner, need: job.need };
            let assignment = Assignment {
                lane: lane.clone(),
                engine: kind.desk(&errand.engine),
                concurrency: jobs.supplies.at_once(kind),
            };
            assignments.insert(lane, assignment);
        }
    }
    if assignments.is_empty() {
        return Ok(0);
    }
    let taken = jobs.store.claim(assignments.into_values().collect(), jobs.id.clone()).await?;
    let count = taken.len();
    jobs.taken_from_queue(count);
    for job in taken {
        launch(jobs, job);
    }
    Ok(count)
}

fn launch(jobs: &Arc<Jobs>, job: Job) {
    let control = jobs.take_in_hand(&job);
    jobs.tasks.spawn(Runner { jobs: Arc::clone(jobs), job, control }.run());
}

fn read(job: &Job) -> Option<Errand> {
    serde_json::from_str(&job.request).ok()
}

/// Puts errands of ours that a process left back into the queue. Answers whether it was one.
pub(super) async fn take_back(
    jobs: &Arc<Jobs>,
    orphan: &comfyport_store::fleet::Orphan,
) -> Result<bool, StoreError> {
    let desk = orphan.engine.as_deref().and_then(at_desk);
    let Some((engine, kind)) = desk else { return Ok(false) };
    if !jobs.supplies.does(kind, engine) && !jobs.files.are_ours() {
        return Ok(false);
    }
    let Some(job) = jobs.store.take_over(orphan.clone(), jobs.id.clone()).await? else { return Ok(true) };
    tracing::info!(job = %job.id, "an errand that was left halfway goes on");
    jobs.store.give_back(job.id, job.fence, back("worker_lost")).await?;
    Ok(true)
}

fn back(reason: &str) -> Return {
    Return { counts: false, crashed: false, pause: None, avoid: None, reason: reason.to_owned() }
}

impl Jobs {
    /// Accepts an errand.
    pub async fn submit_errand(
        &self,
        kind: Kind,
        errand: &Errand,
        asked: &Asked,
    ) -> Result<Accepted, Problem> {
        let request = serde_json::to_string(errand).unwrap_or_default();
        let described = self.described(kind.path(), request, &Options::default(), asked);
        let new = NewJob { need: kind.need(&errand.engine), ..described };
        self.accept(vec![new], None, asked).await
    }

    /// How many bytes an errand may fetch now.
    async fn allowance(&self) -> Result<u64, StoreError> {
        let today = self.store.now() / DAY;
        let used = self.store.usage(Some(COUNTED.0.to_owned()), today).await?;
        let used: i64 = used.iter().filter(|usage| usage.kind == COUNTED.1).map(|usage| usage.amount).sum();
        let settings = &self.supplies.settings;
        let left = settings.max_day_bytes.saturating_sub(u64::try_from(used).unwrap_or(0));
        Ok(settings.max_job_bytes.min(left))
    }

    async fn count_fetched(&self, bytes: u64) {
        let usage = Usage {
            subject: COUNTED.0.to_owned(),
            day: self.store.now() / DAY,
            kind: COUNTED.1.to_owned(),
            amount: i64::try_from(bytes).unwrap_or(i64::MAX),
        };
        if bytes > 0
            && let Err(error) = self.store.add_usage(vec![usage]).await
        {
            tracing::warn!(%error, "what was fetched cannot be counted at the moment");
        }
    }
}

/// Why an errand was not done.
enum Stop {
    Cancelled,
    /// The server is about to end.
    Left,
    /// Another server has it now.
    Taken,
    /// More bytes than it may fetch.
    Spent,
    /// The store does not answer.
    Store(StoreError),
}

/// An errand in our hands.
struct Runner {
    jobs: Arc<Jobs>,
    job: Job,
    control: Control,
}

impl Runner {
    async fn run(self) {
        let Self { jobs, job, .. } = &self;
        let begun = Instant::now();
        match read(job) {
            _ if job.takeovers >= TAKEOVERS => end(jobs, job, State::Failed, &poison()).await,
            None => {
                let problem = Problem::new(Code::Internal, "what was asked for cannot be read any more");
                end(jobs, job, State::Failed, &problem).await;
            }
            Some(errand) => match self.work(&errand).await {
                Ok(done) => settle(jobs, job, &errand, done, begun).await,
                Err(why) => stop(jobs, job, &errand, why).await,
            },
        }
        lock(&jobs.ears.controls).remove(job);
        jobs.ears.errands.notify_one();
        jobs.ears.queue.notify_one();
    }

    async fn work(&self, errand: &Errand) -> Result<Done, Stop> {
        let Self { jobs, job, control } = self;
        let allowance = jobs.allowance().await.map_err(Stop::Store)?;
        let board = Arc::new(Board::new(errand.names(), allowance));
        let kind = Kind::of(&job.workflow).unwrap_or(Kind::Pull);
        // ComfyUI is started anew for packs: what runs there comes to its end first, and nothing more is sent.
        let _held = self.hold(kind, errand, &board).await?;
        let mut work = jobs.supplies.run(kind, errand, &board);
        // What was begun of packs is carried through.
        let stops = kind == Kind::Pull;
        let mut tick = tokio::time::interval(TELL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut kept = (Instant::now(), -KEEP.1);
        let outcome = loop {
            tokio::select! {
                biased;
                () = control.cancelled.cancelled(), if stops => break Err(Stop::Cancelled),
                () = control.taken.cancelled() => break Err(Stop::Taken),
                // What has arrived is kept, and the next server goes on from there.
                () = jobs.draining.cancelled(), if stops => break Err(Stop::Left),
                () = jobs.leaving.cancelled() => break Err(Stop::Left),
                () = board.spent.cancelled() => break Err(Stop::Spent),
                done = &mut work => break Ok(done),
                _ = tick.tick() => self.tell(board.progress(), &mut kept),
            }
        };
        drop(work);
        jobs.count_fetched(outcome.as_ref().map_or_else(|_| board.fetched(), |done| done.fetched)).await;
        outcome
    }

    /// Takes all the room of an engine that is to be started anew, as soon as it is free.
    async fn hold(&self, kind: Kind, errand: &Errand, board: &Board) -> Result<Vec<Occupied>, Stop> {
        let Self { jobs, control, .. } = self;
        let Some(place) = jobs.pool.place(&errand.engine).filter(|_| kind == Kind::Install) else {
            return Ok(Vec::new());
        };
        board.all("waiting for what runs");
        let mut changes = jobs.pool.changed();
        let held: Vec<Occupied> = (0..place.slots()).map(|_| place.occupy()).collect();
        while place.outstanding() > held.len() {
            tokio::select! {
                _ = changes.changed() => {}
                () = control.cancelled.cancelled() => return Err(Stop::Cancelled),
                () = jobs.draining.cancelled() => return Err(Stop::Left),
                () = control.taken.cancelled() => return Err(Stop::Taken),
            }
        }
        Ok(held)
    }

    /// Tells those who watch, and keeps it now and then.
    fn tell(&self, progress: Progress, kept: &mut (Instant, f64)) {
        let percent = progress.percent.unwrap_or(0.0);
        if kept.0.elapsed() >= KEEP.0 && percent >= kept.1 + KEEP.1 {
            *kept = (Instant::now(), percent);
            let text = serde_json::to_string(&progress).unwrap_or_default();
            let (store, id, fence) = (self.jobs.store.clone(), self.job.id, self.job.fence);
            tokio::spawn(async move {
                if let Err(error) = store.progressed(id, fence, text).await {
                    tracing::debug!(job = %id, %error, "progress was not kept");
                }
            });
        }
        let progress = Arc::new(progress);
        missing::tell(&self.jobs, self.job.id, &progress);
        self.jobs.hub().live(self.job.id, Update::Errand(progress));
    }
}

/// Writes down what came of an errand.
async fn settle(jobs: &Jobs, job: &Job, errand: &Errand, done: Done, begun: Instant) {
    // What it has now is read from it anew.
    if let Some(place) = jobs.pool.place(&errand.engine) {
        place.readiness.forget();
    }
    if let Some(fault) = done.fault {
        missing::fail(jobs, job, errand, &fault).await;
        let problem = Problem::new(Code::SuppliesFailed, fault).with_items(done.items);
        return end(jobs, job, State::Failed, &problem).await;
    }
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let total = jobs.store.now().saturating_sub(job.created_at);
    let (total, ran) = (u64::try_from(total).unwrap_or(0), millis(begun.elapsed()));
    let timing =
        Timing { queued_ms: total.saturating_sub(ran), fetch_ms: ran, total_ms: total, ..Timing::default() };
    let what = if errand.packs.is_empty() { "models" } else { "packs" };
    let result = json!({
        "outputs": {what: done.items},
        "params": errand.params(),
        "engine": errand.engine,
        "timing": timing,
    });
    missing::succeeded(jobs, job, errand).await;
    if succeed(jobs, job, result.to_string()).await {
        tracing::info!(job = %job.id, errand = job.workflow, engine = errand.engine, "errand done");
        jobs.counts.ended(job, State::Succeeded, &errand.engine, None);
    }
}

/// Writes down why an errand was not done.
async fn stop(jobs: &Jobs, job: &Job, errand: &Errand, stop: Stop) {
    match stop {
        Stop::Taken => {}
        Stop::Cancelled => {
            missing::fail(jobs, job, errand, "somebody cancelled what was to fetch it").await;
            let problem =
                Problem::new(Code::Cancelled, "somebody cancelled the job; what has arrived is kept");
            end(jobs, job, State::Cancelled, &problem).await;
        }
        Stop::Left => give_back(jobs, job, back("stopping")).await,
        Stop::Spent => {
            let settings = &jobs.supplies.settings;
            let detail = format!(
                "it would fetch more than it may: {} bytes for a job (`supplies.max_job_bytes`), {} in a day \
                 (`supplies.max_day_bytes`); ask for less, try again tomorrow, or raise the limit",
                settings.max_job_bytes, settings.max_day_bytes
            );
            missing::fail(jobs, job, errand, &detail).await;
            end(jobs, job, State::Failed, &Problem::new(Code::SuppliesFailed, detail)).await;
        }
        Stop::Store(error) => {
            tracing::error!(%error, "an errand cannot be begun; trying again");
            let again = Return { pause: Some(1000), ..back("store_unavailable") };
            give_back(jobs, job, again).await;
        }
    }
}

async fn succeed(jobs: &Jobs, job: &Job, result: String) -> bool {
    let ended = persist(job, || {
        let result = Some(result.clone());
        let ending = Ending { state: State::Succeeded, result, problem: None, artifacts: Vec::new() };
        jobs.store.finish(job.id, job.fence, ending)
    });
    matches!(ended.await, Some(Some(_)))
}

async fn give_back(jobs: &Jobs, job: &Job, why: Return) {
    persist(job, || jobs.store.give_back(job.id, job.fence, why.clone())).await;
}
