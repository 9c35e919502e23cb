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
use comfyport_endpoint::{Endpoint, Held};
use comfyport_fetch::Credentials;
use comfyport_store::Job;
use indexmap::IndexMap;
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use crate::{
    access::Caller,
    app::AppState,
    intake::Purpose,
    jobs::{Accepted, Asked},
    problem::{Code, Problem},
    routes,
    run::{Body, Draft, Options},
};

pub mod comfy_v2;
pub mod comfyui_api;
mod enclosures;
pub mod runpod;

pub use enclosures::Enclosures;

/// What is sent to callers of another API; nothing for the usual words.
pub fn webhooks(shape: &str, job: &Job, at: i64) -> Option<Vec<String>> {
    match shape {
        runpod::SHAPE => Some(vec![runpod::webhook(job).to_string()]),
        comfyui_api::WHOLE => Some(vec![comfyui_api::whole(job, at)]),
        comfyui_api::EACH => Some(comfyui_api::each(job)),
        _ => None,
    }
}

/// A request that another API's envelope was taken off.
struct Unwrapped {
    /// The parameters, with `options` in our words.
    params: IndexMap<String, Box<RawValue>>,
    /// All that was sent, by which the same request is known again; the parameters alone where nothing else matters.
    whole: Option<Bytes>,
    /// What the caller sends along to addresses of files.
    credentials: Vec<Credentials>,
    /// Writes into the options what callers of our own API cannot.
    dress: Box<dyn FnOnce(&mut Options) + Send>,
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
    let params = serde_json::to_vec(&request.params)
        .map_err(|_| Problem::new(Code::MalformedRequest, "the parameters cannot be read"))?;
    let params = Bytes::from(params);
    let whole = Body::Json(request.whole.unwrap_or_else(|| params.clone()));
    let asked = routes::asked(caller, headers, &format!("POST /{}", endpoint.path), &whole)?;
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return Ok(before);
    }
    let mut draft = Draft::read(endpoint.clone(), Body::Json(params), &app.jobs.settings.request);
    draft.take(&app.jobs.take_in(&asked.owner, Purpose::Keep).with(request.credentials)).await;
    let mut prepared = draft.finish()?;
    (request.dress)(&mut prepared.options);
    only(app.jobs.submit(prepared, &Asked { patient: true, ..asked }).await?)
}

/// The job that a request led to.
fn only(accepted: Accepted) -> Result<Uuid, Problem> {
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
pub fn refused(problem: &Problem) -> Response {
    let mut said = serde_json::to_value(problem).unwrap_or_default();
    said["error"] = problem.detail().into();
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    (problem.status(), kind, said.to_string()).into_response()
}
