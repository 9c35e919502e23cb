//! The documentation, from the binary: the OpenAPI document, a page to read and try it, and the problems.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{Html, IntoResponse, Redirect, Response},
};
use utoipa_swagger_ui::{Config, serve};

use super::index::{STYLE, escape};
use crate::{
    app::AppState,
    openapi::Built,
    problem::{Code, Problem},
};

/// Scripts and styles of the page come from here alone; it styles itself inline.
const UI_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
    style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// `GET /openapi.json`
pub async fn openapi(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Problem> {
    let now = app.endpoints.now();
    let ready = now.document.ready().cloned();
    let Built { json, etag } = match ready {
        Some(built) => built,
        None => tokio::task::spawn_blocking(move || now.document.get().clone()).await.map_err(|error| {
            tracing::error!(%error, "the OpenAPI document was not made");
            Problem::new(Code::Internal, "something went wrong in the server")
        })?,
    };
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    Ok(([(CONTENT_TYPE, "application/json".to_owned()), (ETAG, etag)], json).into_response())
}

/// `GET /docs`
pub async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// `GET /docs/`
pub async fn ui_root() -> Response {
    file("index.html")
}

/// A file of the page.
pub async fn ui(Path(path): Path<String>) -> Response {
    file(&path)
}

fn file(path: &str) -> Response {
    let config = Config::from("/openapi.json").try_it_out_enabled(true).doc_expansion("list");
    match serve(path, Arc::new(config)) {
        Ok(Some(file)) => {
            let headers = [
                (CONTENT_TYPE, file.content_type),
                (CONTENT_SECURITY_POLICY, UI_POLICY.to_owned()),
                (CACHE_CONTROL, "max-age=3600".to_owned()),
            ];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => {
            Problem::not_found("there is no such page; the API reference is at /docs/").into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the API reference cannot be served");
            Problem::new(Code::Internal, "the API reference cannot be served").into_response()
        }
    }
}

/// `GET /docs/errors`
pub async fn errors() -> impl IntoResponse {
    let rows: String = Code::ALL
        .iter()
        .map(|code| {
            let retry = if code.is_retryable() { "yes" } else { "no" };
            format!(
                "<tr id=\"{0}\"><td><code>{0}</code></td><td>{1}</td><td>{2}</td><td>{retry}</td><td>{3}</td></tr>",
                code.as_str(),
                code.status().as_u16(),
                format!("{:?}", code.origin()).to_lowercase(),
                escape(code.meaning())
            )
        })
        .collect();
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Problems</title><style>{STYLE}</style>\
         </head><body><main><h1>Problems</h1><table><tr><th>code</th><th>status</th><th>source</th><th>retry</th>\
         <th>meaning</th></tr>{rows}</table></main></body></html>"
    );
    ([(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")], Html(page))
}
