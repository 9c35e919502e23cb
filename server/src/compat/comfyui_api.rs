//! What SaladTechnologies' comfyui-api answers: `POST /prompt` with an envelope, `POST /workflow/{name}`,
//! `POST /interrupt`, `GET /models`.
//!
//! `POST /prompt` takes a bare graph as well; an envelope is told from it by its member `prompt`.

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{Endpoint, Held};
use comfyport_store::{Job, State, list::Filter, transition::Cancelled};
use comfyport_workflow::json;
use indexmap::IndexMap;
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::{Enclosures, Unwrapped, accept, object, only};
use crate::{
    access::Caller,
    app::AppState,
    intake::Purpose,
    jobs::body,
    problem::{Code, Problem},
    routes::{self, jobs::find, prompt::plan},
    run::{Body, Envelope, KeptRequest, Options, attach},
};

mod envelope;
mod media;
mod words;

use envelope::{Sent, read, tag};
use words::Told;
pub(super) use words::{each, enclose, whole};

/// The name of the API, in what is kept of a job.
const API: &str = "comfyui-api";

/// The names of how webhooks are worded here: one for the job, one for each file.
pub(super) const WHOLE: &str = "comfyui-api";
pub(super) const EACH: &str = "comfyui-api, each file";

/// Jobs of one name that are cancelled together.
const TOGETHER: u32 = 100;

/// Whether a body is an envelope with a graph in it, and not a graph: one may have a node that is called `prompt`.
pub fn is_envelope(body: &[u8]) -> bool {
    let Ok(members) = serde_json::from_slice::<IndexMap<String, &RawValue>>(body) else { return false };
    let Some(prompt) = members.get("prompt") else { return false };
    let Ok(inner) = serde_json::from_str::<IndexMap<String, &RawValue>>(prompt.get()) else { return false };
    inner.get("class_type").is_none_or(|class| !class.get().starts_with('"'))
}

/// A call of this API.
#[derive(Debug, Clone)]
pub enum Call {
    /// Run a workflow.
    Workflow(Held<Endpoint>),
    /// Cancel a job.
    Interrupt,
    /// Fetch a model.
    Download,
}

impl Call {
    /// What a path means; nothing if it is not of this API, or that is off. Workflows of our own come first.
    pub fn read(app: &AppState, method: &Method, path: &str) -> Option<Self> {
        let now = app.endpoints.now();
        if !app.config.compat.comfyui_api || now.find(path).is_some() {
            return None;
        }
        match (method == Method::POST, path) {
            (true, "interrupt") => Some(Self::Interrupt),
            (true, "download") => Some(Self::Download),
            (true, path) => {
                let endpoint = now.find(path.strip_prefix("workflow/")?)?.endpoint.clone()?;
                Some(Self::Workflow(endpoint))
            }
            _ => None,
        }
    }

    /// Does it.
    pub async fn answer(
        self,
        app: &AppState,
        caller: &Caller,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Response {
        let done = match self {
            Self::Workflow(endpoint) => workflow(app, caller, headers, &endpoint, body).await,
            Self::Interrupt => interrupt(app, caller, body).await,
            Self::Download => Err(Problem::not_implemented(
                "models are not fetched by this server: put the file into the engine's models folder",
            )),
        };
        done.unwrap_or_else(|problem| said(&problem))
    }
}

/// Runs a graph.
pub async fn prompt(app: &AppState, caller: &Caller, headers: &HeaderMap, body: &Bytes) -> Response {
    run_graph(app, caller, headers, body).await.unwrap_or_else(|problem| said(&problem))
}

async fn run_graph(
    app: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Problem> {
    let Sent { what, credentials, wishes } = read(app, body, "prompt")?;
    let at_once = wishes.at_once();
    let asked = routes::asked(caller, headers, "POST /prompt", &Body::Json(body.clone()))?;
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return answered(app, before, at_once, None).await;
    }
    let malformed = |detail: String| Problem::new(Code::MalformedRequest, detail);
    let parsed =
        json::parse(what.get().as_bytes()).map_err(|error| malformed(format!("`prompt`: {error}")))?;
    let json::Value::Object(mut graph) = parsed.value else {
        return Err(malformed("`prompt` must be an object: a graph in API format".to_owned()));
    };
    let known = app.jobs.pool.known().await?;
    let found = media::find(&graph, &known, &app.jobs.settings.request.decode)?;
    // Nothing is fetched for a graph that will not do.
    plan(app, what.get().as_bytes(), "/prompt").await?;
    let session = app.jobs.take_in(&asked.owner, Purpose::Keep).with(credentials);
    let attached = attach(found, "/prompt", &session).await?;
    media::refer(&mut graph, &attached);
    let graph = json::Value::Object(graph).to_json();
    let plan = plan(app, graph.as_bytes(), "/prompt").await?;
    let mut options = Options::default();
    wishes.dress(&mut options);
    let accepted = app.jobs.submit_graph(&graph, attached, &plan, &options, &asked).await?;
    answered(app, only(accepted)?, at_once, None).await
}

async fn workflow(
    app: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    endpoint: &Held<Endpoint>,
    body: &Bytes,
) -> Result<Response, Problem> {
    let Sent { what, credentials, wishes } = read(app, body, "input")?;
    let malformed = |_| Problem::new(Code::MalformedRequest, "`input` must be an object: the parameters");
    let params: IndexMap<String, Box<RawValue>> = serde_json::from_str(what.get()).map_err(malformed)?;
    let at_once = wishes.at_once();
    let envelope = wishes.envelope().clone();
    let dress = Box::new(move |options: &mut Options| wishes.dress(options));
    let request = Unwrapped { params, whole: Some(body.clone()), credentials, dress };
    let id = accept(app, caller, headers, endpoint, request).await?;
    answered(app, id, at_once, Some(envelope)).await
}

/// Answers at once, or at the end. `envelope` is that of the request, where an earlier job may answer it.
async fn answered(
    app: &AppState,
    id: Uuid,
    at_once: bool,
    envelope: Option<Envelope>,
) -> Result<Response, Problem> {
    if at_once {
        let job = app.jobs.store.job(id).await.map_err(Problem::from)?;
        let job = job.ok_or_else(|| Problem::not_found("the job is no longer kept"))?;
        let prompt = prompt_of(app, &job).await;
        return Ok(json(StatusCode::ACCEPTED, told(&job, envelope).accepted(prompt.as_deref())));
    }
    let mut watcher = app.jobs.watch(id);
    let job = tokio::select! {
        ended = watcher.ended() => ended.map_err(|error| Problem::from(error).about(id))?,
        () = app.closing.cancelled() => {
            let detail = "the server is about to stop; the job is kept and goes on: see `GET /jobs/{id}`";
            return Err(Problem::new(Code::Stopping, detail).about(id));
        }
    };
    if job.state != State::Succeeded {
        return Ok(failed(&job));
    }
    let prompt = prompt_of(app, &job).await;
    let answer = told(&job, envelope).answer(&Enclosures::of(app), prompt.as_deref()).await?;
    Ok(json(StatusCode::OK, answer))
}

fn told(job: &Job, envelope: Option<Envelope>) -> Told<'_> {
    match envelope {
        Some(envelope) => Told::of(job).answering(envelope),
        None => Told::of(job),
    }
}

/// The graph that a request to a workflow became. A graph that a caller sent is in the request itself.
async fn prompt_of(app: &AppState, job: &Job) -> Option<Box<RawValue>> {
    let request = KeptRequest::parse(&job.request).filter(|request| request.graph.is_none())?;
    let prompt = app.jobs.written(job, &request).await?;
    RawValue::from_string(prompt).ok()
}

/// Why a job yielded nothing, with the status of that.
fn failed(job: &Job) -> Response {
    let kept: Option<Value> = body::problem(job).and_then(|text| serde_json::from_str(&text).ok());
    let mut problem = kept.unwrap_or_default();
    let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    problem["error"] = problem["detail"].clone();
    problem["job"] = job.id.to_string().into();
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), kind, problem.to_string()).into_response()
}

/// A problem, with the place of a lone fault as they tell it: `prompt.3.inputs.image`.
fn said(problem: &Problem) -> Response {
    let mut said = serde_json::to_value(problem).unwrap_or_default();
    said["error"] = problem.detail().into();
    let lone = said["errors"].as_array().filter(|errors| errors.len() == 1).and_then(|errors| errors.first());
    let place = lone
        .and_then(|fault| fault["pointer"].as_str()?.strip_prefix('/').map(|path| path.replace('/', ".")));
    if let Some(place) = place {
        said["location"] = place.into();
    }
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    (problem.status(), kind, said.to_string()).into_response()
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Cancels a job by our id for it, or all jobs by their caller's id for them.
async fn interrupt(app: &AppState, caller: &Caller, body: &Bytes) -> Result<Response, Problem> {
    let id = object(body)?.get("id").and_then(|id| serde_json::from_str::<String>(id.get()).ok());
    let id = id.ok_or_else(|| Problem::new(Code::MalformedRequest, "`{\"id\": \"…\"}` is expected"))?;
    let mut jobs = match Uuid::try_parse(&id) {
        Ok(_) => find(app, caller, &id).await.into_iter().collect(),
        Err(_) => Vec::new(),
    };
    let named = Filter {
        states: vec![State::Queued, State::Running],
        tag: Some(tag(&id)),
        owner: caller.confined_to(),
        ..Filter::default()
    };
    jobs.extend(app.jobs.store.list(named, TOGETHER).await.map_err(Problem::from)?);
    let mut interrupted = false;
    for job in jobs {
        match app.jobs.store.cancel(job.id).await.map_err(Problem::from)? {
            Cancelled::Now(job) => {
                app.jobs.counts.unrun(&job);
                interrupted = true;
            }
            Cancelled::Told(_) | Cancelled::Before(_) => interrupted = true,
            Cancelled::TooLate(_) | Cancelled::Unknown => {}
        }
    }
    let answer = |word: &str| serde_json::json!({"id": id, "interrupted": word});
    if interrupted {
        return Ok(json(StatusCode::OK, answer("success").to_string()));
    }
    let problem = Problem::not_found("no job of that id waits or runs");
    let mut said = serde_json::to_value(&problem).unwrap_or_default();
    said["error"] = problem.detail().into();
    for (name, value) in answer("failed").as_object().into_iter().flatten() {
        said[name] = value.clone();
    }
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    Ok((problem.status(), kind, said.to_string()).into_response())
}

/// The model files of all engines that answer, by folder.
pub async fn models(app: &AppState) -> Result<Response, Problem> {
    let all = app.jobs.pool.models().await?;
    Ok(json(StatusCode::OK, serde_json::json!(all).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_told_from_graphs() {
        let node = r#"{"class_type":"SaveImage","inputs":{}}"#;
        assert!(is_envelope(format!(r#"{{"prompt":{{"1":{node}}}}}"#).as_bytes()));
        assert!(is_envelope(br#"{"prompt":{},"id":"a"}"#));
        // A node may be called anything.
        assert!(is_envelope(format!(r#"{{"prompt":{{"class_type":{node}}}}}"#).as_bytes()));
        for graph in [format!(r#"{{"prompt":{node}}}"#), format!(r#"{{"1":{node}}}"#), "[]".to_owned()] {
            assert!(!is_envelope(graph.as_bytes()), "{graph}");
        }
    }
}
