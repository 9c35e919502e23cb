//! What operators see of an engine.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Place, State};
use crate::readiness::Drift;

/// What operators see of an engine.
#[derive(Debug, Clone, Serialize)]
pub struct EngineView {
    /// Its name.
    pub name: String,
    /// Whether its results are made up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// `up`, `unknown`, `probing`, `down`, `ejected` or `drained`.
    pub state: &'static str,
    /// Why, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whole seconds in this state.
    pub state_for_s: u64,
    /// Whole seconds until an ejected engine is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_in_s: Option<u64>,
    /// Whether an operator drained it.
    pub drained: bool,
    /// How much work it takes beside others.
    pub weight: f64,
    /// Words by which operators group engines.
    pub tags: Vec<String>,
    /// Prompts of ours that may be there at the same time.
    pub concurrency: usize,
    /// Work of ours that is there or on its way there.
    pub outstanding: usize,
    /// Its queue, where it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueView>,
    /// The version of ComfyUI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Memory in bytes, as it said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryView>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ErrorView>,
    /// How its node definitions changed since they were first seen.
    #[serde(skip_serializing_if = "Drift::is_empty")]
    pub drift: Drift,
}

/// A queue, in numbers.
#[derive(Debug, Clone, Serialize)]
pub struct QueueView {
    /// Prompts that run.
    pub running: usize,
    /// Prompts that wait.
    pub pending: usize,
    /// Of all of them, those that this server sent.
    pub ours: usize,
    /// Of all of them, those that others sent.
    pub foreign: usize,
}

/// Memory in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryView {
    /// Of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram_total: Option<u64>,
    /// Of it, free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vram_free: Option<u64>,
    /// Of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_total: Option<u64>,
    /// Of it, free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_free: Option<u64>,
}

/// Something that went wrong.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorView {
    /// What.
    pub message: String,
    /// Whole seconds since then.
    pub ago_s: u64,
}

impl Place {
    /// What operators see of it.
    pub fn view(&self) -> EngineView {
        let now = Instant::now();
        let since = |at: Instant| now.saturating_duration_since(at).as_secs();
        let shown = self.shared.table().show(self.index, now);
        let state = shown.as_ref().map_or(State::Unknown, |shown| shown.state);
        let retry_in = match state {
            State::Ejected { until } => until.map(|until| until.saturating_duration_since(now)),
            _ => None,
        };
        let about = self.about().unwrap_or_default();
        let memory = MemoryView {
            vram_total: about.vram_total,
            vram_free: about.vram_free,
            ram_total: about.ram_total,
            ram_free: about.ram_free,
        };
        let is_known = about.vram_total.is_some() || about.ram_total.is_some();
        let queue = self.seen().map(|seen| QueueView {
            running: seen.running,
            pending: seen.pending,
            ours: seen.ours,
            foreign: seen.foreign,
        });
        let last_error = shown.as_ref().and_then(|shown| shown.last_error.clone());
        EngineView {
            name: self.name().to_owned(),
            simulated: self.engine.is_simulated(),
            state: state.as_str(),
            reason: shown.as_ref().and_then(|shown| shown.reason.clone()),
            state_for_s: shown.as_ref().map_or(0, |shown| since(shown.since)),
            retry_in_s: retry_in.map(|left: Duration| left.as_secs()),
            drained: state == State::Drained,
            weight: self.weight(),
            tags: self.tags().to_vec(),
            concurrency: self.slots(),
            outstanding: self.outstanding(),
            queue,
            version: about.version,
            memory: is_known.then_some(memory),
            last_error: last_error.map(|(message, at)| ErrorView { message, ago_s: since(at) }),
            drift: self.readiness.drift(),
        }
    }
}
