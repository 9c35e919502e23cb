//! A job as callers see it.

use comfyport_store::{Job, Render, State, deliveries::Webhook};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use super::Waiting;
use crate::{
    compat,
    problem::{Code, Problem},
    run::{Kept, Options},
    supplies::errand::at_desk,
};

/// A job as callers see it. What it yielded stands in the same places as in the answer to somebody who waited.
#[derive(Debug, Serialize)]
pub struct Body<'j> {
    id: Uuid,
    status: &'static str,
    workflow: &'j str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    priority: u8,
    attempt: u32,
    max_attempts: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_index: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_position: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    queue_position_capped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<&'j str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<&'j RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'j RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<&'j RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
    status_url: String,
    events_url: String,
    cancel_url: String,
}

/// What is known of a job that waits.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// How many are before it.
    pub position: Option<i64>,
    /// Whether there may be more than that.
    pub capped: bool,
    /// When it probably starts, in milliseconds since 1970.
    pub estimated_start: Option<i64>,
    /// How far what it waits for is, as JSON.
    pub fetched: Option<String>,
}

impl<'j> Body<'j> {
    /// The whole of it.
    pub fn of(job: &'j Job, standing: Standing) -> Self {
        let options: Options = serde_json::from_str(&job.options).unwrap_or_default();
        let kept: Option<Kept<'j>> = job.result.as_deref().and_then(|kept| serde_json::from_str(kept).ok());
        let (status_url, events_url) = (format!("/jobs/{}", job.id), format!("/jobs/{}/events", job.id));
        let running = job.state == State::Running;
        Self {
            id: job.id,
            status: job.state.as_str(),
            workflow: &job.workflow,
            created_at: time(job.created_at),
            started_at: job.started_at.map(time),
            ended_at: job.ended_at.map(time),
            deadline: job.deadline.map(time),
            priority: job.priority,
            attempt: job.attempts,
            max_attempts: job.max_attempts,
            tags: options.tags.into_iter().collect(),
            metadata: options.metadata,
            batch: job.batch,
            batch_index: job.batch_index,
            cancel_requested: job.cancel,
            queue_position: standing.position,
            queue_position_capped: standing.capped,
            estimated_start: standing.estimated_start.map(time),
            waiting: waiting(job, standing.fetched.as_deref()),
            progress: job.progress.as_ref().filter(|_| running).and_then(|text| raw(text)),
            engine: engine(job),
            simulated: kept.as_ref().is_some_and(|kept| kept.simulated),
            outputs: kept.as_ref().map(|kept| kept.outputs),
            params: kept.as_ref().map(|kept| kept.params),
            timing: kept.as_ref().map(|kept| kept.timing),
            error: problem(job).and_then(|text| raw(&text)),
            cancel_url: status_url.clone(),
            status_url,
            events_url,
        }
    }

    /// Without what can be large: for lists and notices.
    pub fn brief(job: &'j Job) -> Self {
        Self {
            params: None,
            outputs: None,
            timing: None,
            metadata: Map::new(),
            ..Self::of(job, Standing::default())
        }
    }
}

/// What a queued job waits for, if that is anything but an engine.
fn waiting(job: &Job, fetched: Option<&str>) -> Option<Value> {
    let mut waiting = serde_json::to_value(Waiting::read(job)?).ok()?;
    if let Some(progress) = fetched.and_then(|text| serde_json::from_str(text).ok()) {
        waiting["progress"] = progress;
    }
    Some(waiting)
}

/// The engine that has a job, had it, or that an errand is for.
fn engine(job: &Job) -> Option<&str> {
    let engine = job.engine.as_deref().filter(|_| job.state != State::Queued)?;
    Some(at_desk(engine).map_or(engine, |(engine, _)| engine))
}

/// Why a job that has ended yielded nothing.
pub fn problem(job: &Job) -> Option<String> {
    let words = |code, detail| String::from_utf8(Problem::new(code, detail).to_json()).ok();
    match (&job.problem, job.state) {
        (Some(kept), _) => Some(kept.clone()),
        (None, State::Cancelled) => words(Code::Cancelled, "the job was cancelled before it ran"),
        (None, State::Expired) => words(Code::Expired, "the job's deadline passed before it ran"),
        (None, State::Failed) => words(Code::Internal, "why the job failed was not kept"),
        (None, State::Queued | State::Running | State::Succeeded) => None,
    }
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

/// Milliseconds since 1970 as people and programs write times.
pub fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// Receivers of webhooks are promised no more than this many bytes.
const LARGEST_WEBHOOK: usize = 20_000;

/// Writes webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Words;

impl Render for Words {
    fn webhooks(&self, job: &Job, webhook: &Webhook, event: &str, at: i64) -> Vec<String> {
        if let Some(others) = webhook.shape.as_deref().and_then(|shape| compat::webhooks(shape, job, at)) {
            return others;
        }
        let write = |data: &Body<'_>| json!({"type": event, "timestamp": time(at), "data": data}).to_string();
        let whole = write(&Body::of(job, Standing::default()));
        // What does not fit is at the job's address.
        vec![if whole.len() <= LARGEST_WEBHOOK { whole } else { write(&Body::brief(job)) }]
    }
}
