//! Webhooks: what was delivered, what was given up, and delivering it again.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use comfyport_store::deliveries::{DeliveryFilter, DeliveryState};
use serde::{Deserialize, Serialize};

use super::jobs;
use crate::{
    access::Caller,
    app::AppState,
    problem::{Code, Problem},
    webhooks::DeliveryView,
};

/// Deliveries of one job that are shown: the newest.
const OF_A_JOB: u32 = 1000;

/// Which deliveries to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    status: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// A page of deliveries, the newest first.
#[derive(Debug, Serialize)]
struct Page {
    deliveries: Vec<DeliveryView>,
    /// Where the next page begins; nothing on the last one.
    next_cursor: Option<String>,
}

/// `GET /webhooks`
pub async fn list(
    State(app): State<AppState>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let malformed = |message: &str| Problem::new(Code::MalformedRequest, message);
    let Query(wanted) = query.map_err(|error| malformed(&error.body_text()))?;
    let limit = jobs::limit(wanted.limit.as_deref())?;
    let state = |text: &String| text.parse::<DeliveryState>();
    let state = wanted.status.as_ref().map(state).transpose();
    let state = state.map_err(|()| malformed("`status` must be pending, delivered or dead"))?;
    let before = wanted.cursor.as_ref().map(|text| text.parse()).transpose();
    let before = before.map_err(|_| malformed("`cursor` must be one that was given here"))?;
    // One more tells whether there is a next page.
    let filter = DeliveryFilter { state, job: None, before };
    let mut found = app.jobs.store.deliveries(filter, limit + 1).await.map_err(Problem::from)?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|last| last.seq.to_string());
    let deliveries = found.into_iter().map(DeliveryView::from).collect();
    Ok(Json(Page { deliveries, next_cursor }).into_response())
}

/// `GET /jobs/{id}/webhooks`: in the order in which things happened.
pub async fn of_job(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let job = jobs::find(&app, &caller, &id).await?;
    let filter = DeliveryFilter { job: Some(job.id), ..DeliveryFilter::default() };
    let mut found = app.jobs.store.deliveries(filter, OF_A_JOB).await.map_err(Problem::from)?;
    found.reverse();
    let deliveries = found.into_iter().map(DeliveryView::from).collect();
    Ok(Json(Page { deliveries, next_cursor: None }).into_response())
}

/// `POST /jobs/{id}/webhooks/{delivery}:redeliver`: the same body under the same id, from the beginning of the schedule.
pub async fn redeliver(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let delivery = delivery.strip_suffix(":redeliver").ok_or_else(|| {
        let detail = "a delivery takes POST with `:redeliver` behind its id, and nothing else";
        Problem::method_not_allowed("", detail)
    })?;
    let job = jobs::find(&app, &caller, &id).await?;
    let again = app.jobs.store.redeliver(job.id, delivery.to_owned()).await.map_err(Problem::from)?;
    let again = again.ok_or_else(|| {
        Problem::not_found("the job has no such delivery; GET /jobs/{id}/webhooks lists those it has")
    })?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryView::from(again))).into_response())
}
