//! Other people's HTTP APIs before the same jobs, so that programs written for them work by changing an address.
//!
//! Each is a thin adapter: it reads what its callers send, hands it over as any other request, and words the answer as
//! they expect. Nothing here knows how jobs run. Each is off until the configuration turns it on
//! ([docs/compat.md](../../docs/compat.md)).

use axum::{
    body::Bytes,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_endpoint::{Endpoint, Held};
use comfyport_store::{Job, artifacts::Artifact};
use indexmap::IndexMap;
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use crate::{
    access::Caller,
    app::AppState,
    intake::Purpose,
    jobs::{Accepted, Asked},
    problem::{Code, Problem},
    routes,
    run::{Body, Draft},
};

pub mod runpod;

/// The words of a webhook for callers of another API; nothing for the usual ones.
pub fn webhook(shape: &str, job: &Job) -> Option<Value> {
    (shape == runpod::SHAPE).then(|| runpod::webhook(job))
}

/// A request that another API's envelope was taken off.
struct Unwrapped {
    /// The parameters, with `options` in our words.
    params: IndexMap<String, Box<RawValue>>,
    /// How webhooks are worded.
    shape: &'static str,
}

/// Accepts a request and answers the job it led to, new or not.
async fn accept(
    app: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    endpoint: &Held<Endpoint>,
    request: Unwrapped,
) -> Result<Uuid, Problem> {
    caller.may_run(&endpoint.path)?;
    let body = serde_json::to_vec(&request.params)
        .map_err(|_| Problem::new(Code::MalformedRequest, "the parameters cannot be read"))?;
    let body = Body::Json(body.into());
    let asked = routes::asked(caller, headers, &format!("POST /{}", endpoint.path), &body)?;
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return Ok(before);
    }
    let draft = Draft::read(endpoint.clone(), body, &app.jobs.settings.request);
    let mut prepared = app.jobs.prepare(draft, &asked.owner, Purpose::Keep).await?;
    if let Some(webhook) = &mut prepared.options.webhook {
        webhook.shape = Some(request.shape.to_owned());
    }
    let accepted = app.jobs.submit(prepared, &Asked { patient: true, ..asked }).await?;
    match accepted {
        Accepted::New(jobs) => jobs.first().map(|job| job.id),
        Accepted::Before(id) => Some(id),
        Accepted::Cached(job) => Some(job.id),
    }
    .ok_or_else(|| Problem::new(Code::Internal, "nothing was accepted"))
}

/// Reads a JSON object without touching its numbers: seeds are larger than what other programs keep exactly.
fn object(body: &Bytes) -> Result<IndexMap<String, Box<RawValue>>, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::MalformedRequest, format!("a JSON object is expected: {error}")))
}

/// A value in our words, as part of a request.
fn raw(value: &Value) -> Result<Box<RawValue>, Problem> {
    RawValue::from_string(value.to_string()).map_err(|_| Problem::new(Code::Internal, "a value is not JSON"))
}

/// A problem for programs that look for `error` alone; everything else is in it as well.
fn refused(problem: &Problem) -> Response {
    let mut said = serde_json::to_value(problem).unwrap_or_default();
    said["error"] = problem.detail().into();
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    (problem.status(), kind, said.to_string()).into_response()
}

/// How long links in answers live, in seconds.
const LINK: i64 = 24 * 60 * 60;

/// An address of a file that opens without a key for a day.
fn link(app: &AppState, file: &Artifact) -> String {
    let path = format!("/jobs/{}/outputs/{}/{}", file.job, file.file.output, file.file.position);
    let until = app.jobs.store.now() / 1000 + LINK;
    format!("{}{}", app.config.server.public_url.trim_end_matches('/'), app.access.link(&path, until))
}

/// The files of a job: in base64 while all of them together have no more than so many bytes, then by address.
async fn files(app: &AppState, job: &Job, inline: u64) -> Result<Vec<Value>, Problem> {
    let lost = |error: std::io::Error| {
        tracing::error!(job = %job.id, %error, "an output cannot be read");
        Problem::new(Code::OutputGone, "an output is no longer kept").about(job.id)
    };
    let mut left = inline;
    let mut shown = Vec::new();
    for file in app.jobs.files_of(job).await.map_err(Problem::from)? {
        let name = &file.file.filename;
        let data = match left.checked_sub(file.file.size) {
            Some(rest) => {
                left = rest;
                app.jobs.files.get(&file.file.file).await.map_err(lost)?
            }
            None => None,
        };
        shown.push(match data {
            Some(data) => json!({"filename": name, "type": "base64", "data": STANDARD.encode(data)}),
            None => json!({"filename": name, "type": "url", "data": link(app, &file)}),
        });
    }
    Ok(shown)
}
