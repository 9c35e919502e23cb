//! `POST /jobs/{id}/links`: addresses that open without a key for a while, for browsers.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::jobs;
use crate::{
    access::Caller,
    app::AppState,
    jobs::body::time,
    problem::{Code, Problem},
};

/// How long links live if the caller does not say, in seconds.
const USUAL: u64 = 3600;

/// What a caller may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    expires_in_s: Option<u64>,
}

/// What is answered.
#[derive(Debug, Serialize)]
pub struct Links {
    expires_at: String,
    status_url: String,
    events_url: String,
    /// Of each output, in its order.
    outputs: IndexMap<String, Vec<String>>,
}

/// Makes links to a job, its events and its outputs.
pub async fn make(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Links>, Problem> {
    let job = jobs::find(&app, &caller, &id).await?;
    let longest = app.config.access.max_link_s;
    let malformed = |detail: String| Problem::new(Code::MalformedRequest, detail);
    let wanted: Wanted = if body.iter().all(u8::is_ascii_whitespace) {
        Wanted::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| malformed(format!("`{{\"expires_in_s\": 3600}}` is expected: {error}")))?
    };
    let lifetime = wanted.expires_in_s.unwrap_or(USUAL.min(longest));
    if !(1..=longest).contains(&lifetime) {
        return Err(malformed(format!("`expires_in_s` must be 1 to {longest} (`access.max_link_s`)")));
    }
    let until = (app.jobs.store.now() / 1000).saturating_add(i64::try_from(lifetime).unwrap_or(i64::MAX));
    let status = format!("/jobs/{}", job.id);
    let mut outputs: IndexMap<String, Vec<String>> = IndexMap::new();
    for file in app.jobs.files_of(&job).await.map_err(Problem::from)? {
        let path = format!("{status}/outputs/{}/{}", file.file.output, file.file.position);
        outputs.entry(file.file.output).or_default().push(app.access.link(&path, until));
    }
    Ok(Json(Links {
        expires_at: time(until.saturating_mul(1000)),
        events_url: app.access.link(&format!("{status}/events"), until),
        status_url: app.access.link(&status, until),
        outputs,
    }))
}
