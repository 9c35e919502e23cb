//! Comfy API v2: assets, and jobs of graphs in API format, below `/api/v2/`.
//!
//! The published document of that API says what is answered; `docs/compat.md` says which part of it there is. An asset is
//! an upload or an output of a job, a job one of ours that runs a graph.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post},
};
use serde_json::{Map, Value, json};

use crate::{app::AppState, problem::Problem};

mod assets;
mod events;
mod jobs;
mod outputs;

/// What all paths begin with.
pub const PREFIX: &str = "/api/v2/";

/// Where assets are uploaded. Bodies of requests to it are as large as files may be.
pub const ASSETS: &str = "/api/v2/assets";

/// How long addresses in answers open without a key, in seconds.
const LINK: i64 = 60 * 60;

/// A problem is no larger, in bytes.
const LARGEST: usize = 1 << 20;

/// The routes. `read` and `run` put the guard of a scope before one.
pub fn router(
    read: impl Fn(MethodRouter<AppState>) -> MethodRouter<AppState>,
    run: impl Fn(MethodRouter<AppState>) -> MethodRouter<AppState>,
) -> Router<AppState> {
    Router::new()
        .route(ASSETS, run(post(assets::create)))
        .route("/api/v2/assets/{id}", read(get(assets::show)))
        .route("/api/v2/assets/{id}", run(delete(assets::remove)))
        .route("/api/v2/assets/{id}/content", read(get(assets::content)))
        .route("/api/v2/jobs", run(post(jobs::create)))
        .route("/api/v2/jobs/{id}", read(get(jobs::show)))
        .route("/api/v2/jobs/{id}/workflow", read(get(jobs::workflow)))
        .route("/api/v2/jobs/{id}/events", read(get(events::stream)))
        .route("/api/v2/jobs/{id}/cancel", run(post(jobs::cancel)))
        .route("/api/v2/{*rest}", read(get(nothing).post(nothing).put(nothing).delete(nothing)))
}

async fn nothing() -> Problem {
    Problem::not_found("there is nothing at this address")
}

/// Why a request is not done, in the words of this API.
#[derive(Debug)]
enum Refusal {
    /// As for any other request.
    Problem(Box<Problem>),
    /// By one of the codes that the API has for it.
    Own { status: StatusCode, code: &'static str, message: String },
}

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self::Problem(Box::new(problem.into()))
    }
}

impl Refusal {
    fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::Own { status: StatusCode::UNPROCESSABLE_ENTITY, code, message: message.into() }
    }
}

/// An answer that is worded already.
#[derive(Debug, Clone, Copy)]
pub struct Worded;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => (*problem).into_response(),
            Self::Own { status, code, message } => envelope(status, code, &message, Map::new()),
        }
    }
}

fn envelope(status: StatusCode, code: &str, message: &str, details: Map<String, Value>) -> Response {
    let details = if details.is_empty() { Value::Null } else { details.into() };
    let said = json!({"error": {"code": code, "message": message, "details": details}});
    let mut response = (status, [(CONTENT_TYPE, "application/json")], said.to_string()).into_response();
    response.extensions_mut().insert(Worded);
    response
}

/// A problem in the words of this API, and with a status that it has. Anything else is left as it is.
pub async fn worded(route: &str, response: Response) -> Response {
    let is_problem = |kind: &HeaderValue| kind == "application/problem+json";
    if !route.starts_with(PREFIX) || !response.headers().get(CONTENT_TYPE).is_some_and(is_problem) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let mut problem: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (ours, message) = (text("code"), text("detail"));
    let (status, code) = theirs(&ours, parts.status, route == ASSETS);
    let details = ["code", "request_id", "retryable", "errors", "missing"];
    problem.retain(|name, _| details.contains(&name.as_str()));
    let mut worded = envelope(status, code, &message, problem);
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    if status == StatusCode::TOO_MANY_REQUESTS {
        parts.headers.entry(RETRY_AFTER).or_insert(HeaderValue::from_static("2"));
    }
    for (name, value) in &parts.headers {
        worded.headers_mut().insert(name.clone(), value.clone());
    }
    worded
}

/// Their status and code for one of our codes.
fn theirs(ours: &str, status: StatusCode, of_assets: bool) -> (StatusCode, &'static str) {
    let faulty = if of_assets { "validation_failed" } else { "invalid_workflow" };
    match ours {
        "unauthorized" => (StatusCode::UNAUTHORIZED, "unauthorized"),
        "forbidden" | "prompt_disabled" | "foreign_origin" => (StatusCode::FORBIDDEN, "forbidden"),
        "not_found" | "output_gone" => (StatusCode::NOT_FOUND, "not_found"),
        "method_not_allowed" => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        "rate_limited" => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        "busy" | "too_many_jobs" => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
        "engine_unreachable" | "stopping" => (StatusCode::TOO_MANY_REQUESTS, "deployment_not_ready"),
        "idempotency_mismatch" | "idempotency_in_flight" => {
            (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reuse")
        }
        "upload_limit" => (StatusCode::UNPROCESSABLE_ENTITY, "upload_limit"),
        "workflow_not_ready" | "workflow_incompatible" => (StatusCode::UNPROCESSABLE_ENTITY, faulty),
        _ if status.is_client_error() => (StatusCode::UNPROCESSABLE_ENTITY, faulty),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "upstream_error"),
    }
}

/// What addresses in answers begin with: what the operator says, else what the caller called.
fn base(app: &AppState, headers: &HeaderMap) -> String {
    let settings = &app.config.server;
    if !settings.public_url.is_empty() {
        return settings.public_url.trim_end_matches('/').to_owned();
    }
    let scheme = if settings.tls_cert.as_os_str().is_empty() { "http" } else { "https" };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    format!("{scheme}://{}", host.unwrap_or_else(|| settings.listen.to_string()))
}

/// The address of an asset's bytes that opens without a key for a while, and until when, in milliseconds since 1970.
fn link(app: &AppState, base: &str, id: &str) -> (String, i64) {
    let until = app.jobs.store.now() / 1000 + LINK;
    let path = format!("{ASSETS}/{id}/content");
    (format!("{base}{}", app.access.link(&path, until)), until.saturating_mul(1000))
}

/// An answer as JSON.
fn answer(status: StatusCode, said: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], Body::from(said.to_string())).into_response()
}
