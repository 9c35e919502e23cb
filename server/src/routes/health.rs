//! Whether the server lives, whether it could run something, and what it counts.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    app::AppState,
    metrics::Now,
    pool::EngineView,
    problem::{Code, Problem},
    warm_up::Summary,
};

/// `GET /health`: alive.
pub async fn health(State(app): State<AppState>) -> impl IntoResponse {
    let kind = if app.simulated { "simulator" } else { "comfyui" };
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "engine": {"kind": kind}}))
}

#[derive(Serialize)]
struct EngineReadiness {
    engine: String,
    ready: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `GET /ready`: could accept and run something now; 503 with reasons otherwise.
pub async fn ready(State(app): State<AppState>) -> Response {
    if app.stopping.is_cancelled() {
        return Problem::new(Code::Stopping, "the server is about to stop").into_response();
    }
    if let Some(fault) = app.jobs.store_fault().await {
        return Problem::from(fault).into_response();
    }
    app.jobs.pool.look().await;
    let engine = |view: EngineView| EngineReadiness {
        ready: matches!(view.state, "up" | "unknown" | "probing"),
        engine: view.name,
        state: view.state,
        version: view.version,
        reason: view.reason,
    };
    let engines: Vec<EngineReadiness> = app.jobs.pool.view().into_iter().map(engine).collect();
    let ready = engines.iter().any(|engine| engine.ready);
    if !ready {
        let reasons: Vec<String> = engines
            .iter()
            .map(|engine| format!("{}: {}", engine.engine, engine.reason.as_deref().unwrap_or(engine.state)))
            .collect();
        return Problem::new(Code::EngineUnreachable, reasons.join("; ")).into_response();
    }
    let warm_up = app.warm_up.summary();
    if let Some(Summary { over: false, done, all, .. }) = &warm_up {
        let detail = format!("workflows are run once before anybody waits for them: {done} of {all} were");
        return Problem::new(Code::WarmingUp, detail).into_response();
    }
    let mut said =
        json!({"ready": true, "workflows": app.endpoints.now().served().count(), "engines": engines});
    if let Some(warm_up) = warm_up {
        said["warm_up"] = json!({"done": warm_up.done, "all": warm_up.all, "not_done": warm_up.not_done});
    }
    if app.config.compat.comfyui_api {
        said["status"] = "ready".into();
        said["version"] = env!("CARGO_PKG_VERSION").into();
    }
    (StatusCode::OK, Json(said)).into_response()
}

/// `GET /metrics`, for Prometheus.
pub async fn metrics(State(app): State<AppState>) -> Response {
    let jobs = &app.jobs;
    let now = Now {
        depth: jobs.counts.last_depth(),
        time: jobs.store.now(),
        in_hand: jobs.in_hand(),
        artifact_bytes: jobs.counts.kept_bytes(),
        backlog: jobs.store.backlog(),
        commits: jobs.store.commits(),
        engines: jobs.pool.view().into_iter().zip(jobs.pool.ejections()).collect(),
    };
    match app.metrics.render(&now) {
        Ok(text) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => Problem::new(Code::Internal, "the metrics cannot be written").into_response(),
    }
}
