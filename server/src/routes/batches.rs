//! `POST /{workflow}:batch`: several runs of one workflow, from a list of requests or from a grid of values.

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{Path, State},
    http::{Request, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{Endpoint, Fault, FaultKind, Faults, Held};
use comfyport_store::{Job, State as JobState, batches::Batch};
use futures_util::{StreamExt, stream};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use uuid::Uuid;

use super::{caller, workflow};
use crate::{
    access::Caller,
    app::AppState,
    intake::Purpose,
    jobs::{Accepted, Body, body},
    problem::{Code, Problem},
    run::{Body as RequestBody, Draft, RunError},
};

/// How many requests of a batch are read at the same time.
const TOGETHER: usize = 8;

/// What a caller sends. `base` goes into each of them, what is said of one wins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    items: Option<Vec<IndexMap<String, Box<RawValue>>>>,
    grid: Option<IndexMap<String, Vec<Box<RawValue>>>>,
    #[serde(default)]
    base: IndexMap<String, Box<RawValue>>,
    options: Option<Box<RawValue>>,
}

/// A batch, as callers see it.
#[derive(Debug, Serialize)]
struct Shown<'b> {
    id: Uuid,
    status: &'static str,
    workflow: &'b str,
    created_at: String,
    size: u32,
    /// How many jobs are in each state.
    counts: IndexMap<&'static str, usize>,
    percent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<Value>,
    jobs: Vec<Body<'b>>,
    status_url: String,
    cancel_url: String,
    contact_sheet_url: String,
}

/// Accepts a batch: all of it, or none.
pub(super) async fn post(
    app: &AppState,
    caller: &Caller,
    endpoint: &Held<Endpoint>,
    request: Request<HttpBody>,
) -> Result<Response, Problem> {
    let (headers, body) = workflow::take(app, request).await?;
    let mut asked = caller::asked(caller, &headers, &format!("POST /{}:batch", endpoint.path), &body)?;
    asked.patient = true;
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return replayed(app, before).await;
    }
    let RequestBody::Json(bytes) = body else {
        let message = "a batch is JSON: files are given by address, by upload, as base64 or as data URIs";
        return Err(fault("", message.to_owned()));
    };
    let (requests, shape) = expand(&bytes, app.config.jobs.max_batch)?;
    let session = app.jobs.take_in(&asked.owner, Purpose::Keep);
    // Few are read at the same time: their files may be large.
    let read = stream::iter(requests).map(async |json| {
        let body = RequestBody::Json(json.into());
        let mut draft = Draft::read(endpoint.clone(), body, &app.jobs.settings.request);
        draft.take(&session).await;
        draft.finish()
    });
    let mut read = std::pin::pin!(read.buffered(TOGETHER).enumerate());
    let mut prepared = Vec::new();
    let mut faults = Vec::new();
    let mut urls = Vec::new();
    while let Some((index, one)) = read.next().await {
        match one {
            Ok(one) => prepared.push(one),
            Err(RunError::Request { faults: Faults(of_one), url }) => {
                urls.push(url);
                faults.extend(
                    of_one
                        .into_iter()
                        .map(|fault| Fault { pointer: format!("/items/{index}{}", fault.pointer), ..fault }),
                );
            }
            Err(other) => return Err(other.into()),
        }
    }
    if !faults.is_empty() {
        // What is worst is said of all, if they are all of a kind.
        let url = urls.into_iter().collect::<Option<Vec<_>>>().and_then(|urls| urls.into_iter().min());
        return Err(RunError::Request { faults: Faults(faults), url }.into());
    }
    let (id, accepted) = app.jobs.submit_batch(prepared, shape, &asked).await?;
    match accepted {
        Accepted::Before(before) => replayed(app, before).await,
        Accepted::New(_) | Accepted::Cached(_) => show(app, id, StatusCode::ACCEPTED).await,
    }
}

async fn replayed(app: &AppState, id: Uuid) -> Result<Response, Problem> {
    let mut response = show(app, id, StatusCode::ACCEPTED).await?;
    response.headers_mut().insert("idempotent-replayed", axum::http::HeaderValue::from_static("true"));
    Ok(response)
}

/// The requests of a batch as JSON, and how they came about.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn expand(bytes: &[u8], most: usize) -> Result<(impl Iterator<Item = Vec<u8>>, String), Problem> {
    let wanted: Wanted = serde_json::from_slice(bytes).map_err(|error| {
        fault("", format!("a batch is {{\"items\": [{{…}}]}} or {{\"grid\": {{\"seed\": [1, 2]}}}}, with `base` and `options` as needed: {error}"))
    })?;
    let (points, shape) = match (wanted.items, wanted.grid) {
        (Some(items), None) => (items, Value::Null),
        (None, Some(grid)) => {
            let axes: Map<String, Value> =
                grid.iter().map(|(name, values)| (name.clone(), values.len().into())).collect();
            let order: Vec<Value> = grid.keys().map(|name| name.as_str().into()).collect();
            let size = grid.values().try_fold(1_usize, |size, values| size.checked_mul(values.len()));
            if size.is_none_or(|size| size > most) {
                return Err(fault(
                    "/grid",
                    format!("the grid has more than {most} points (`jobs.max_batch`)"),
                ));
            }
            (points(&grid), serde_json::json!({"axes": order, "sizes": axes}))
        }
        _ => return Err(fault("", "give either `items` or `grid`".to_owned())),
    };
    if points.is_empty() {
        return Err(fault("", "there is nothing in the batch".to_owned()));
    }
    if points.len() > most {
        return Err(fault("/items", format!("there are more than {most} items (`jobs.max_batch`)")));
    }
    // One after the other: a file in `base` is in all of them.
    let (base, options) = (wanted.base, wanted.options);
    let requests = points.into_iter().map(move |point| {
        let mut whole = base.clone();
        whole.extend(point);
        if let Some(options) = &options {
            whole.entry("options".to_owned()).or_insert_with(|| options.clone());
        }
        serde_json::to_vec(&whole).unwrap_or_default()
    });
    Ok((requests, shape.to_string()))
}

/// Every combination, the last axis running fastest.
fn points(grid: &IndexMap<String, Vec<Box<RawValue>>>) -> Vec<IndexMap<String, Box<RawValue>>> {
    let mut points = vec![IndexMap::new()];
    for (name, values) in grid {
        points = points
            .into_iter()
            .flat_map(|point| {
                values.iter().map(move |value| {
                    let mut point = point.clone();
                    point.insert(name.clone(), value.clone());
                    point
                })
            })
            .collect();
    }
    points
}

fn fault(pointer: &str, message: String) -> Problem {
    let fault = Fault {
        pointer: pointer.to_owned(),
        param: None,
        message,
        allowed: None,
        did_you_mean: None,
        code: FaultKind::Invalid,
    };
    RunError::Request { faults: Faults(vec![fault]), url: None }.into()
}

/// `GET /batches/{id}`
pub async fn get(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (batch, jobs) = seen(&app, &caller, &id).await?;
    Ok(shown(&batch, &jobs, StatusCode::OK))
}

/// `DELETE /batches/{id}`: cancels what has not ended.
pub async fn cancel(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = seen(&app, &caller, &id).await?.0.id;
    match app.jobs.store.cancel_batch(id).await.map_err(Problem::from)? {
        Some(_) => show(&app, id, StatusCode::OK).await,
        None => Err(unknown()),
    }
}

/// `GET /batches/{id}/contact-sheet`
pub async fn sheet(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (batch, jobs) = seen(&app, &caller, &id).await?;
    let columns = serde_json::from_str::<Value>(&batch.shape).ok().and_then(|shape| {
        let last = shape["axes"].as_array()?.last()?.as_str()?;
        usize::try_from(shape["sizes"][last].as_u64()?).ok()
    });
    crate::reply::sheet::sheet(&app, &jobs, batch.size as usize, columns).await
}

pub(super) async fn show(app: &AppState, id: Uuid, status: StatusCode) -> Result<Response, Problem> {
    let (batch, jobs) = find(app, id).await?;
    Ok(shown(&batch, &jobs, status))
}

fn shown(batch: &Batch, jobs: &[Job], status: StatusCode) -> Response {
    let id = batch.id;
    let mut counts: IndexMap<&'static str, usize> =
        JobState::ALL.iter().map(|state| (state.as_str(), 0)).collect();
    for job in jobs {
        *counts.entry(job.state.as_str()).or_default() += 1;
    }
    let percent = jobs.iter().map(percent).sum::<f64>() / jobs.len().max(1) as f64;
    let shape: Value = serde_json::from_str(&batch.shape).unwrap_or_default();
    let status_url = format!("/batches/{id}");
    let shown = Shown {
        id,
        status: status_of(jobs),
        workflow: &batch.workflow,
        created_at: body::time(batch.created_at),
        size: batch.size,
        counts,
        percent: (percent * 10.0).round() / 10.0,
        grid: (!shape.is_null()).then_some(shape),
        jobs: jobs.iter().map(Body::brief).collect(),
        cancel_url: status_url.clone(),
        contact_sheet_url: format!("{status_url}/contact-sheet"),
        status_url: status_url.clone(),
    };
    let location = (status == StatusCode::ACCEPTED).then_some([(LOCATION, status_url)]);
    (status, location.unwrap_or([(LOCATION, shown.status_url.clone())]), Json(&shown)).into_response()
}

/// How far a job is.
fn percent(job: &Job) -> f64 {
    if job.state.is_final() {
        return 100.0;
    }
    let progress = job.progress.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    progress.and_then(|progress| progress["percent"].as_f64()).unwrap_or(0.0)
}

/// Running until all have ended; then succeeded only if all of them did.
fn status_of(jobs: &[Job]) -> &'static str {
    let all = |states: &[JobState]| jobs.iter().all(|job| states.contains(&job.state));
    if all(&[JobState::Queued]) {
        "queued"
    } else if jobs.iter().any(|job| !job.state.is_final()) {
        "running"
    } else if all(&[JobState::Succeeded]) {
        "succeeded"
    } else if all(&[JobState::Cancelled]) {
        "cancelled"
    } else {
        "failed"
    }
}

/// A batch of somebody's own. Those of others are not there.
async fn seen(app: &AppState, caller: &Caller, id: &str) -> Result<(Batch, Vec<Job>), Problem> {
    let id = Uuid::try_parse(id).map_err(|_| unknown())?;
    let found = find(app, id).await?;
    if caller.sees(&found.0.owner) { Ok(found) } else { Err(unknown()) }
}

async fn find(app: &AppState, id: Uuid) -> Result<(Batch, Vec<Job>), Problem> {
    app.jobs.store.batch(id).await.map_err(Problem::from)?.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no such batch, or it is no longer kept")
}
