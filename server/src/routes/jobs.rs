//! `/jobs`: looking at jobs, cancelling them, fetching what they yielded.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, Response as HttpResponse, StatusCode,
        header::{ACCEPT, LOCATION},
    },
    response::{IntoResponse, Response},
};
use comfyport_pictures::Conversion;
use comfyport_store::{Job, State as JobState, artifacts::NewArtifact, list::Filter, transition::Cancelled};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{admin, caller::unnamed};
use crate::{
    access::{Caller, Scope},
    app::AppState,
    jobs::{Accepted, Asked, Body},
    problem::{Code, Problem},
    reply::{
        self,
        accept::{self, Given},
        bytes::Converted,
        form,
    },
    run::Options,
    supplies::errand::Kind,
};

/// Jobs on a page, if the caller does not say.
const PAGE: u32 = 50;

/// Jobs on a page at most.
const LARGEST_PAGE: u32 = 500;

/// Which jobs to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    status: Option<String>,
    workflow: Option<String>,
    tag: Option<String>,
    owner: Option<String>,
    batch: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// A page of jobs, the newest first.
#[derive(Debug, Serialize)]
struct Page<'j> {
    jobs: Vec<Body<'j>>,
    /// Where the next page begins; nothing on the last one.
    next_cursor: Option<String>,
}

/// `GET /jobs`
pub async fn list(
    State(app): State<AppState>,
    caller: Caller,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = query.map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
    let limit = limit(wanted.limit.as_deref())?;
    // One more tells whether there is a next page.
    let mut jobs = app.jobs.store.list(filter(&wanted, &caller)?, limit + 1).await.map_err(Problem::from)?;
    let more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    let next_cursor = jobs.last().filter(|_| more).map(|job| job.seq.to_string());
    Ok(Json(Page { jobs: jobs.iter().map(Body::brief).collect(), next_cursor }).into_response())
}

/// How many to show on a page.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
pub(super) fn limit(wanted: Option<&str>) -> Result<u32, Problem> {
    let Some(text) = wanted else { return Ok(PAGE) };
    text.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit)).ok_or_else(|| {
        let detail = format!("`limit` must be a whole number from 1 to {LARGEST_PAGE}");
        Problem::new(Code::MalformedRequest, detail)
    })
}

#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn filter(wanted: &Wanted, caller: &Caller) -> Result<Filter, Problem> {
    let malformed = |message: String| Problem::new(Code::MalformedRequest, message);
    let states = wanted.status.iter().flat_map(|text| text.split(',')).map(|name| {
        name.trim().parse::<JobState>().map_err(|()| {
            let known: Vec<&str> = JobState::ALL.iter().map(|state| state.as_str()).collect();
            malformed(format!("`status` must be one or several of {}, separated by commas", known.join(", ")))
        })
    });
    let time = |name: &str, text: &Option<String>| {
        let parse = |text: &String| {
            let time: Option<jiff::Timestamp> = text.parse().ok();
            time.map(jiff::Timestamp::as_millisecond)
                .ok_or_else(|| malformed(format!("`{name}` must be a time such as 2030-01-31T12:00:00Z")))
        };
        text.as_ref().map(parse).transpose()
    };
    let cursor = |text: &String| {
        text.parse().map_err(|_| malformed("`cursor` must be one that was given here".to_owned()))
    };
    let batch =
        |text: &String| text.parse().map_err(|_| malformed("`batch` must be the id of a batch".to_owned()));
    Ok(Filter {
        states: states.collect::<Result<_, _>>()?,
        workflow: wanted.workflow.clone(),
        tag: wanted.tag.clone(),
        owner: caller.confined_to().or_else(|| wanted.owner.clone()),
        batch: wanted.batch.as_ref().map(batch).transpose()?,
        since: time("since", &wanted.since)?,
        until: time("until", &wanted.until)?,
        before: wanted.cursor.as_ref().map(cursor).transpose()?,
    })
}

/// A job of somebody's own. Those of others are not there.
pub(crate) async fn find(app: &AppState, caller: &Caller, id: &str) -> Result<Job, Problem> {
    let id = Uuid::try_parse(id).map_err(|_| unknown())?;
    let job = app.jobs.store.job(id).await.map_err(Problem::from)?;
    job.filter(|job| caller.sees(&job.owner)).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("there is no such job, or it is no longer kept; GET /jobs lists them")
}

/// `GET /jobs/{id}`
pub async fn show(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let job = find(&app, &caller, &id).await?;
    let standing = app.jobs.standing(&job).await;
    Ok(Json(Body::of(&job, standing)).into_response())
}

/// `DELETE /jobs/{id}`: 200 if it is cancelled, 202 if whoever runs it was told, 409 if it ended another way.
pub async fn cancel(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = find(&app, &caller, &id).await?.id;
    match app.jobs.store.cancel(id).await.map_err(Problem::from)? {
        Cancelled::Now(job) => {
            app.jobs.counts.unrun(&job);
            Ok(Json(Body::brief(&job)).into_response())
        }
        Cancelled::Before(job) => Ok(Json(Body::brief(&job)).into_response()),
        Cancelled::Told(job) => Ok((StatusCode::ACCEPTED, Json(Body::brief(&job))).into_response()),
        Cancelled::TooLate(job) => {
            let detail = format!("the job has ended already: it {}", job.state);
            Err(Problem::new(Code::JobEnded, detail).about(job.id))
        }
        Cancelled::Unknown => Err(unknown()),
    }
}

/// `POST /jobs/{id}:retry`: the same once more, as a new job.
pub async fn post(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = id.strip_suffix(":retry").ok_or_else(|| {
        let detail = "a job takes GET and DELETE, and POST with `:retry` behind its id";
        Problem::method_not_allowed("GET, HEAD, DELETE", detail)
    })?;
    let job = find(&app, &caller, id).await?;
    if let Some(kind) = Kind::of(&job.workflow) {
        caller.must_have(Scope::Admin)?;
        admin::is_on(&app, kind)?;
    } else {
        caller.may_run(&job.workflow)?;
    }
    if !job.state.is_final() {
        let detail = format!("the job is {}: it has not ended yet", job.state);
        return Err(Problem::new(Code::JobEnded, detail).about(job.id));
    }
    let asked = Asked { patient: true, ..unnamed(&caller) };
    let Accepted::New(jobs) = app.jobs.submit_again(&job, &asked).await? else {
        return Err(Problem::new(Code::Internal, "nothing was accepted"));
    };
    let job = jobs.into_iter().next().ok_or_else(|| Problem::new(Code::Internal, "nothing was accepted"))?;
    let standing = app.jobs.standing(&job).await;
    let location = [(LOCATION, format!("/jobs/{}", job.id))];
    Ok((StatusCode::ACCEPTED, location, Json(Body::of(&job, standing))).into_response())
}

/// `GET /jobs/{id}/events`
pub async fn events(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = find(&app, &caller, &id).await?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after: i64 = seen.and_then(|text| text.trim().parse().ok()).unwrap_or(0).clamp(0, i64::MAX);
    // Who has seen the end needs nothing; 204 is how browsers are told not to come back.
    if job.state.is_final() && after >= job.events {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let options: Options = serde_json::from_str(&job.options).unwrap_or_default();
    let watcher = app.jobs.watch(job.id);
    Ok(reply::events::stream(&app, watcher, after, options.previews, options.inline, Box::new(())))
}

/// `GET /jobs/{id}/outputs`: all of them in one archive.
pub async fn outputs(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<HttpResponse<HttpBody>, Problem> {
    let job = find(&app, &caller, &id).await?;
    if job.state != JobState::Succeeded {
        let detail = format!("the job is {}: only one that succeeded has outputs", job.state);
        return Err(Problem::new(Code::NotFound, detail).about(job.id));
    }
    reply::zip::answer(&app, &job).await
}

/// `GET /jobs/{id}/outputs/{output}/{index}`: the file, a part of it, or 304; a picture in another form, if the address or
/// `Accept` asks for one. `HEAD` is answered by the same route.
pub async fn output(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, output, index)): Path<(String, String, String)>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<HttpResponse<HttpBody>, Problem> {
    let Query(query) = query.map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
    let asked = form::read(&query, app.config.media.max_side)?;
    let missing = || Problem::not_found("there is no such output");
    let Ok(index) = index.parse() else { return Err(missing()) };
    let job = find(&app, &caller, &id)
        .await
        .map_err(|problem| if problem.code() == Code::NotFound { missing() } else { problem })?;
    let id = job.id;
    let artifact = app.jobs.store.artifact(id, output.clone(), index).await.map_err(Problem::from)?;
    if let Some(artifact) = &artifact
        && let Some(answer) = in_form(&app, &artifact.file, asked, &headers).await.map_err(unreadable)?
    {
        return Ok(answer);
    }
    // It was promised once: that is another thing than never having been there.
    let promised = format!("\"/jobs/{id}/outputs/{output}/{index}\"");
    let was_there = artifact.is_some() || job.result.is_some_and(|result| result.contains(&promised));
    Err(if was_there { Problem::new(Code::OutputGone, "the output is no longer kept") } else { missing() })
}

fn unreadable(error: std::io::Error) -> Problem {
    tracing::error!(%error, "an output cannot be read");
    Problem::new(Code::StorageFailed, "the output cannot be read at the moment")
}

/// `None`: the file is gone. What cannot be given out in another form is given out as it is, and says why.
async fn in_form(
    app: &AppState,
    artifact: &NewArtifact,
    asked: Option<Conversion>,
    headers: &HeaderMap,
) -> std::io::Result<Option<HttpResponse<HttpBody>>> {
    let by_address = asked.is_some();
    let conversion = asked.or_else(|| {
        let accept: Vec<&str> =
            headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let listed = accept::listed(Some(&accept.join(",")));
        match accept::find(&listed, std::slice::from_ref(&artifact.content_type), String::as_str) {
            Some(Given::Made(_, codec)) => Some(Conversion::to(codec)),
            Some(Given::Stored(_)) | None => None,
        }
    });
    let mut left = None;
    if let Some(conversion) = conversion {
        match reply::bytes::converted(&app.jobs, artifact, &conversion, headers).await? {
            Converted::Answer(answer) => return Ok(Some(answer)),
            Converted::Gone => return Ok(None),
            Converted::Not(why) => left = Some(why).filter(|_| by_address),
        }
    }
    let mut answer = reply::bytes::file(&app.jobs.files, artifact, headers).await?;
    if let (Some(answer), Some(why)) = (&mut answer, left.and_then(|why| HeaderValue::from_str(&why).ok())) {
        answer.headers_mut().insert("x-comfyport-left-as-is", why);
    }
    Ok(answer)
}
