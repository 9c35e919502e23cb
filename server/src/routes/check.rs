//! `POST /{workflow}:check`: would this request run, where, and what is missing? Nothing is submitted.

use axum::{
    Json,
    body::Body,
    http::Request,
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{Endpoint, Held, Text};
use serde::Serialize;
use serde_json::value::RawValue;

use super::workflow;
use crate::{
    access::Caller,
    app::AppState,
    intake::Purpose,
    problem::Problem,
    readiness::Report,
    run::{Draft, Plan, RunError},
};

/// The verdict on a request that is in order.
#[derive(Debug, Serialize)]
struct Verdict {
    /// Whether it would run now.
    ready: bool,
    /// The endpoint's path.
    workflow: Text,
    /// The engine it would run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    /// What each engine has to say.
    engines: Vec<Report>,
    /// The values it would run with; a seed that was left out is drawn anew each time.
    params: Box<RawValue>,
}

/// Answers 200 with a verdict, or with the same problem that a run of this request would be answered with. Files at
/// addresses are judged by their address alone, unless the query says `fetch=true`.
pub(super) async fn check(
    app: &AppState,
    caller: &Caller,
    endpoint: &Held<Endpoint>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    // Files at addresses are fetched only where that is asked for: it takes time, and the other side hears of it.
    let fetch = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "fetch=true"));
    let purpose = if fetch { Purpose::Keep } else { Purpose::Look };
    let (_, body) = workflow::take(app, request).await?;
    let draft = Draft::read(endpoint.clone(), body, &app.jobs.settings.request);
    let mut prepared = app.jobs.prepare(draft, &caller.owner, purpose).await?;
    let chosen = match app.jobs.pool.choose(&mut prepared).await {
        Ok(place) => Some(place.name().to_owned()),
        Err(error @ RunError::Request { .. }) => return Err(Problem::from(error)),
        Err(_) => None,
    };
    let engines = app.jobs.pool.report_for(&prepared).await;
    let params = Plan::Endpoint(Box::new(prepared)).params();
    let workflow = endpoint.path.clone();
    let verdict = Verdict { ready: chosen.is_some(), workflow, engine: chosen, engines, params };
    Ok(Json(verdict).into_response())
}
