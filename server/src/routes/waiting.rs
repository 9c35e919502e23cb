//! Answering somebody who asked for a run: at once, after a while, at the end, or as it goes.

use std::sync::Arc;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use comfyport_pictures::Conversion;
use comfyport_store::{Job, State};
use uuid::Uuid;

use super::{
    batches,
    workflow::{Wishes, not_acceptable},
};
use crate::{
    app::AppState,
    jobs::{Accepted, Answer, Body, Jobs, body},
    problem::{Code, Problem},
    reply::{
        self,
        accept::{self, Form, Given, Wanted},
        bytes::Converted,
    },
    run::Options,
};

/// Cancels a job unless told otherwise.
struct CancelOnDrop {
    jobs: Arc<Jobs>,
    id: Uuid,
    armed: bool,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (jobs, id) = (Arc::clone(&self.jobs), self.id);
        tokio::spawn(async move {
            if let Err(error) = jobs.store.cancel(id).await {
                tracing::warn!(job = %id, %error, "a job whose caller left could not be cancelled");
            }
        });
    }
}

/// Answers a request that was accepted, in the way its caller wants it.
pub(super) async fn answer(
    app: &AppState,
    accepted: Accepted,
    wishes: &Wishes,
    options: &Options,
) -> Result<Response, Problem> {
    let job = match accepted {
        Accepted::New(jobs) => jobs.into_iter().next(),
        Accepted::Before(id) => return again(app, id, wishes).await,
        Accepted::Cached(job) => {
            let mut response = ended(app, &job, wishes, options).await?;
            response.headers_mut().insert("x-comfyport-cache", HeaderValue::from_static("hit"));
            return Ok(response);
        }
    };
    let job = job.ok_or_else(|| Problem::new(Code::Internal, "nothing was accepted"))?;
    if wishes.is_patient(options) {
        return Ok(later(app, &job).await);
    }
    let mut guard =
        CancelOnDrop { jobs: Arc::clone(&app.jobs), id: job.id, armed: options.cancel_on_disconnect };
    if wishes.form == Form::Events {
        let watcher = app.jobs.watch(job.id);
        return Ok(reply::events::stream(app, watcher, 0, options.previews, options.inline, Box::new(guard)));
    }
    let response = wait(app, job, wishes, options).await;
    guard.armed = false;
    response
}

/// Waits for the end, or for as long as the caller wants to.
async fn wait(app: &AppState, job: Job, wishes: &Wishes, options: &Options) -> Result<Response, Problem> {
    let mut watcher = app.jobs.watch(job.id);
    let patience = async {
        match wishes.wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended_job = watcher.ended() => {
            let job_id = job.id;
            let job = ended_job.map_err(|error| Problem::from(error).about(job_id))?;
            ended(app, &job, wishes, options).await
        }
        () = patience => {
            let now = app.jobs.store.job(job.id).await.map_err(Problem::from)?.unwrap_or(job);
            Ok(later(app, &now).await)
        }
        () = app.closing.cancelled() => {
            let detail = "the server is about to stop; the job is kept and goes on: see `GET /jobs/{id}`";
            Err(Problem::new(Code::Stopping, detail).about(job.id))
        }
    }
}

/// Answers with the job, for later.
async fn later(app: &AppState, job: &Job) -> Response {
    let standing = app.jobs.standing(job).await;
    let mut response = (StatusCode::ACCEPTED, Json(Body::of(job, standing))).into_response();
    set(&mut response, LOCATION, &format!("/jobs/{}", job.id));
    set(&mut response, HeaderName::from_static("preference-applied"), "respond-async");
    response
}

/// Answers with what a job ended with.
pub(super) async fn ended(
    app: &AppState,
    job: &Job,
    wishes: &Wishes,
    options: &Options,
) -> Result<Response, Problem> {
    if job.state != State::Succeeded {
        let kept = body::problem(job).and_then(|problem| Problem::replay(&problem, job.id));
        let lost = || Problem::new(Code::Internal, "why the job failed was not kept").into_response();
        return Ok(kept.unwrap_or_else(lost));
    }
    let answer = Answer::of(job);
    let mut answer =
        answer.ok_or_else(|| Problem::new(Code::Internal, "the result cannot be read").about(job.id))?;
    let (engine, seed) = (answer.engine().to_owned(), answer.seed());
    let mut response = match &wishes.form {
        Form::Bytes(wanted) => first_of(app, wanted, job).await?,
        Form::Zip => reply::zip::answer(app, job).await?,
        Form::Json | Form::Events => {
            if options.inline {
                answer = answer.inline(&app.jobs).await.map_err(|error| gone(&error))?;
            }
            Json(&answer).into_response()
        }
    };
    set(&mut response, HeaderName::from_static("x-comfyport-run"), &job.id.to_string());
    set(&mut response, HeaderName::from_static("x-comfyport-engine"), &engine);
    if let Some(seed) = seed {
        set(&mut response, HeaderName::from_static("x-comfyport-seed"), &seed);
    }
    Ok(response)
}

/// Answers a request that was accepted before as it was answered, or would be now.
pub(super) async fn again(app: &AppState, id: Uuid, wishes: &Wishes) -> Result<Response, Problem> {
    let job = app.jobs.store.job(id).await.map_err(Problem::from)?;
    let mut response = match job {
        None => batches::show(app, id, StatusCode::ACCEPTED).await?,
        Some(job) => {
            let options: Options = serde_json::from_str(&job.options).unwrap_or_default();
            if wishes.is_patient(&options) {
                later(app, &job).await
            } else if job.state.is_final() {
                ended(app, &job, wishes, &options).await?
            } else {
                let detail = "a request with this Idempotency-Key is being answered; repeat it later";
                return Err(Problem::new(Code::IdempotencyInFlight, detail).about(id));
            }
        }
    };
    set(&mut response, HeaderName::from_static("idempotent-replayed"), "true");
    Ok(response)
}

async fn first_of(app: &AppState, wanted: &[Wanted], job: &Job) -> Result<Response, Problem> {
    let files = app.jobs.files_of(job).await.map_err(Problem::from)?;
    let found = accept::find(wanted, &files, |file| &file.file.content_type);
    let found = found.ok_or_else(|| not_acceptable(wanted, &job.workflow))?;
    // The caller's headers are about the run, not about this file: no ranges, no validators.
    let headers = HeaderMap::new();
    let missing = || Problem::new(Code::OutputGone, "the output is no longer kept");
    match found {
        Given::Stored(file) => {
            let answer = reply::bytes::file(&app.jobs.files, &file.file, &headers).await;
            answer.map_err(|error| gone(&error))?.ok_or_else(missing)
        }
        Given::Made(file, codec) => {
            let conversion = Conversion::to(codec);
            let converted = reply::bytes::converted(&app.jobs, &file.file, &conversion, &headers).await;
            match converted.map_err(|error| gone(&error))? {
                Converted::Answer(answer) => Ok(answer),
                Converted::Not(why) => {
                    let detail = format!("the output cannot be given out as {}: {why}", codec.content_type());
                    Err(Problem::not_acceptable(detail).about(job.id))
                }
                Converted::Gone => Err(missing()),
            }
        }
    }
}

fn gone(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "an output cannot be read");
    Problem::new(Code::OutputGone, "the output is no longer kept")
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
