//! The task that takes one run from its place in line to its result.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use comfyport_comfyui::{Event, Outcome, SubmitError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Options, Plan, RunError, RunResult, Runs, Timing, Update,
    collect::Collector,
    failure::{Names, engine_error},
    progress::Progress,
    result::millis,
    stage::stage,
};
use crate::{
    engine::{Prompt, Watch},
    pool::{Note, Occupied, Place},
};

pub(super) struct Task {
    pub(super) runs: Arc<Runs>,
    pub(super) place: Arc<Place>,
    pub(super) id: Uuid,
    pub(super) options: Options,
    pub(super) updates: Option<mpsc::Sender<Update>>,
    pub(super) limit: Limit,
}

/// What ends a run early: its caller, the server's end, or the clock.
pub(super) struct Limit {
    cancelled: CancellationToken,
    stop: CancellationToken,
    deadline: tokio::time::Instant,
    after: Duration,
}

impl Limit {
    /// `cancelled` is a child of `stop`.
    pub(super) fn new(cancelled: CancellationToken, stop: CancellationToken, after: Duration) -> Self {
        Self { cancelled, stop, deadline: tokio::time::Instant::now() + after, after }
    }

    async fn hold<F: Future>(&self, work: F) -> Result<F::Output, RunError> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => {
                Err(if self.stop.is_cancelled() { RunError::Stopping } else { RunError::Cancelled })
            }
            done = work => Ok(done),
            () = tokio::time::sleep_until(self.deadline) => Err(RunError::Timeout { after: self.after }),
        }
    }
}

impl Task {
    pub(super) async fn run(self, plan: Plan) -> Result<RunResult, RunError> {
        let started = Instant::now();
        let names = plan.names();
        let workflow = plan.workflow().to_owned();
        if let Some(updates) = &self.updates {
            updates.try_send(Update::Queued { position: None }).ok();
        }
        self.runs.waiting.fetch_add(1, Ordering::Relaxed);
        let permit = self.limit.hold(Arc::clone(&self.runs.permits).acquire_owned()).await;
        self.runs.waiting.fetch_sub(1, Ordering::Relaxed);
        let _permit = permit?.map_err(|_| RunError::Stopping)?;
        let occupied = self.place.occupy();
        let result = self.run_in_place(plan, &names, &occupied, started).await;
        drop(occupied);
        match &result {
            Ok(_) => {
                tracing::info!(run = %self.id, workflow, engine = self.place.engine.name(), "run succeeded");
            }
            Err(error) => {
                tracing::warn!(run = %self.id, workflow, engine = self.place.engine.name(), %error, "run ended");
            }
        }
        result
    }

    async fn run_in_place(
        &self,
        mut plan: Plan,
        names: &Names,
        occupied: &Occupied,
        started: Instant,
    ) -> Result<RunResult, RunError> {
        let (prompt_id, watch) = self.submit(&mut plan, names, occupied).await?;
        let prepared = started.elapsed();
        let outcome = match self.limit.hold(self.watch(watch, names)).await {
            Ok(outcome) => outcome,
            Err(ended) => {
                self.cancel(prompt_id);
                return Err(ended);
            }
        };
        let ran = started.elapsed();
        let workflow = plan.workflow();
        let yielded = match outcome {
            Outcome::Succeeded { mut outputs, missing, timing } => {
                let with_engine = ran.saturating_sub(prepared);
                self.place.note(Note::Succeeded { workflow, ran: timing.took().unwrap_or(with_engine) });
                self.place.ran(workflow, plan.checkpoint().as_deref());
                // Half of the pictures that came over the socket are no result.
                outputs.retain(|node, _| !missing.contains(node));
                outputs
            }
            other => return Err(self.failed(prompt_id, workflow, names, other)),
        };
        let engine = self.place.engine.as_ref();
        let artifacts = self.runs.artifacts.as_ref();
        let collector = Collector { engine, artifacts, run: self.id, inline: self.options.inline };
        let outputs =
            self.limit.hold(collector.collect(plan.expected(), yielded)).await?.map_err(|absent| {
                if absent.storage {
                    tracing::error!(run = %self.id, why = absent.why, "an output cannot be stored");
                    RunError::Storage { why: absent.why }
                } else {
                    RunError::OutputMissing { output: absent.output, why: absent.why }
                }
            })?;
        let total = started.elapsed();
        Ok(RunResult {
            id: self.id,
            status: "succeeded",
            workflow: plan.workflow().to_owned(),
            outputs,
            params: plan.params(),
            engine: engine.name().to_owned(),
            simulated: engine.is_simulated(),
            timing: Timing {
                prepare_ms: millis(prepared),
                engine_ms: millis(ran.saturating_sub(prepared)),
                fetch_ms: millis(total.saturating_sub(ran)),
                total_ms: millis(total),
            },
        })
    }

    /// Puts the prompt into the engine's queue. If the engine does not find files that it was given earlier, they are
    /// given to it again: somebody cleaned its input folder.
    async fn submit(
        &self,
        plan: &mut Plan,
        names: &Names,
        occupied: &Occupied,
    ) -> Result<(Uuid, Box<dyn Watch>), RunError> {
        let engine = self.place.engine.as_ref();
        let prefix = format!("comfyport/{}", self.id);
        let mut again = true;
        loop {
            let mut believed = false;
            if let Plan::Endpoint(prepared) = &mut *plan {
                let staged = self.limit.hold(stage(engine, &self.place.uploaded, prepared)).await?;
                believed = staged.map_err(|error| self.unavailable(error))?;
            }
            let graph = plan.prompt(&prefix);
            let id = Uuid::new_v4();
            let prompt = Prompt { id, graph: &graph, socket_nodes: &names.socket_nodes() };
            occupied.prompt(id);
            // Not given up halfway: a prompt that may have arrived must be found and removed, not forgotten.
            match engine.submit(prompt).await {
                Ok(watch) => {
                    self.place.note(Note::Submitted);
                    return Ok((id, watch));
                }
                Err(SubmitError::Rejected(_)) if believed && again => {
                    self.place.uploaded.forget();
                    again = false;
                }
                Err(error) => {
                    if matches!(error, SubmitError::Unknown(_)) {
                        self.cancel(id);
                    }
                    self.place.readiness.forget();
                    let error = names.submit_error(engine.name(), error);
                    self.judge(plan.workflow(), &error);
                    return Err(error);
                }
            }
        }
    }

    async fn watch(&self, mut watch: Box<dyn Watch>, names: &Names) -> Outcome {
        let mut progress = Progress::new(names);
        while let Some(event) = watch.next_event().await {
            if !matches!(event, Event::Queued { .. } | Event::Lagged | Event::Unknown) {
                self.place.note(Note::Progressed);
            }
            if let Some(updates) = &self.updates {
                progress.tell(event, updates, self.options.previews);
            }
        }
        watch.outcome().await
    }

    fn failed(&self, prompt_id: Uuid, workflow: &str, names: &Names, outcome: Outcome) -> RunError {
        match outcome {
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
            Outcome::Unreachable(why) => {
                self.place.note(Note::Unreachable(&why.to_string()));
                self.place.readiness.forget();
                self.place.uploaded.forget();
                self.place.orphan(prompt_id);
                RunError::Lost
            }
            Outcome::Stalled => {
                self.place.note(Note::Stalled);
                self.place.readiness.forget();
                self.cancel(prompt_id);
                RunError::Stalled
            }
            Outcome::Cancelled | Outcome::Succeeded { .. } => RunError::Cancelled,
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
    fn cancel(&self, prompt_id: Uuid) {
        self.place.orphan(prompt_id);
        let (place, run) = (Arc::clone(&self.place), self.id);
        self.runs.tasks.spawn(async move {
            if let Err(error) = place.engine.cancel(prompt_id).await {
                tracing::warn!(%run, %error, "the engine could not be told to stop");
            }
        });
    }
}
