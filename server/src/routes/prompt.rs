//! `POST /prompt`: any API-format graph, for what has no endpoint yet.
//!
//! A graph can make an engine read and write files, and custom nodes can do anything. The route is off unless the
//! operator turns it on.

use axum::{body::Body, extract::State, http::Request, response::Response};
use comfyport_endpoint::{Fault, FaultKind, Faults};

use super::{caller, waiting, workflow};
use crate::{
    access::Caller,
    app::AppState,
    problem::{Code, Problem},
    run::{Body as RequestBody, GraphPlan, Options, RunError},
};

/// Runs a graph and answers with its outputs under the ids of their nodes.
pub async fn post(
    State(app): State<AppState>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response, Problem> {
    if !app.config.prompt_route.enabled {
        return Err(Problem::prompt_disabled());
    }
    if caller.grant.is_bound() {
        let detail = "this key is for some workflows alone, and a graph may be any";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let wishes = workflow::Wishes::read(request.headers());
    let headers = request.headers().clone();
    let body = workflow::read_body(&app, request.into_body()).await?;
    let whole = RequestBody::Json(body.clone());
    let mut asked = caller::asked(&caller, &headers, "POST /prompt", &whole)?;
    let options = Options::default();
    asked.patient = wishes.is_patient(&options);
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return waiting::again(&app, before, &wishes).await;
    }
    let known = app.jobs.pool.known().await?;
    let read = GraphPlan::read(&body, |class| known.output_classes.contains(class));
    let plan = read.map_err(|diagnostics| {
        let fault = |one: comfyport_workflow::Diagnostic| {
            let pointer = one.node.as_deref().map(crate::run::pointer).unwrap_or_default();
            let message = one.help.map_or(one.message.clone(), |help| format!("{}; {help}", one.message));
            Fault {
                pointer,
                param: None,
                message,
                allowed: None,
                did_you_mean: None,
                code: FaultKind::Invalid,
            }
        };
        let errors =
            diagnostics.into_iter().filter(comfyport_workflow::Diagnostic::is_error).map(fault).collect();
        Problem::from(RunError::Request { faults: Faults(errors), url: None })
    })?;
    let graph = std::str::from_utf8(&body)
        .map_err(|_| Problem::new(Code::MalformedRequest, "the body is not UTF-8"))?;
    let accepted = app.jobs.submit_graph(graph, &plan, &options, &asked).await?;
    waiting::answer(&app, accepted, &wishes, &options).await
}
