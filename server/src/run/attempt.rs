//! One try of a job at one engine: from its input files to its output files.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use comfyport_comfyui::{Event, Outcome, SubmitError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Plan, RunError, Timing, Update, Yield,
    collect::{Absent, Cause, Collector},
    failure::{Names, engine_error},
    finish::Finish,
    models,
    progress::Progress,
    result::millis,
    stage::{StageError, stage},
};
use crate::{
    artifacts::Files,
    engine::{Prompt, Watch},
    media::Workshop,
    pool::{Note, Occupied, Place},
    shelves::Shelf,
};

/// Who hears how a try goes.
pub trait Witness: Send + Sync + std::fmt::Debug {
    /// The engine has the prompt.
    fn submitted(&self);

    /// Something happened on the way.
    fn update(&self, update: Update);
}

/// What ends a try before its time.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Somebody does not want the job any more.
    pub cancelled: CancellationToken,
    /// The server is about to end: what runs is left running.
    pub leaving: CancellationToken,
    /// Another server has the job now.
    pub taken: CancellationToken,
    /// How long it may run.
    pub timeout: Duration,
    /// When the job is to have ended.
    pub deadline: Option<Instant>,
}

/// Why a try did not yield anything.
#[derive(Debug)]
pub enum Stop {
    /// It went wrong.
    Error(RunError),
    /// Somebody does not want the job any more.
    Cancelled,
    /// The deadline of the job passed.
    Expired,
    /// The server is about to end. The engine may have the prompt, and goes on with it.
    Left,
    /// Another server has the job now, and the engine may have the prompt.
    Taken,
    /// The engine was never given the prompt, so nothing is lost.
    Unsent,
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Error(error)
    }
}

/// Where a try begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The engine has nothing yet.
    Fresh,
    /// The engine was given the prompt by somebody else, or may have been.
    Adopt {
        /// Whether it is known that the engine took it.
        submitted: bool,
    },
}

/// One try.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Where.
    pub place: &'a Arc<Place>,
    /// The room there that is kept for it.
    pub occupied: &'a Occupied,
    /// Where output files go.
    pub files: &'a Files,
    /// Where pictures are changed.
    pub workshop: &'a Workshop,
    /// What becomes of pictures that it yields.
    pub finish: Finish,
    /// Where outputs are copied to.
    pub shelf: Option<Shelf<'a>>,
    /// The job.
    pub job: Uuid,
    /// The id of its prompt, never used before.
    pub prompt_id: Uuid,
    /// What ends it early.
    pub limit: Limit,
    /// Who hears of it.
    pub witness: &'a dyn Witness,
}

/// Times of a try.
struct Clock {
    started: Instant,
    until: tokio::time::Instant,
}

/// Between two tries to store an output, at first and at most.
const STORAGE_PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

impl Attempt<'_> {
    /// Runs it. `queued` is how long the job waited before.
    pub async fn run(&self, mut plan: Plan, start: Start, queued: Duration) -> Result<Yield, Stop> {
        let now = Instant::now();
        let mut until = tokio::time::Instant::now() + self.limit.timeout;
        if let Some(deadline) = self.limit.deadline {
            until = until.min(deadline.into());
        }
        let clock = Clock { started: now, until };
        let names = plan.names();
        let watch = match start {
            Start::Fresh => self.submit(&mut plan, &names, &clock).await?,
            Start::Adopt { submitted } => self.adopt(&names, submitted, &clock).await?,
        };
        let prepared = clock.started.elapsed();
        let outcome = match self.hold(&clock, self.watch(watch, &names)).await {
            Ok(outcome) => outcome,
            Err(stop) => {
                if !matches!(stop, Stop::Left | Stop::Taken) {
                    self.cancel();
                }
                return Err(stop);
            }
        };
        let ran = clock.started.elapsed();
        let workflow = plan.workflow();
        let outputs = match outcome {
            Outcome::Succeeded { mut outputs, missing, timing } => {
                let with_engine = ran.saturating_sub(prepared);
                self.place.note(Note::Succeeded { workflow, ran: timing.took().unwrap_or(with_engine) });
                self.place.ran(workflow, plan.checkpoint().as_deref());
                // Half of the pictures that came over the socket are no result.
                outputs.retain(|node, _| !missing.contains(node));
                outputs
            }
            other => {
                // A node may have failed because somebody removed what it was to read.
                if matches!(other, Outcome::Failed(_)) {
                    self.place.uploaded.forget_these(plan.files().iter().map(|file| &*file.name));
                }
                return Err(self.failed(workflow, &names, other));
            }
        };
        let outputs = self.hold(&clock, self.collect(&plan, outputs)).await??;
        let total = clock.started.elapsed();
        Ok(Yield {
            outputs,
            params: plan.params(),
            engine: self.place.name().to_owned(),
            simulated: self.place.engine.is_simulated(),
            timing: Timing {
                queued_ms: millis(queued),
                prepare_ms: millis(prepared),
                engine_ms: millis(ran.saturating_sub(prepared)),
                fetch_ms: millis(total.saturating_sub(ran)),
                total_ms: millis(queued + total),
            },
        })
    }

    /// Does something unless the try is to end.
    async fn hold<F: Future>(&self, clock: &Clock, work: F) -> Result<F::Output, Stop> {
        tokio::select! {
            biased;
            () = self.limit.cancelled.cancelled() => Err(Stop::Cancelled),
            () = self.limit.leaving.cancelled() => Err(Stop::Left),
            () = self.limit.taken.cancelled() => Err(Stop::Taken),
            done = work => Ok(done),
            () = tokio::time::sleep_until(clock.until) => Err(self.late()),
        }
    }

    fn late(&self) -> Stop {
        if self.limit.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            Stop::Expired
        } else {
            Stop::Error(RunError::Timeout { after: self.limit.timeout })
        }
    }

    /// Puts the prompt into the engine's queue. If the engine does not find files that it was given earlier, they are
    /// given to it again: somebody cleaned its input folder.
    async fn submit(&self, plan: &mut Plan, names: &Names, clock: &Clock) -> Result<Box<dyn Watch>, Stop> {
        let engine = self.place.engine.as_ref();
        let prefix = format!("comfyport/{}", self.prompt_id);
        let mut again = true;
        loop {
            if let Plan::Endpoint(prepared) = &mut *plan {
                self.hold(clock, models::check(self.place, prepared)).await??;
            }
            let staging = stage(engine, &self.place.uploaded, self.files, plan.files().to_vec());
            let staged = self.hold(clock, staging).await?.map_err(|error| self.unstaged(error))?;
            plan.settle(&staged);
            let graph = plan.prompt(&prefix);
            self.occupied.prompt(self.prompt_id);
            let prompt = Prompt { id: self.prompt_id, graph: &graph, socket_nodes: &names.socket_nodes() };
            // Not given up halfway: a prompt that may have arrived must be found and removed, not forgotten.
            match engine.submit(prompt).await {
                Ok(watch) => {
                    self.place.note(Note::Submitted);
                    self.witness.submitted();
                    return Ok(watch);
                }
                Err(SubmitError::Rejected(_)) if staged.believed && again => {
                    self.place.uploaded.forget();
                    again = false;
                }
                Err(error) => {
                    if matches!(error, SubmitError::Unknown(_)) {
                        self.cancel();
                    }
                    self.place.readiness.forget();
                    let error = names.submit_error(engine.name(), error);
                    self.judge(plan.workflow(), &error);
                    return Err(error.into());
                }
            }
        }
    }

    /// Watches a prompt that is there already.
    async fn adopt(&self, names: &Names, submitted: bool, clock: &Clock) -> Result<Box<dyn Watch>, Stop> {
        let engine = self.place.engine.as_ref();
        let nodes = names.socket_nodes();
        self.occupied.prompt(self.prompt_id);
        match self.hold(clock, engine.adopt(self.prompt_id, &nodes)).await? {
            Ok(Some(watch)) => {
                self.witness.submitted();
                Ok(watch)
            }
            Ok(None) if submitted => Err(RunError::Lost.into()),
            Ok(None) => Err(Stop::Unsent),
            Err(error) => {
                self.unavailable(error);
                Err(RunError::Away { engine: engine.name().to_owned() }.into())
            }
        }
    }

    async fn watch(&self, mut watch: Box<dyn Watch>, names: &Names) -> Outcome {
        let mut progress = Progress::new(names);
        while let Some(event) = watch.next_event().await {
            if !matches!(event, Event::Queued { .. } | Event::Lagged | Event::Unknown) {
                self.place.note(Note::Progressed);
            }
            progress.tell(event).for_each(|update| self.witness.update(update));
        }
        watch.outcome().await
    }

    /// A disk that is full now may have room later: the outputs wait on the engine meanwhile.
    async fn collect(
        &self,
        plan: &Plan,
        yielded: std::collections::BTreeMap<String, comfyport_comfyui::NodeOutput>,
    ) -> Result<Vec<super::Named>, RunError> {
        let collector = Collector {
            engine: self.place.engine.as_ref(),
            files: self.files,
            workshop: self.workshop,
            finish: &self.finish,
            shelf: self.shelf.as_ref(),
            job: self.job,
        };
        let mut pause = STORAGE_PAUSES.0;
        loop {
            match collector.collect(plan.expected(), yielded.clone()).await {
                Ok(outputs) => return Ok(outputs),
                Err(Absent { cause: Cause::Disk, why, .. }) => {
                    tracing::error!(job = %self.job, why, "an output cannot be stored; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(STORAGE_PAUSES.1);
                }
                // They may still be there when it is back.
                Err(Absent { cause: Cause::Away, why, .. }) => return Err(self.away(&why)),
                Err(Absent { output, why, cause: Cause::Output }) => {
                    return Err(RunError::OutputMissing { output, why });
                }
            }
        }
    }

    /// The engine cannot be reached any more, and has the prompt.
    fn away(&self, why: &str) -> RunError {
        self.place.note(Note::Unreachable(why));
        // What comes back after a restart may be another installation.
        self.place.readiness.forget();
        self.place.uploaded.forget();
        RunError::Away { engine: self.place.name().to_owned() }
    }

    fn failed(&self, workflow: &str, names: &Names, outcome: Outcome) -> Stop {
        let error = match outcome {
            Outcome::Failed(error) => {
                self.place.note(if error.oom {
                    Note::OutOfMemory { workflow }
                } else {
                    Note::WorkflowError { workflow }
                });
                names.execution_error(&error)
            }
            Outcome::Lost => {
                self.place.note(Note::Lost);
                RunError::Lost
            }
            Outcome::Unreachable(why) => self.away(&why.to_string()),
            Outcome::Stalled => {
                self.place.note(Note::Stalled);
                self.place.readiness.forget();
                self.cancel();
                RunError::Stalled
            }
            Outcome::Cancelled | Outcome::Succeeded { .. } => RunError::Cancelled,
        };
        Stop::Error(error)
    }

    fn unstaged(&self, error: StageError) -> RunError {
        match error {
            StageError::Engine(error) => self.unavailable(error),
            StageError::Gone => RunError::Gone { why: "a file of the request is no longer kept".to_owned() },
            StageError::Io(error) => RunError::Storage { why: error.to_string() },
        }
    }

    fn unavailable(&self, error: crate::engine::EngineError) -> RunError {
        self.place.readiness.forget();
        let error = engine_error(self.place.name(), error);
        self.judge("", &error);
        error
    }

    /// What a prompt that was not taken says of the engine.
    fn judge(&self, workflow: &str, error: &RunError) {
        match error {
            RunError::Rejected { .. } => self.place.note(Note::Rejected { workflow }),
            RunError::Protocol { why, .. } => self.place.note(Note::Protocol(why)),
            RunError::Unreachable { .. } | RunError::Lost => {
                self.place.note(Note::Unreachable(&error.to_string()));
            }
            _ => {}
        }
    }

    /// Takes the prompt back, without keeping anybody waiting: a node that does not look up may take its time.
    fn cancel(&self) {
        self.place.orphan(self.prompt_id);
        let (place, job, prompt_id) = (Arc::clone(self.place), self.job, self.prompt_id);
        tokio::spawn(async move {
            if let Err(error) = place.engine.cancel(prompt_id).await {
                tracing::warn!(%job, %error, "the engine could not be told to stop");
            }
        });
    }
}
