//! Jobs: graphs in API format, submitted, looked at and cancelled.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Request, StatusCode},
    response::Response,
};
use comfyport_endpoint::{MediaKind, MediaSource};
use comfyport_store::{Job, State as JobState, transition::Cancelled};
use comfyport_workflow::json::{self, Object, Value as Exact};
use indexmap::IndexMap;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Refusal, answer,
    assets::{self, Asset},
    base,
    outputs::{Content, Output},
};
use crate::{
    access::Caller,
    app::AppState,
    engine::Capabilities,
    intake::Purpose,
    jobs::{Accepted, Asked, GRAPHS, body},
    problem::{Code, Problem},
    routes::{
        self,
        jobs::find,
        prompt::{allowed, plan},
        workflow::read_body,
    },
    run::{Attached, Attachment, Body as RequestBody, KeptRequest, Options, attach},
};

/// What is asked for.
struct Submitted {
    /// The graph, and its text as it came.
    graph: Object,
    text: Box<RawValue>,
    metadata: Map<String, Value>,
}

/// `POST /api/v2/jobs`
pub(super) async fn create(
    State(app): State<AppState>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    allowed(&app, &caller)?;
    let headers = request.headers().clone();
    let bytes = read_body(&app, request.into_body()).await?;
    let asked = routes::asked(&caller, &headers, "POST /api/v2/jobs", &RequestBody::Json(bytes.clone()))?;
    if app.jobs.remembered(&asked).await?.is_some() {
        return Err(reused());
    }
    let Submitted { graph, text, metadata } = read(&app, &bytes)?;
    let known = app.jobs.pool.known().await?;
    let plan = plan(&app, text.get().as_bytes(), "/workflow").await?;
    let attached = attached(&app, &caller, &graph, &known).await?;
    let options = Options { metadata, ..Options::default() };
    let asked = Asked { patient: true, ..asked };
    let accepted = app.jobs.submit_graph(text.get(), attached, &plan, &options, &asked).await?;
    let Accepted::New(jobs) = accepted else { return Err(reused()) };
    let job = jobs.first().ok_or_else(|| Problem::new(Code::Internal, "nothing was accepted"))?;
    let said = shown(&app, &base(&app, &headers), job).await?;
    Ok(answer(StatusCode::CREATED, &said))
}

fn reused() -> Refusal {
    let message = "this Idempotency-Key was used before; look at the job that it led to, or use a fresh one";
    Refusal::unprocessable("idempotency_key_reuse", message)
}

fn read(app: &AppState, bytes: &[u8]) -> Result<Submitted, Refusal> {
    let invalid = |message: String| Refusal::unprocessable("invalid_workflow", message);
    let mut members: IndexMap<String, Box<RawValue>> = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("a JSON object with `workflow` is expected: {error}")))?;
    let workflow =
        members.swap_remove("workflow").ok_or_else(|| invalid("`workflow` is missing".to_owned()))?;
    let metadata = members.swap_remove("metadata");
    let extra = members.swap_remove("extra_data");
    if let Some(name) = members.keys().next() {
        let message = format!("there is no member `{name}`; there are workflow, extra_data, metadata");
        return Err(Refusal::unprocessable("validation_failed", message));
    }
    let extra: Option<IndexMap<String, Value>> = extra
        .map(|extra| serde_json::from_str(extra.get()))
        .transpose()
        .map_err(|_| Refusal::unprocessable("validation_failed", "`extra_data` must be an object"))?;
    if extra.is_some_and(|extra| !extra.is_empty()) {
        let message = "`extra_data` is not supported: jobs are written down before they run, and keys of others are not";
        return Err(Refusal::unprocessable("validation_failed", message));
    }
    let parsed =
        json::parse(workflow.get().as_bytes()).map_err(|error| invalid(format!("`workflow`: {error}")))?;
    let Exact::Object(graph) = parsed.value else {
        return Err(invalid("`workflow` must be an object: a graph in API format".to_owned()));
    };
    if matches!(graph.get("nodes"), Some(Exact::Array(_))) {
        let message = "this is what the editor saves; export it with `Export (API)`";
        return Err(Refusal::unprocessable("workflow_format_ui", message));
    }
    Ok(Submitted { graph, text: workflow, metadata: labels(app, metadata.as_deref())? })
}

/// Words that a caller wants to have back with the job.
fn labels(app: &AppState, metadata: Option<&RawValue>) -> Result<Map<String, Value>, Refusal> {
    let Some(metadata) = metadata else { return Ok(Map::new()) };
    let most = app.config.jobs.max_metadata_bytes;
    let labels: Option<BTreeMap<String, String>> =
        serde_json::from_str(metadata.get()).ok().filter(|_| metadata.get().len() <= most);
    let labels = labels.ok_or_else(|| {
        let message = format!("`metadata` must be an object of texts of at most {most} bytes together");
        Refusal::unprocessable("validation_failed", message)
    })?;
    Ok(labels.into_iter().map(|(name, text)| (name, text.into())).collect())
}

/// Finds the assets that a graph refers to, and takes them for the job.
async fn attached(
    app: &AppState,
    caller: &Caller,
    graph: &Object,
    known: &Capabilities,
) -> Result<Vec<Attached>, Refusal> {
    let (mut uploads, mut ours) = (Vec::new(), Vec::new());
    for (node, value) in graph {
        let class = value.get("class_type").and_then(Exact::as_str).unwrap_or_default();
        let inputs = value.get("inputs").and_then(Exact::as_object);
        for (input, value) in inputs.into_iter().flatten() {
            if value.get("__type").and_then(Exact::as_str) != Some("core/ASSET") {
                continue;
            }
            let missing = |why: &str| {
                Refusal::unprocessable(
                    "missing_asset",
                    format!("node {node} ({class}), input {input}: {why}"),
                )
            };
            let id = value.get("info").and_then(|info| info.get("id")?.as_str());
            let id = id.ok_or_else(|| missing("the asset has no `info.id`"))?;
            let kind = known.uploads.get(class).and_then(|inputs| inputs.get(input)).copied();
            let kind = kind.unwrap_or(MediaKind::File);
            let asset = assets::find(app, caller, id).await;
            let asset = asset.map_err(|problem| match problem.code() {
                Code::NotFound => missing("there is no such asset"),
                _ => problem.into(),
            })?;
            let (node, input) = (node.clone(), input.clone());
            match asset {
                // It is the owner's own, but for those who see everybody's.
                Asset::Upload(upload) if upload.upload.owner == caller.owner => {
                    let source = MediaSource::Upload(upload.id.to_string());
                    uploads.push(Attachment { node, input, kind, source });
                }
                Asset::Upload(upload) => ours.push((node, input, kind, upload.upload.file)),
                Asset::Output(output) => match output.content {
                    Content::File(file) => ours.push((node, input, kind, file.file.file)),
                    Content::Text(_) => {
                        let why =
                            format!("node {node} ({class}), input {input}: the asset is text and no file");
                        return Err(Refusal::unprocessable("missing_asset", why));
                    }
                },
            }
        }
    }
    let session = app.jobs.take_in(&caller.owner, Purpose::Keep);
    let mut attached = attach(uploads, "/workflow", &session).await?;
    for (node, input, kind, file) in ours {
        let taken = app.jobs.intake.reread(&app.jobs.files, kind, &file).await;
        let refused =
            |why: &str| Refusal::unprocessable("missing_asset", format!("node {node}, input {input}: {why}"));
        let taken = taken.ok_or_else(|| refused("the asset is no longer kept"))?;
        let taken = taken.map_err(|rejected| refused(&rejected.message))?;
        attached.push(Attached { node: node.clone(), input: input.clone(), file: taken.name });
    }
    Ok(attached)
}

/// A job that runs a graph, and that the caller may know of.
pub(super) async fn graph_job(app: &AppState, caller: &Caller, id: &str) -> Result<Job, Problem> {
    let job = find(app, caller, id).await?;
    if job.workflow == GRAPHS { Ok(job) } else { Err(Problem::not_found("there is no such job")) }
}

/// `GET /api/v2/jobs/{id}`
pub(super) async fn show(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let job = graph_job(&app, &caller, &id).await?;
    Ok(answer(StatusCode::OK, &shown(&app, &base(&app, &headers), &job).await?))
}

/// `POST /api/v2/jobs/{id}/cancel`
pub(super) async fn cancel(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let job = graph_job(&app, &caller, &id).await?;
    let job = match app.jobs.store.cancel(job.id).await.map_err(Problem::from)? {
        Cancelled::Now(job) => {
            app.jobs.counts.unrun(&job);
            job
        }
        Cancelled::Told(job) | Cancelled::Before(job) | Cancelled::TooLate(job) => job,
        Cancelled::Unknown => return Err(Problem::not_found("there is no such job").into()),
    };
    Ok(answer(StatusCode::OK, &shown(&app, &base(&app, &headers), &job).await?))
}

/// `GET /api/v2/jobs/{id}/workflow`
pub(super) async fn workflow(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let job = graph_job(&app, &caller, &id).await?;
    let graph = KeptRequest::parse(&job.request).and_then(|request| request.graph);
    let graph = graph.ok_or_else(|| Problem::not_found("the graph is no longer kept"))?;
    let said = format!("{{\"workflow\":{},\"format\":\"api\"}}", graph.get());
    let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
    Ok(axum::response::IntoResponse::into_response((kind, said)))
}

/// The state of a job in their words.
pub(super) fn word(job: &Job) -> &'static str {
    match job.state {
        JobState::Queued => "queued",
        JobState::Running if job.cancel => "canceling",
        JobState::Running => "running",
        JobState::Succeeded => "succeeded",
        JobState::Failed => "failed",
        JobState::Cancelled => "canceled",
        JobState::Expired => "expired",
    }
}

/// A job in their words.
async fn shown(app: &AppState, base: &str, job: &Job) -> Result<Value, Problem> {
    let standing = app.jobs.standing(job).await;
    let outputs: Vec<Value> =
        Output::all(app, job).await?.iter().map(|output| output.shown(app, base)).collect();
    let keep = i64::try_from(app.config.jobs.keep_s).unwrap_or(i64::MAX).saturating_mul(1000);
    let expires = job.ended_at.unwrap_or_else(|| app.jobs.store.now()).saturating_add(keep);
    let problem: Option<Value> = match job.state {
        JobState::Failed | JobState::Expired => {
            body::problem(job).and_then(|text| serde_json::from_str(&text).ok())
        }
        _ => None,
    };
    let error = problem.map(|problem| {
        json!({"code": problem["code"], "message": problem["detail"], "node_id": null, "class_type": null,
            "traceback": null})
    });
    let options: Options = serde_json::from_str(&job.options).unwrap_or_default();
    let at = format!("/api/v2/jobs/{}", job.id);
    let mut said = json!({
        "id": job.id,
        "status": word(job),
        "created_at": body::time(job.created_at),
        "started_at": job.started_at.map(body::time),
        "completed_at": job.ended_at.map(body::time),
        "expires_at": body::time(expires),
        "queue_position": standing.position,
        "progress": progress(job),
        "outputs": outputs,
        "error": error,
        "metrics": {
            "queue_ms": job.started_at.map(|started| (started - job.created_at).max(0)),
            "execution_ms": job.started_at.zip(job.ended_at).map(|(started, ended)| (ended - started).max(0)),
        },
        "urls": {"self": at, "events": format!("{at}/events"), "cancel": format!("{at}/cancel")},
    });
    if !options.metadata.is_empty() {
        said["metadata"] = options.metadata.into();
    }
    Ok(said)
}

/// How far a job is, as far as that was written down; nothing while it waits.
fn progress(job: &Job) -> Option<Value> {
    let step: Value = match job.state {
        JobState::Queued => return None,
        JobState::Succeeded => json!({"percent": 100.0}),
        _ => job.progress.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
    };
    Some(Nodes::of(job).progress(&step))
}

/// The nodes of a graph, with their classes.
pub(super) struct Nodes(IndexMap<String, String>);

impl Nodes {
    pub(super) fn of(job: &Job) -> Self {
        let graph = KeptRequest::parse(&job.request).and_then(|request| request.graph);
        let nodes: IndexMap<String, Value> =
            graph.and_then(|graph| serde_json::from_str(graph.get()).ok()).unwrap_or_default();
        let class = |node: &Value| node["class_type"].as_str().unwrap_or_default().to_owned();
        Self(nodes.iter().map(|(id, node)| (id.clone(), class(node))).collect())
    }

    /// A step of ours in their words.
    pub(super) fn progress(&self, step: &Value) -> Value {
        let value = (step["percent"].as_f64().unwrap_or(0.0) / 100.0).clamp(0.0, 1.0);
        let node = step["node"].as_str();
        let class = node.and_then(|node| self.0.get(node));
        #[expect(clippy::cast_possible_truncation, reason = "a number of nodes")]
        let (done, whole) = ((value * self.0.len() as f64) as i64, |name: &str| {
            step[name].as_f64().map(|number| number as i64)
        });
        json!({
            "value": value,
            "nodes_done": done,
            "nodes_total": self.0.len(),
            "current_node": node,
            "current_node_class": class,
            "step": whole("value"),
            "steps": whole("max"),
            "message": step["title"],
        })
    }
}
