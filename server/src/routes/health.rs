//! Whether the server lives, whether it could run something, and what it counts.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    access::Caller,
    app::AppState,
    endpoints::is_among,
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

/// What has to be ready.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// These workflows as well: a path, or the beginning of paths and `*`.
    workflow: Option<String>,
}

/// `GET /ready`: could accept and run something now, or these workflows; 503 with reasons otherwise. Who has no key where
/// keys are needed gets to know whether, and not which engines there are.
pub async fn ready(
    State(app): State<AppState>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|error| {
        let detail =
            format!("{}; there is `workflow`, a path or the beginning of paths and `*`", error.body_text());
        Problem::new(Code::MalformedRequest, detail)
    })?;
    if app.stopping.is_cancelled() {
        return Err(Problem::new(Code::Stopping, "the server is about to stop"));
    }
    if let Some(fault) = app.jobs.store_fault().await {
        return Err(fault.into());
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
        let why = |engine: &EngineReadiness| {
            format!("{}: {}", engine.engine, engine.reason.as_deref().unwrap_or(engine.state))
        };
        let detail = if caller.is_stranger() {
            "no engine can be sent work; with a key, this says why".to_owned()
        } else {
            engines.iter().map(why).collect::<Vec<_>>().join("; ")
        };
        return Err(Problem::new(Code::EngineUnreachable, detail));
    }
    if let Some(pattern) = &asked.workflow {
        let able: BTreeSet<&str> =
            engines.iter().filter(|engine| engine.ready).map(|engine| &*engine.engine).collect();
        workflows_ready(&app, pattern, &able).await?;
    }
    let warm_up = app.warm_up.summary();
    if let Some(Summary { over: false, done, all, .. }) = &warm_up {
        let detail = format!("workflows are run once before anybody waits for them: {done} of {all} were");
        return Err(Problem::new(Code::WarmingUp, detail));
    }
    let mut said = json!({"ready": true, "workflows": app.endpoints.now().served().count()});
    if !caller.is_stranger() {
        said["engines"] = json!(engines);
        if let Some(warm_up) = warm_up {
            said["warm_up"] = json!({"done": warm_up.done, "all": warm_up.all, "not_done": warm_up.not_done});
        }
    }
    if app.config.compat.comfyui_api {
        said["status"] = "ready".into();
        said["version"] = env!("CARGO_PKG_VERSION").into();
    }
    Ok(Json(said).into_response())
}

/// Each of these workflows can run on one of these engines. What is missing is not said: whoever may know asks the
/// workflow.
async fn workflows_ready(app: &AppState, pattern: &str, able: &BTreeSet<&str>) -> Result<(), Problem> {
    let now = app.endpoints.now();
    let asked: Vec<_> = now.served().filter(|endpoint| is_among(&endpoint.path, pattern)).collect();
    if asked.is_empty() {
        return Err(super::workflow::unknown(&now, pattern));
    }
    let mut unable = BTreeSet::new();
    for endpoint in asked {
        let reports = app.jobs.pool.report(endpoint).await;
        if !reports.iter().any(|report| report.ready && able.contains(&*report.engine)) {
            unable.insert(&*endpoint.path);
        }
    }
    let Some(first) = unable.first() else { return Ok(()) };
    let all = unable.iter().copied().collect::<Vec<_>>().join(", ");
    let detail = format!("no engine could run {all}; GET /{first} says what is missing");
    Err(Problem::new(Code::WorkflowNotReady, detail))
}

/// `GET /metrics`, for Prometheus.
pub async fn metrics(State(app): State<AppState>) -> Response {
    let jobs = &app.jobs;
    let now = Now {
        depth: jobs.counts.last_depth(),
        workflows: app.endpoints.now().served().map(|endpoint| endpoint.path.to_string()).collect(),
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
