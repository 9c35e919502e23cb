//! `POST /{workflow}` runs it; `GET /{workflow}` says what it is.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Method, Request, header::ACCEPT},
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{Endpoint, Fault, FaultKind, Faults, Held, List, Text, nearest};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{batches, caller, check, origin::Origin, standing::Standing, waiting, workflows::OutputInfo};
use crate::{
    access::Caller,
    app::AppState,
    compat::{comfyui_api, runpod},
    endpoints::Snapshot,
    form,
    intake::Purpose,
    problem::Problem,
    readiness::Report,
    reply::{
        accept::{self, Form, Wanted},
        prefer,
    },
    run::{Body as RequestBody, Draft, Options, RunError},
};

/// What is added to the path of a workflow to have a request checked.
pub const CHECK: &str = ":check";

/// What is added to the path of a workflow to have several requests run.
pub const BATCH: &str = ":batch";

/// Runs an endpoint; checks a request to it if the path ends in `:check`, runs several if it ends in `:batch`.
pub async fn post(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    if let Some(call) = runpod::Call::read(&app, request.method(), &path) {
        let (headers, query) = (request.headers().clone(), request.uri().query().map(str::to_owned));
        let body = read_body(&app, request.into_body()).await?;
        return Ok(call.answer(&app, &caller, &headers, query.as_deref(), &body).await);
    }
    if let Some(call) = comfyui_api::Call::read(&app, request.method(), &path) {
        let headers = request.headers().clone();
        let body = read_body(&app, request.into_body()).await?;
        return Ok(call.answer(&app, &caller, &headers, &body).await);
    }
    let find = |path: &str| {
        let endpoint = find(&app, path)?;
        caller.may_run(&endpoint.path).map(|()| endpoint)
    };
    if let Some(path) = path.strip_suffix(CHECK) {
        return check::check(&app, &caller, &find(path)?, request).await;
    }
    if let Some(path) = path.strip_suffix(BATCH) {
        return batches::post(&app, &caller, &find(path)?, request).await;
    }
    let endpoint = find(&path)?;
    let wishes = Wishes::read(request.headers());
    wishes.check(&endpoint)?;
    let (headers, body) = take(&app, request).await?;
    let mut asked = caller::asked(&caller, &headers, &format!("POST /{}", endpoint.path), &body)?;
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return waiting::again(&app, before, &wishes).await;
    }
    let draft = Draft::read(endpoint, body, &app.jobs.settings.request);
    let prepared = app.jobs.prepare(draft, &asked.owner, Purpose::Keep).await?;
    let options = prepared.options.clone();
    asked.patient = wishes.is_patient(&options);
    // Whoever watches misses nothing, however fast it goes.
    let _expected = (wishes.form == Form::Events).then(|| app.jobs.expect(asked.id));
    let accepted = app.jobs.submit(prepared, &asked).await?;
    waiting::answer(&app, accepted, &wishes, &options).await
}

/// How a caller wants to be answered.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) form: Form,
    /// How long the answer may take; for ever if nothing is said.
    pub(super) wait: Option<Duration>,
    /// Whether an answer at once is wanted.
    pub(super) at_once: bool,
}

impl Wishes {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let values =
            |name: &'static str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let preferred = prefer::parse(values("prefer"));
        let accepted: Vec<&str> = values(ACCEPT.as_str()).collect();
        let accepted = (!accepted.is_empty()).then(|| accepted.join(","));
        let form = accept::choose(accepted.as_deref());
        // Both together: wait so long, and no longer.
        let at_once = preferred.respond_async && preferred.wait.is_none();
        Self { form, wait: preferred.wait, at_once }
    }

    /// Whether the caller does not wait for the end. Who wants to be told by a webhook does not.
    pub(super) fn is_patient(&self, options: &Options) -> bool {
        self.at_once || (options.webhook.is_some() && self.wait.is_none() && self.form == Form::Json)
    }

    /// Refuses, before anything runs, to look for a kind of output that the endpoint does not have.
    #[expect(clippy::result_large_err, reason = "once a request, on its way out")]
    fn check(&self, endpoint: &Endpoint) -> Result<(), Problem> {
        let Form::Bytes(wanted) = &self.form else { return Ok(()) };
        let possible = endpoint
            .outputs
            .iter()
            .any(|output| wanted.iter().any(|wanted| wanted.could_match(output.kind, &output.class_type)));
        if possible { Ok(()) } else { Err(not_acceptable(wanted, &endpoint.path)) }
    }
}

pub(super) fn not_acceptable(wanted: &[Wanted], workflow: &str) -> Problem {
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    Problem::not_acceptable(format!("{workflow} has no output of type {}", wanted.join(", ")))
}

#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn find(app: &AppState, path: &str) -> Result<Held<Endpoint>, Problem> {
    let now = app.endpoints.now();
    now.find(path).and_then(|entry| entry.endpoint.clone()).ok_or_else(|| unknown(&now, path))
}

pub(super) fn unknown(now: &Snapshot, path: &str) -> Problem {
    let is_faulty = now.entries().iter().any(|entry| *entry.path == *path);
    if is_faulty {
        let faults =
            format!("the file of `{path}` has faults and was never in order; GET /workflows shows them");
        return Problem::not_found(faults);
    }
    let near = nearest(now.entries().iter().map(|entry| &*entry.path), path);
    let near = near.map(|near| format!(", the nearest is `{near}`")).unwrap_or_default();
    Problem::not_found(format!("there is no workflow `{path}`{near}; GET /workflows lists them"))
}

/// Reads the body of a request: a form, or else JSON.
pub(super) async fn take(
    app: &AppState,
    request: Request<Body>,
) -> Result<(HeaderMap, RequestBody), Problem> {
    let limits = &app.jobs.settings.request;
    let headers = request.headers().clone();
    let body = if form::is_form(&request) {
        let form = form::FormLimits { body: limits.body, parts: limits.parts };
        let parts = form::read(request, &form)
            .await
            .map_err(|fault| Problem::from(RunError::Request { faults: Faults(vec![fault]), url: None }))?;
        RequestBody::Form(parts)
    } else {
        RequestBody::Json(read_body(app, request.into_body()).await?)
    };
    Ok((headers, body))
}

/// Reads a whole body within its limit.
pub(crate) async fn read_body(app: &AppState, body: Body) -> Result<Bytes, Problem> {
    let limit = app.jobs.settings.request.body;
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let full = std::error::Error::source(&error)
            .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
        let (code, message) = if full {
            (FaultKind::TooLarge, format!("the body is larger than {limit} bytes"))
        } else {
            (FaultKind::Malformed, "the body broke off".to_owned())
        };
        let fault =
            Fault { pointer: String::new(), param: None, message, allowed: None, did_you_mean: None, code };
        Problem::from(RunError::Request { faults: Faults(vec![fault]), url: None })
    })
}

/// What an endpoint is.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "they are names in JSON")]
pub struct Description {
    path: Text,
    title: Text,
    description: Text,
    request_schema: Value,
    response_schema: Value,
    outputs: Vec<OutputInfo>,
    models: Vec<ModelInfo>,
    node_packs: Vec<PackInfo>,
    #[serde(flatten)]
    standing: Standing,
    #[serde(flatten)]
    origin: Origin,
    ready: bool,
    engines: Vec<Report>,
}

#[derive(Debug, Serialize)]
struct ModelInfo {
    folder: Text,
    file: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Text>,
}

#[derive(Debug, Serialize)]
struct PackInfo {
    id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<Text>,
    classes: List<Text>,
}

/// Describes an endpoint, ready or not.
pub async fn describe(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(call) = runpod::Call::read(&app, &Method::GET, &path) {
        return Ok(call.answer(&app, &caller, &headers, None, &Bytes::new()).await);
    }
    if let Some(call) = comfyui_api::Call::read(&app, &Method::GET, &path) {
        return Ok(call.answer(&app, &caller, &headers, &Bytes::new()).await);
    }
    description(&app, &path).await.map(IntoResponse::into_response)
}

async fn description(app: &AppState, path: &str) -> Result<Json<Description>, Problem> {
    let now = app.endpoints.now();
    for suffix in [CHECK, BATCH] {
        if path.strip_suffix(suffix).is_some_and(|path| now.find(path).is_some()) {
            let detail = format!("`{suffix}` behind a workflow takes POST; GET describes the workflow");
            return Err(Problem::method_not_allowed("POST", detail));
        }
    }
    let entry = now.find(path).ok_or_else(|| unknown(&now, path))?;
    let endpoint = entry.endpoint.as_ref().ok_or_else(|| unknown(&now, path))?;
    let engines = app.jobs.pool.report(endpoint).await;
    let document: Value = serde_json::from_str(&endpoint.openapi).unwrap_or_default();
    let operation = &document["paths"][format!("/{}", endpoint.path)]["post"];
    let json = |content: &Value| inline(&content["content"]["application/json"]["schema"], &document, 0);
    let model = |model: &comfyport_endpoint::Model| ModelInfo {
        folder: model.folder.clone(),
        file: model.file.clone(),
        url: model.url.clone(),
        sha256: model.sha256.clone(),
    };
    let pack = |pack: &comfyport_endpoint::NodePack| PackInfo {
        id: pack.id.clone(),
        repository: pack.repository.clone(),
        classes: pack.classes.clone(),
    };
    Ok(Json(Description {
        path: endpoint.path.clone(),
        title: endpoint.title.clone(),
        description: endpoint.description.clone(),
        request_schema: json(&operation["requestBody"]),
        response_schema: json(&operation["responses"]["200"]),
        outputs: super::workflows::outputs(endpoint),
        models: endpoint.models.iter().map(model).collect(),
        node_packs: endpoint.node_packs.iter().map(pack).collect(),
        standing: Standing::of(endpoint, &now.versions),
        origin: Origin::of(entry),
        ready: engines.iter().any(|engine| engine.ready),
        engines,
    }))
}

/// Puts schemas in the place of references to them, so that a description is of use on its own.
fn inline(schema: &Value, document: &Value, depth: usize) -> Value {
    const DEEPEST: usize = 12;
    match schema {
        Value::Object(members) => {
            let target = members.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
            let found = target.and_then(|path| document.pointer(path)).filter(|_| depth < DEEPEST);
            let mut whole = Map::new();
            if let Some(Value::Object(found)) = found.map(|found| inline(found, document, depth + 1)) {
                whole = found;
            }
            // What stands beside a reference says more than what it refers to.
            let beside = members.iter().filter(|(name, _)| found.is_none() || *name != "$ref");
            whole.extend(beside.map(|(name, one)| (name.clone(), inline(one, document, depth))));
            Value::Object(whole)
        }
        Value::Array(items) => Value::Array(items.iter().map(|one| inline(one, document, depth)).collect()),
        other => other.clone(),
    }
}
