//! What happens to every request, whatever its route.

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, IF_NONE_MATCH, ORIGIN,
            RANGE, REFERRER_POLICY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use uuid::Uuid;

use crate::{
    app::{AppState, WORKFLOW_ROUTE},
    compat::comfy_v2,
    config::seconds,
    problem::{Code, Problem},
    routes::{
        uploads,
        workflow::{BATCH, CHECK},
    },
};

tokio::task_local! {
    static REQUEST_ID: Arc<str>;
}

const REQUEST_ID_HEADER: &str = "x-request-id";

/// What browsers are told with every answer, unless a route says something else. Addresses may open things.
const SAFE: [(HeaderName, &str); 3] =
    [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (X_FRAME_OPTIONS, "DENY"), (REFERRER_POLICY, "no-referrer")];

/// The id of the request that is being answered; empty outside of one.
pub fn current_request_id() -> String {
    REQUEST_ID.try_with(std::string::ToString::to_string).unwrap_or_default()
}

/// Does something as part of the answer to a request that has no handler.
pub fn within_request<T>(id: &str, action: impl FnOnce() -> T) -> T {
    REQUEST_ID.sync_scope(id.into(), action)
}

/// Wraps everything: request id, refusals, panics, the log line, the headers of every answer.
pub async fn around(
    State(app): State<AppState>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    // Heads are followed by their lengths; where a body has none, what comes after it is not looked for.
    let ends_connection = request.headers().contains_key(TRANSFER_ENCODING);
    let started = Instant::now();
    let method = request.method().clone();
    // Without the query: it may open something.
    let path = request.uri().path().to_owned();
    let client = app.access.address(&request);
    let notice = params.map(|params| notice(&app, &request, &params)).unwrap_or_default();
    let answer = REQUEST_ID.scope(Arc::clone(&id), answer(&app, request, next));
    let (mut response, route) = answer.await;
    let headers = response.headers_mut();
    headers.extend(notice);
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    for (name, value) in SAFE {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if ends_connection {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if app.simulated {
        headers.insert("x-comfyport-engine", HeaderValue::from_static("simulator"));
    }
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    app.metrics.answered(&route, status, elapsed);
    let client = client.map(tracing::field::display);
    let ms = elapsed.as_secs_f64() * 1e3;
    tracing::debug!(target: "comfyport::access", request_id = %id, client, %method, path, status, ms, "answered");
    response
}

/// What is said with every answer of a deprecated endpoint, refusals of its requests included.
fn notice(app: &AppState, request: &Request, params: &RawPathParams) -> HeaderMap {
    let is_workflow =
        request.extensions().get::<MatchedPath>().is_some_and(|matched| matched.as_str() == WORKFLOW_ROUTE);
    let Some((_, path)) = params.iter().next().filter(|_| is_workflow) else { return HeaderMap::new() };
    let now = app.endpoints.now();
    let endpoint = now
        .find(path.strip_suffix(CHECK).or_else(|| path.strip_suffix(BATCH)).unwrap_or(path))
        .and_then(|entry| entry.endpoint.as_ref());
    endpoint.map(|endpoint| now.versions.notice(endpoint)).unwrap_or_default()
}

/// A caller's own id is kept if it can do no harm in a log.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        (8..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(sane).map_or_else(|| Uuid::new_v4().to_string().into(), Arc::from)
}

async fn answer(app: &AppState, request: Request, next: Next) -> (Response, String) {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let uploads = route == uploads::ROUTE || route == comfy_v2::ASSETS;
    if let Some(problem) = refuse(app, &request, uploads) {
        return (comfy_v2::worded(&route, problem.into_response()).await, route);
    }
    let late = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| Body::new(Deadline::new(body, app, uploads, Arc::clone(&late))));
    let response = survive(next.run(request)).await.unwrap_or_else(|| {
        Problem::new(Code::Internal, "something went wrong in the server").into_response()
    });
    let response = if late.load(Ordering::Relaxed) {
        Problem::new(Code::SlowRequest, "the body did not arrive in time").into_response()
    } else {
        response
    };
    (comfy_v2::worded(&route, as_problem(response).await).await, route)
}

/// Nothing, if it panicked. The panic itself is on standard error, where the hook put it.
async fn survive<T>(answer: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(answer).catch_unwind().await.ok()
}

fn refuse(app: &AppState, request: &Request, uploads: bool) -> Option<Problem> {
    let headers = request.headers();
    let limit = if uploads {
        app.jobs.intake.limits().sizes.any().saturating_add(uploads::AROUND)
    } else {
        app.config.server.max_body_bytes as u64
    };
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > limit) {
        return Some(Problem::new(Code::TooLarge, format!("the body is larger than {limit} bytes")));
    }
    if app.config.server.listen.ip().is_loopback() {
        let settings = &app.config.server;
        let is_welcome = |name: &HeaderName, value: &HeaderValue| {
            name == ORIGIN && settings.cors_origins.iter().any(|origin| origin == "*" || value == origin)
        };
        let foreign = [(HOST, "Host"), (ORIGIN, "Origin")].into_iter().find(|(name, _)| {
            // What it has certificates for, it is.
            let names = [&settings.allowed_hosts, &app.config.acme.domains];
            let is_own = |value: &HeaderValue| names.iter().any(|names| is_own(value, names));
            headers.get(name).is_some_and(|value| !is_own(value) && !is_welcome(name, value))
        });
        if let Some((_, name)) = foreign {
            let detail = format!(
                "`{name}` is not a host name of this server; `server.allowed_hosts` adds names, `server.cors_origins` origins of pages"
            );
            return Some(Problem::new(Code::ForeignOrigin, detail));
        }
    }
    None
}

/// Whether a `Host` or `Origin` names this machine. A page of another site that resolves its own name to a loopback
/// address is told apart by that name.
fn is_own(value: &HeaderValue, allowed: &[String]) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let host = text.split_once("://").map_or(text, |(_, host)| host);
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// Answers that some layer gave without words get ours.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_problem =
        response.headers().get("content-type").is_some_and(|kind| kind == "application/problem+json");
    let is_worded = is_problem || response.extensions().get::<comfy_v2::Worded>().is_some();
    if !(status.is_client_error() || status.is_server_error()) || is_worded {
        return response;
    }
    let (code, detail) = match status {
        StatusCode::METHOD_NOT_ALLOWED => (Code::MethodNotAllowed, "this address does not take that method"),
        StatusCode::NOT_FOUND => (Code::NotFound, "there is nothing at this address"),
        StatusCode::PAYLOAD_TOO_LARGE => (Code::TooLarge, "the body is too large"),
        StatusCode::RANGE_NOT_SATISFIABLE => return response,
        other if other.is_client_error() => (Code::MalformedRequest, "the request cannot be read"),
        _ => (Code::Internal, "something went wrong in the server"),
    };
    let allow = response.headers().get("allow").cloned();
    let mut problem = Problem::new(code, detail).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert("allow", allow);
    }
    problem
}

/// What pages of other origins may do in a browser. Nothing is said to those that are not listed.
pub fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let sent = [
        AUTHORIZATION,
        CONTENT_TYPE,
        ACCEPT,
        RANGE,
        IF_NONE_MATCH,
        HeaderName::from_static("x-api-key"),
        HeaderName::from_static("idempotency-key"),
        HeaderName::from_static("prefer"),
        HeaderName::from_static("last-event-id"),
        HeaderName::from_static(REQUEST_ID_HEADER),
    ];
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(sent)
        .expose_headers(Any)
        .max_age(Duration::from_hours(1))
}

/// A body that must arrive in time. One that is an upload has time for as long as enough of it arrives.
struct Deadline {
    body: Body,
    sleep: Pin<Box<tokio::time::Sleep>>,
    time: Duration,
    /// How many bytes must arrive for more time.
    enough: Option<usize>,
    /// How many arrived since it began to run.
    arrived: usize,
    late: Arc<AtomicBool>,
}

/// Uploads that are slower are given up, in bytes a second.
const UPLOAD_PACE: usize = 16 << 10;

impl Deadline {
    fn new(body: Body, app: &AppState, upload: bool, late: Arc<AtomicBool>) -> Self {
        let timeout = app.config.server.body_timeout_s;
        let time = seconds(timeout);
        let enough = usize::try_from(timeout).unwrap_or(usize::MAX).saturating_mul(UPLOAD_PACE);
        let (enough, sleep) = (upload.then_some(enough), Box::pin(tokio::time::sleep(time)));
        Self { body, sleep, time, enough, arrived: 0, late }
    }
}

impl http_body::Body for Deadline {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = self.body.frame().poll_unpin(context) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            self.arrived += data.map_or(0, Bytes::len);
            if self.enough.is_some_and(|enough| self.arrived >= enough) {
                let next = tokio::time::Instant::now() + self.time;
                self.sleep.as_mut().reset(next);
                self.arrived = 0;
            }
            return Poll::Ready(frame);
        }
        if self.sleep.as_mut().poll_unpin(context).is_ready() {
            self.late.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(axum::Error::new(std::io::Error::from(
                std::io::ErrorKind::TimedOut,
            )))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_an_answer_and_nothing_else() {
        assert_eq!(survive(async { 7 }).await, Some(7));
        assert_eq!(
            survive(async { [0; 1].get(2).map(|_: &u8| ()).expect("on purpose, in a test") }).await,
            None
        );
    }
}
