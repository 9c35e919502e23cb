//! RunPod's serverless job API: `POST /v2/{workflow}/run`, `/runsync`, `GET /v2/{workflow}/status/{id}`, `/stream/{id}`,
//! `POST /v2/{workflow}/cancel/{id}`, `/purge-queue`, `GET /v2/{workflow}/health`.
//!
//! `input` holds the parameters of the workflow. `output` of a job has its pictures as `worker-comfyui` words them
//! (`images: [{filename, type, data}]`), beside what our own API answers.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{Endpoint, Held};
use comfyport_store::{Job, State, list::Filter, transition::Cancelled};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Enclosures, Unwrapped, accept, object, raw, refused};
use crate::{
    access::Caller,
    app::AppState,
    jobs::body,
    problem::{Code, Problem},
    routes::jobs::find,
    run::{Kept, Options},
};

/// The name of how webhooks are worded here.
pub(super) const SHAPE: &str = "runpod";

/// What is said before the path of a workflow.
const PREFIX: &str = "v2/";

/// How long `/runsync` waits if the caller does not say, and the least and most it waits, in milliseconds.
const WAIT: u64 = 90_000;
const WAITS: std::ops::RangeInclusive<u64> = 1_000..=300_000;

/// The priority of `lowPriority`.
const LOW: u8 = 2;

/// Jobs that are cancelled between two looks at the queue.
const PAGE: u32 = 500;

/// What is asked of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Accept a job.
    Run,
    /// Accept a job and wait for it.
    RunSync,
    /// Look at a job.
    Status(String),
    /// Look at what a job says while it runs: ours say nothing.
    Stream(String),
    /// Cancel a job.
    Cancel(String),
    /// Cancel what waits.
    PurgeQueue,
    /// How many jobs and workers there are.
    Health,
}

/// A call of this API.
#[derive(Debug, Clone)]
pub struct Call {
    endpoint: Held<Endpoint>,
    operation: Operation,
}

impl Call {
    /// What a path means; nothing if it is not of this API, or that is off. Workflows of our own come first: a version
    /// may be at `/v2/…`.
    pub fn read(app: &AppState, method: &Method, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX).filter(|_| app.config.compat.runpod)?;
        let now = app.endpoints.now();
        if now.find(path).is_some() {
            return None;
        }
        let (workflow, operation) = split(method, rest)?;
        let endpoint = now.find(workflow)?.endpoint.clone()?;
        Some(Self { endpoint, operation })
    }

    /// Does it.
    pub async fn answer(
        self,
        app: &AppState,
        caller: &Caller,
        headers: &HeaderMap,
        query: Option<&str>,
        body: &Bytes,
    ) -> Response {
        let done = match &self.operation {
            Operation::Run => self.run(app, caller, headers, body).await,
            Operation::RunSync => self.run_sync(app, caller, headers, query, body).await,
            Operation::Status(id) => self.status(app, caller, id).await,
            Operation::Stream(id) => {
                self.job(app, caller, id).await.map(|job| json!({"status": word(&job), "stream": []}))
            }
            Operation::Cancel(id) => self.cancel(app, caller, id).await,
            Operation::PurgeQueue => self.purge(app, caller).await,
            Operation::Health => self.health(app, caller).await,
        };
        match done {
            Ok(value) => Json(value).into_response(),
            Err(problem) => refused(&problem),
        }
    }

    async fn run(
        &self,
        app: &AppState,
        caller: &Caller,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Value, Problem> {
        let request = unwrap(body, app.jobs.store.now())?;
        let id = accept(app, caller, headers, &self.endpoint, request).await?;
        let job = app.jobs.store.job(id).await.map_err(Problem::from)?;
        Ok(json!({"id": id, "status": job.as_ref().map_or("IN_QUEUE", word)}))
    }

    async fn run_sync(
        &self,
        app: &AppState,
        caller: &Caller,
        headers: &HeaderMap,
        query: Option<&str>,
        body: &Bytes,
    ) -> Result<Value, Problem> {
        let wait = wait(query)?;
        let request = unwrap(body, app.jobs.store.now())?;
        let id = accept(app, caller, headers, &self.endpoint, request).await?;
        let mut watcher = app.jobs.watch(id);
        tokio::select! {
            ended = watcher.ended() => {
                let job = ended.map_err(|error| Problem::from(error).about(id))?;
                shown(app, &job).await
            }
            () = tokio::time::sleep(wait) => self.status(app, caller, &id.to_string()).await,
            () = app.closing.cancelled() => {
                Err(Problem::new(Code::Stopping, "the server is about to stop; the job is kept and goes on").about(id))
            }
        }
    }

    async fn job(&self, app: &AppState, caller: &Caller, id: &str) -> Result<Job, Problem> {
        let job = find(app, caller, id).await?;
        if job.workflow == *self.endpoint.path { Ok(job) } else { Err(Problem::not_found("job not found")) }
    }

    async fn status(&self, app: &AppState, caller: &Caller, id: &str) -> Result<Value, Problem> {
        shown(app, &self.job(app, caller, id).await?).await
    }

    async fn cancel(&self, app: &AppState, caller: &Caller, id: &str) -> Result<Value, Problem> {
        let job = self.job(app, caller, id).await?;
        let status = match app.jobs.store.cancel(job.id).await.map_err(Problem::from)? {
            Cancelled::Now(job) => {
                app.jobs.counts.unrun(&job);
                "CANCELLED"
            }
            Cancelled::Told(_) | Cancelled::Before(_) => "CANCELLED",
            Cancelled::TooLate(job) => word(&job),
            Cancelled::Unknown => return Err(Problem::not_found("job not found")),
        };
        Ok(json!({"id": job.id, "status": status}))
    }

    async fn purge(&self, app: &AppState, caller: &Caller) -> Result<Value, Problem> {
        let (mut removed, mut before) = (0, None);
        loop {
            let filter = Filter {
                states: vec![State::Queued],
                workflow: Some(self.endpoint.path.to_string()),
                owner: caller.confined_to(),
                before,
                ..Filter::default()
            };
            let jobs = app.jobs.store.list(filter, PAGE).await.map_err(Problem::from)?;
            let Some(last) = jobs.last() else { break };
            before = Some(last.seq);
            for job in &jobs {
                if let Cancelled::Now(job) = app.jobs.store.cancel(job.id).await.map_err(Problem::from)? {
                    app.jobs.counts.unrun(&job);
                    removed += 1;
                }
            }
        }
        Ok(json!({"removed": removed, "status": "completed"}))
    }

    async fn health(&self, app: &AppState, caller: &Caller) -> Result<Value, Problem> {
        let path = self.endpoint.path.to_string();
        let counts = app.jobs.store.tally(path, caller.confined_to()).await.map_err(Problem::from)?;
        let of = |state: State| counts.iter().find(|(one, _)| *one == state).map_or(0, |(_, count)| *count);
        app.jobs.pool.look().await;
        let engines = app.jobs.pool.view();
        let are = |states: &[&str], busy: Option<bool>| {
            let fits = |state: &str, outstanding: usize| {
                states.contains(&state) && busy.is_none_or(|busy| busy == (outstanding > 0))
            };
            engines.iter().filter(|engine| fits(engine.state, engine.outstanding)).count()
        };
        Ok(json!({
            "jobs": {
                "completed": of(State::Succeeded),
                "failed": of(State::Failed) + of(State::Expired),
                "inProgress": of(State::Running),
                "inQueue": of(State::Queued),
                "retried": 0,
            },
            "workers": {
                "idle": are(&["up"], Some(false)),
                "initializing": are(&["unknown", "probing"], None),
                "ready": are(&["up"], None),
                "running": are(&["up"], Some(true)),
                "throttled": are(&["drained"], None),
                "unhealthy": are(&["down", "ejected"], None),
            },
        }))
    }
}

/// The path of a workflow, which may have slashes, and what is asked of it.
fn split<'p>(method: &Method, path: &'p str) -> Option<(&'p str, Operation)> {
    let (before, last) = path.rsplit_once('/')?;
    let reads = method == Method::GET;
    match (reads, last) {
        (false, "run") => return Some((before, Operation::Run)),
        (false, "runsync") => return Some((before, Operation::RunSync)),
        (false, "purge-queue") => return Some((before, Operation::PurgeQueue)),
        (true, "health") => return Some((before, Operation::Health)),
        _ => {}
    }
    let (workflow, name) = before.rsplit_once('/')?;
    let id = last.to_owned();
    let operation = match (reads, name) {
        (true, "status") => Operation::Status(id),
        (true, "stream") => Operation::Stream(id),
        (false, "cancel") => Operation::Cancel(id),
        _ => return None,
    };
    Some((workflow, operation))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    execution_timeout: Option<u64>,
    #[serde(default)]
    low_priority: bool,
    ttl: Option<u64>,
}

/// Takes the envelope off: what it says of how to run goes into our options.
fn unwrap(body: &Bytes, now: i64) -> Result<Unwrapped, Problem> {
    let malformed = |detail: &str| Problem::new(Code::MalformedRequest, detail);
    let mut envelope = object(body)?;
    let input = envelope.swap_remove("input");
    let input =
        input.ok_or_else(|| malformed("`input` is missing: it holds the parameters of the workflow"))?;
    let mut params: IndexMap<String, Box<RawValue>> =
        serde_json::from_str(input.get()).map_err(|_| malformed("`input` must be an object"))?;
    if envelope.contains_key("s3Config") {
        return Err(Problem::not_implemented(
            "`s3Config` is not supported: outputs stay with the server, and are linked to where they are too large",
        ));
    }
    let own = params.swap_remove("options");
    let mut options: IndexMap<String, Value> = match &own {
        None => IndexMap::new(),
        Some(own) => serde_json::from_str(own.get()).map_err(|_| malformed("`options` must be an object"))?,
    };
    if let Some(policy) = envelope.get("policy") {
        let policy: Policy = serde_json::from_str(policy.get())
            .map_err(|error| malformed(&format!("`policy` cannot be read: {error}")))?;
        if let Some(timeout) = policy.execution_timeout {
            options.insert("timeout_s".to_owned(), json!(Duration::from_millis(timeout).as_secs_f64()));
        }
        if let Some(ttl) = policy.ttl {
            let until = now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX));
            options.insert("deadline".to_owned(), body::time(until).into());
        }
        if policy.low_priority {
            options.insert("priority".to_owned(), LOW.into());
        }
    }
    if let Some(webhook) = envelope.get("webhook") {
        let url: Value = serde_json::from_str(webhook.get()).unwrap_or_default();
        let events = ["job.succeeded", "job.failed", "job.expired"];
        options.insert("webhook".to_owned(), json!({"url": url, "events": events}));
    }
    if !options.is_empty() {
        params.insert("options".to_owned(), raw(&json!(options))?);
    }
    let dress = |options: &mut Options| {
        if let Some(webhook) = &mut options.webhook {
            webhook.shape = Some(SHAPE.to_owned());
        }
    };
    Ok(Unwrapped { params, whole: None, credentials: Vec::new(), dress: Box::new(dress) })
}

fn wait(query: Option<&str>) -> Result<Duration, Problem> {
    let said =
        query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("wait="));
    let wait = said.map_or(Some(WAIT), |text| text.parse().ok().filter(|wait| WAITS.contains(wait)));
    wait.map(Duration::from_millis).ok_or_else(|| {
        let detail = format!("`wait` must be {} to {} milliseconds", WAITS.start(), WAITS.end());
        Problem::new(Code::MalformedRequest, detail)
    })
}

/// The state of a job in their words.
fn word(job: &Job) -> &'static str {
    match job.state {
        State::Queued => "IN_QUEUE",
        State::Running => "IN_PROGRESS",
        State::Succeeded => "COMPLETED",
        State::Failed => "FAILED",
        State::Cancelled => "CANCELLED",
        State::Expired => "TIMED_OUT",
    }
}

/// A job in their words, without its output.
fn brief(job: &Job) -> Value {
    let mut said = json!({"id": job.id, "status": word(job)});
    if let Some(started) = job.started_at {
        said["delayTime"] = (started - job.created_at).max(0).into();
        if let Some(ended) = job.ended_at {
            said["executionTime"] = (ended - started).max(0).into();
        }
        said["retries"] = job.attempts.saturating_sub(1).into();
    }
    if let Some(engine) = &job.engine {
        said["workerId"] = engine.as_str().into();
    }
    let problem: Option<Value> = body::problem(job).and_then(|text| serde_json::from_str(&text).ok());
    if let Some(problem) = problem {
        said["error"] = problem["detail"].clone();
    }
    said
}

async fn shown(app: &AppState, job: &Job) -> Result<Value, Problem> {
    let mut said = brief(job);
    if let Some(kept) = kept(job) {
        let given = Enclosures::of(app).all(job).await?;
        let image = |file: super::enclosures::Given| {
            let kind = if file.is_whole { "base64" } else { "url" };
            json!({"filename": file.filename, "type": kind, "data": file.data})
        };
        let images: Vec<Value> = given.into_iter().map(image).collect();
        said["output"] = json!({"images": images, "outputs": kept.outputs, "params": kept.params});
    }
    Ok(said)
}

fn kept(job: &Job) -> Option<Kept<'_>> {
    serde_json::from_str(job.result.as_deref()?).ok()
}

/// What a webhook says: the job without the bytes of its files, which are at their addresses.
pub(super) fn webhook(job: &Job) -> Value {
    let mut said = brief(job);
    if let Some(kept) = kept(job) {
        said["output"] = json!({"outputs": kept.outputs, "params": kept.params});
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_from_behind() {
        let post = |path| split(&Method::POST, path);
        let get = |path| split(&Method::GET, path);
        assert_eq!(post("a/b/run"), Some(("a/b", Operation::Run)));
        assert_eq!(post("a/runsync"), Some(("a", Operation::RunSync)));
        assert_eq!(get("a/b/status/7"), Some(("a/b", Operation::Status("7".to_owned()))));
        assert_eq!(post("a/cancel/7"), Some(("a", Operation::Cancel("7".to_owned()))));
        assert_eq!(get("a/health"), Some(("a", Operation::Health)));
        assert_eq!((get("a/run"), post("run"), post("a/b"), get("status/7")), (None, None, None, None));
    }

    #[test]
    fn envelopes_become_options() {
        let body = r#"{"input":{"prompt":"x","seed":18446744073709551615,"options":{"tags":["a"]}},
            "policy":{"executionTimeout":600000,"ttl":1000,"lowPriority":true},"webhook":"https://a.example/h"}"#;
        let unwrapped = unwrap(&Bytes::from_static(body.as_bytes()), 0).unwrap();
        assert_eq!(unwrapped.params["seed"].get(), "18446744073709551615");
        let options: Value = serde_json::from_str(unwrapped.params["options"].get()).unwrap();
        assert_eq!(options["timeout_s"], 600.0);
        assert_eq!((&options["priority"], &options["tags"]), (&json!(2), &json!(["a"])));
        assert_eq!(options["deadline"], "1970-01-01T00:00:01.000Z");
        assert_eq!(options["webhook"]["url"], "https://a.example/h");
        for wrong in
            ["[]", "{}", r#"{"input":7}"#, r#"{"input":{},"policy":7}"#, r#"{"input":{},"s3Config":{}}"#]
        {
            assert!(unwrap(&Bytes::from_static(wrong.as_bytes()), 0).is_err(), "{wrong}");
        }
    }
}
