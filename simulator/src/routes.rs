//! The routes of ComfyUI, each with and without `/api` before it.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use comfyport_workflow::json::Value;
use futures_util::StreamExt;

use crate::{faults::Fault, ledger::LedgerEvent, python, shared::Engine};

mod control;
mod info;
mod prompt;
mod queue;
mod socket;
mod upload;
pub(crate) mod view;

/// Bodies larger than this are refused.
pub(crate) const MAX_BODY: usize = 104_857_600;

type App = State<Arc<Engine>>;

pub(crate) fn router(engine: Arc<Engine>) -> Router {
    let routes = Router::new()
        .route("/prompt", get(prompt::remaining).post(prompt::submit))
        .route("/queue", get(queue::list).post(queue::change))
        .route("/history", get(queue::history).post(queue::change_history))
        .route("/history/{prompt_id}", get(queue::history_of))
        .route("/interrupt", post(queue::interrupt))
        .route("/free", post(queue::free))
        .route("/object_info", get(info::object_info))
        .route("/object_info/{class}", get(info::object_info_of))
        .route("/view", get(view::view))
        .route("/view_metadata/{folder}", get(|| async { StatusCode::NOT_FOUND }))
        .route("/upload/image", post(upload::image))
        .route("/upload/mask", post(upload::mask))
        .route("/models", get(info::folders))
        .route("/models/{folder}", get(info::models))
        .route("/embeddings", get(info::embeddings))
        .route("/system_stats", get(info::system_stats))
        .route("/features", get(info::features))
        .route("/extensions", get(info::none))
        .route("/users", get(info::users))
        .route("/settings", get(info::nothing))
        .route("/i18n", get(info::nothing))
        .route("/workflow_templates", get(info::nothing))
        .route("/ws", get(socket::open))
        .method_not_allowed_fallback(nowhere);
    Router::new()
        .nest("/api", routes.clone())
        .merge(routes)
        .route("/simulator/faults", post(control::plan).delete(control::clear))
        .route("/simulator/ledger", get(control::ledger))
        .fallback(nowhere)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&engine), around))
        .with_state(engine)
}

/// The origin check, the faults of requests, and the name of the server.
async fn around(State(engine): App, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if engine.is_stopping() {
        return crash();
    }
    let mut response = if foreign(&request) {
        StatusCode::FORBIDDEN.into_response()
    } else if *request.method() == Method::OPTIONS {
        StatusCode::OK.into_response()
    } else {
        let fault = if path.starts_with("/simulator") { None } else { engine.faults.of_request(&path) };
        misbehave(&engine, fault, &path, request, next).await
    };
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("Python/3.11 aiohttp/3.14.5"));
    response
}

async fn misbehave(
    engine: &Engine,
    fault: Option<Fault>,
    path: &str,
    request: Request,
    next: Next,
) -> Response {
    if let Some(fault) = &fault {
        engine.ledger.note(LedgerEvent::Fault, None, format!("{fault:?} {path}"));
    }
    match fault {
        Some(Fault::ErrorBefore { .. }) => return crash(),
        Some(Fault::Delay { milliseconds, .. }) => {
            tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        }
        _ => {}
    }
    let response = next.run(request).await;
    match fault {
        Some(Fault::ErrorAfter { .. }) => crash(),
        Some(Fault::Html { .. }) => {
            let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        Some(Fault::TruncatedOutput) => truncated(response).await,
        Some(Fault::LongFilm { bytes }) => lengthened(response, bytes).await,
        _ => response,
    }
}

/// The answer with its length as promised, and half of its body.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(data) = axum::body::to_bytes(body, usize::MAX).await else { return crash() };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(data.len()));
    let half = data.slice(..data.len() / 2);
    let end = async {
        // Long enough for the first half to be on its way.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        Err(std::io::Error::other("cut off by a fault"))
    };
    let cut = futures_util::stream::iter([Ok(half)]).chain(futures_util::stream::once(end));
    Response::from_parts(parts, Body::from_stream(cut))
}

/// The answer with a box behind it that has no meaning, made while it is sent.
async fn lengthened(response: Response, bytes: u32) -> Response {
    const PIECE: usize = 64 << 10;
    const HEAD: u32 = 8;
    let (mut parts, body) = response.into_parts();
    let Ok(data) = axum::body::to_bytes(body, usize::MAX).await else { return crash() };
    let bytes = bytes.max(HEAD);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(data.len() as u64 + u64::from(bytes)));
    let start = [&data, bytes.to_be_bytes().as_slice(), b"free"].concat();
    let zeros = Bytes::from(vec![0; PIECE]);
    let left = (bytes - HEAD) as usize;
    let pieces = (0..left.div_ceil(PIECE)).map(move |piece| zeros.slice(..PIECE.min(left - piece * PIECE)));
    let all = std::iter::once(Bytes::from(start)).chain(pieces).map(Ok::<_, std::convert::Infallible>);
    Response::from_parts(parts, Body::from_stream(futures_util::stream::iter(all)))
}

/// Whether a page of another origin asks, as far as ComfyUI looks: only if the host is this machine.
fn foreign(request: &Request) -> bool {
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let (Some(host), Some(origin)) = (text(header::HOST), text(header::ORIGIN)) else { return false };
    let Some((_, origin)) = origin.split_once("://") else { return false };
    let split = |authority: &str| -> (String, Option<String>) {
        match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (name.to_lowercase(), Some(port.to_owned()))
            }
            _ => (authority.to_lowercase(), None),
        }
    };
    let ((host, host_port), (origin, origin_port)) = (split(host), split(origin.trim_end_matches('/')));
    let loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    loopback && (host != origin || (origin_port.is_some() && host_port.is_some() && host_port != origin_port))
}

/// What no route takes: the files of the editor are served from everywhere, so reading finds nothing there and all
/// else is not allowed.
async fn nowhere(method: Method) -> Response {
    if matches!(method, Method::GET | Method::HEAD) {
        (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/octet-stream")]).into_response()
    } else {
        // aiohttp says so in words.
        (StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed").into_response()
    }
}

/// What aiohttp answers when a handler raises.
pub(crate) fn crash() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CONNECTION, "close")];
    let text = "500 Internal Server Error\n\nServer got itself in trouble";
    (StatusCode::INTERNAL_SERVER_ERROR, headers, text).into_response()
}

/// JSON that is already written.
pub(crate) fn written(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response()
}

pub(crate) fn json(value: &Value) -> Response {
    written(StatusCode::OK, python::dumps(value))
}

/// The whole body, or the answer to one that is too large.
pub(crate) async fn body(request: Request) -> Result<Bytes, Response> {
    axum::body::to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| {
        let text = format!("Maximum request body size {MAX_BODY} exceeded.");
        (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
    })
}

/// The body as JSON, or the answer to one that is not.
pub(crate) async fn json_body(request: Request) -> Result<Value, Response> {
    let body = body(request).await?;
    comfyport_workflow::json::parse(&body).map(|parsed| parsed.value).map_err(|_| crash())
}
