//! `GET /jobs/{id}/outputs/{output}/{index}`: an output file.

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Response},
};
use uuid::Uuid;

use crate::{app::AppState, problem::Problem, reply};

/// Answers with the file, a part of it, or 304. `HEAD` is answered by the same route.
pub async fn get(
    State(app): State<AppState>,
    Path((id, output, index)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let find = || app.runs.artifacts().find(Uuid::try_parse(&id).ok()?, &output, index.parse().ok()?);
    let gone = || Problem::not_found("there is no such output, or it is no longer kept");
    let artifact = find().ok_or_else(gone)?;
    reply::bytes::file(&artifact, &headers).await.map_err(|error| {
        tracing::error!(path = %artifact.path.display(), %error, "cannot read an artifact");
        gone()
    })
}
