//! `POST /prompt`: any API-format graph, for what has no endpoint yet.
//!
//! A graph can make an engine read and write files, and custom nodes can do anything. The route is off unless the
//! operator turns it on.

use axum::{
    body::Body,
    extract::State,
    http::Request,
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{Fault, FaultKind, Faults};
use comfyport_workflow::Diagnostic;

use super::{caller, waiting, workflow};
use crate::{
    access::Caller,
    app::AppState,
    compat::{comfyui_api, refused},
    problem::{Code, Problem},
    run::{Body as RequestBody, GraphPlan, Options, RunError, pointer},
};

/// Runs a graph and answers with its outputs under the ids of their nodes.
pub async fn post(
    State(app): State<AppState>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let speaks_otherwise = app.config.compat.comfyui_api;
    if let Err(problem) = allowed(&app, &caller) {
        return if speaks_otherwise { Ok(refused(&problem).into_response()) } else { Err(problem) };
    }
    let wishes = workflow::Wishes::read(request.headers());
    let headers = request.headers().clone();
    let body = workflow::read_body(&app, request.into_body()).await?;
    if speaks_otherwise && comfyui_api::is_envelope(&body) {
        return Ok(comfyui_api::prompt(&app, &caller, &headers, &body).await);
    }
    let whole = RequestBody::Json(body.clone());
    let mut asked = caller::asked(&caller, &headers, "POST /prompt", &whole)?;
    let options = Options::default();
    asked.patient = wishes.is_patient(&options);
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return waiting::again(&app, before, &wishes).await;
    }
    let plan = plan(&app, &body, "").await?;
    let graph = std::str::from_utf8(&body)
        .map_err(|_| Problem::new(Code::MalformedRequest, "the body is not UTF-8"))?;
    let accepted = app.jobs.submit_graph(graph, Vec::new(), &plan, &options, &asked).await?;
    waiting::answer(&app, accepted, &wishes, &options).await
}

/// Refuses graphs where they are off, and callers whose keys are for some workflows alone.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
pub(crate) fn allowed(app: &AppState, caller: &Caller) -> Result<(), Problem> {
    if !app.config.prompt_route.enabled {
        return Err(Problem::prompt_disabled());
    }
    if caller.grant.is_bound() {
        let detail = "this key is for some workflows alone, and a graph may be any";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(())
}

/// Reads a graph. `root` leads to it in the request.
pub(crate) async fn plan(app: &AppState, graph: &[u8], root: &str) -> Result<GraphPlan, Problem> {
    let known = app.jobs.pool.known().await?;
    let read = GraphPlan::read(graph, |class| known.output_classes.contains(class));
    read.map_err(|diagnostics| {
        let fault = |one: Diagnostic| {
            let node = one.node.as_deref().map(pointer).unwrap_or_default();
            let message = one.help.map_or(one.message.clone(), |help| format!("{}; {help}", one.message));
            Fault {
                pointer: format!("{root}{node}"),
                param: None,
                message,
                allowed: None,
                did_you_mean: None,
                code: FaultKind::Invalid,
            }
        };
        let errors = diagnostics.into_iter().filter(Diagnostic::is_error).map(fault).collect();
        Problem::from(RunError::Request { faults: Faults(errors), url: None })
    })
}
