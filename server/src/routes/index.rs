//! `GET /`: where to go from here.

use axum::{
    extract::State,
    http::header::CONTENT_SECURITY_POLICY,
    response::{Html, IntoResponse},
};

use crate::app::AppState;

/// A short page for people.
pub async fn page(State(app): State<AppState>) -> impl IntoResponse {
    let now = app.endpoints.now();
    let rows: String = now
        .served()
        .map(|endpoint| {
            let path = escape(&endpoint.path);
            let title = escape(&endpoint.title);
            let old = if endpoint.deprecated.is_some() { " (deprecated)" } else { "" };
            format!("<li><a href=\"/{path}\"><code>/{path}</code></a> {title}{old}</li>")
        })
        .collect();
    let warning = if app.simulated {
        "<p class=\"note\">The engine is a simulation: results are made up.</p>"
    } else {
        ""
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>comfyport</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body><main>\
         <h1>comfyport</h1>{warning}<p><a href=\"/docs/\">API reference</a> · \
         <a href=\"/openapi.json\">openapi.json</a> · <a href=\"/docs/errors\">Problems</a></p>\
         <ul>{rows}</ul></main></body></html>"
    );
    ([(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")], Html(page))
}

/// How our own pages look.
pub(super) const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1d2430;background:#fbfbfc}\
    main{max-width:60rem;margin:3rem auto;padding:0 1.5rem}li{margin:.3rem 0}code{background:#eef0f4;padding:.1rem .3rem;\
    border-radius:.3rem}a{color:#1f5fd0}.note{background:#fff3d6;padding:.6rem 1rem;border-radius:.4rem}\
    td,th{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #e4e7ec}";

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
