//! The task that takes one run from its place in line to its result.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use comfyport_comfyui::{Outcome, SubmitError};
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
    pool::Place,
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
        let result = self.run_in_place(plan, &names, started).await;
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
        started: Instant,
    ) -> Result<RunResult, RunError> {
        let (prompt_id, watch) = self.submit(&mut plan, names).await?;
        let prepared = started.elapsed();
        let outcome = match self.limit.hold(self.watch(watch, names)).await {
            Ok(outcome) => outcome,
            Err(ended) => {
                self.cancel(prompt_id);
                return Err(ended);
            }
        };
        let ran = started.elapsed();
        let yielded = match outcome {
            Outcome::Succeeded { mut outputs, missing, .. } => {
                // Half of the pictures that came over the socket are no result.
                outputs.retain(|node, _| !missing.contains(node));
                outputs
            }
            other => return Err(self.failed(prompt_id, names, other)),
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
    async fn submit(&self, plan: &mut Plan, names: &Names) -> Result<(Uuid, Box<dyn Watch>), RunError> {
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
            // Not given up halfway: a prompt that may have arrived must be found and removed, not forgotten.
            match engine.submit(prompt).await {
                Ok(watch) => return Ok((id, watch)),
                Err(SubmitError::Rejected(_)) if believed && again => {
                    self.place.uploaded.forget();
                    again = false;
                }
                Err(error) => {
                    if matches!(error, SubmitError::Unknown(_)) {
                        self.cancel(id);
                    }
                    self.place.readiness.forget();
                    return Err(names.submit_error(engine.name(), error));
                }
            }
        }
    }

    async fn watch(&self, mut watch: Box<dyn Watch>, names: &Names) -> Outcome {
        if let Some(updates) = &self.updates {
            let mut progress = Progress::new(names);
            while let Some(event) = watch.next_event().await {
                progress.tell(event, updates, self.options.previews);
            }
        }
        watch.outcome().await
    }

    fn failed(&self, prompt_id: Uuid, names: &Names, outcome: Outcome) -> RunError {
        match outcome {
            Outcome::Failed(error) => names.execution_error(&error),
            // What comes back after a restart may be another installation.
            Outcome::Lost | Outcome::Unreachable(_) => {
                self.place.readiness.forget();
                self.place.uploaded.forget();
                RunError::Lost
            }
            Outcome::Stalled => {
                self.place.readiness.forget();
                self.cancel(prompt_id);
                RunError::Stalled
            }
            Outcome::Cancelled | Outcome::Succeeded { .. } => RunError::Cancelled,
        }
    }

    fn unavailable(&self, error: crate::engine::EngineError) -> RunError {
        self.place.readiness.forget();
        engine_error(self.place.engine.name(), error)
    }

    /// Takes the prompt back, without keeping anybody waiting: a node that does not look up may take its time.
    fn cancel(&self, prompt_id: Uuid) {
        let (place, run) = (Arc::clone(&self.place), self.id);
        self.runs.tasks.spawn(async move {
            if let Err(error) = place.engine.cancel(prompt_id).await {
                tracing::warn!(%run, %error, "the engine could not be told to stop");
            }
        });
    }
}
