//! `DELETE /jobs/{id}/outputs`: what a job yielded is let go of, here and on its engine.

use axum::{
    Json,
    extract::{Path, State},
};
use comfyport_store::{Job, State as JobState, claim::prompt_id};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::jobs::find;
use crate::{
    access::Caller,
    app::AppState,
    problem::{Code, Problem},
};

/// What is answered.
#[derive(Debug, Serialize)]
pub struct Erased {
    id: Uuid,
    /// How many files were removed.
    files: usize,
    /// Whether the engine forgot its prompts. Files that it saved stay with it: it has no way to remove them.
    engine_forgot: bool,
}

/// Erases the outputs of a job that has ended. It may be asked for again.
pub async fn outputs(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Erased>, Problem> {
    let job = find(&app, &caller, &id).await?;
    if !job.state.is_final() {
        let detail = format!("the job is {}: cancel it, or wait for its end", job.state);
        return Err(Problem::new(Code::JobEnded, detail).about(job.id));
    }
    let files = match (job.state, job.result.as_deref()) {
        (JobState::Succeeded, Some(result)) => {
            let emptied = emptied(result).ok_or_else(|| {
                Problem::new(Code::Internal, "what the job yielded cannot be read").about(job.id)
            })?;
            app.jobs.store.erase_outputs(job.id, emptied).await.map_err(Problem::from)?.unwrap_or_default()
        }
        _ => Vec::new(),
    };
    app.jobs.files.remove(&files);
    let engine_forgot = forget(&app, &job).await;
    Ok(Json(Erased { id: job.id, files: files.len(), engine_forgot }))
}

/// The result without what was yielded: the names of outputs stay.
fn emptied(result: &str) -> Option<String> {
    let mut result: IndexMap<String, Box<RawValue>> = serde_json::from_str(result).ok()?;
    let mut outputs: IndexMap<String, Value> = serde_json::from_str(result.get("outputs")?.get()).ok()?;
    outputs.values_mut().for_each(|items| *items = Value::Array(Vec::new()));
    let outputs = RawValue::from_string(serde_json::to_string(&outputs).ok()?).ok()?;
    result.insert("outputs".to_owned(), outputs);
    serde_json::to_string(&result).ok()
}

/// Has the engine forget every try of a job. An engine that is away forgets nothing.
async fn forget(app: &AppState, job: &Job) -> bool {
    let Some(place) = job.engine.as_deref().and_then(|name| app.jobs.pool.place(name)) else { return false };
    for fence in 1..=job.fence {
        if let Err(error) = place.engine.forget(prompt_id(job.id, fence)).await {
            tracing::warn!(job = %job.id, engine = place.name(), %error, "the engine did not forget a prompt");
            return false;
        }
    }
    true
}
