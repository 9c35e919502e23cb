//! The engines, for operators: what each is thought to be good for, and which are to be left alone.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use comfyport_endpoint::nearest;
use serde::Serialize;

use crate::{
    app::AppState,
    pool::{EngineView, Place},
    problem::Problem,
};

/// The list.
#[derive(Debug, Serialize)]
pub struct Engines {
    engines: Vec<EngineView>,
}

/// `GET /engines`: every engine, in the order of the configuration.
pub async fn list(State(app): State<AppState>) -> Json<Engines> {
    app.jobs.pool.look().await;
    Json(Engines { engines: app.jobs.pool.view() })
}

/// `GET /engines/{name}`: one engine.
pub async fn show(
    State(app): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<EngineView>, Problem> {
    let place = find(&app, &name)?;
    app.jobs.pool.look().await;
    Ok(Json(place.view()))
}

/// `POST /engines/{name}:drain` and `:resume`. Both may be asked for again; what runs goes on.
pub async fn steer(
    State(app): State<AppState>,
    Path(path): Path<String>,
) -> Result<Json<EngineView>, Problem> {
    let (name, drained) = match path.rsplit_once(':') {
        Some((name, "drain")) => (name, true),
        Some((name, "resume")) => (name, false),
        _ => {
            let detail = "an engine can be drained and resumed: POST /engines/{name}:drain, :resume";
            return Err(Problem::not_found(detail));
        }
    };
    let place = find(&app, name)?;
    // Kept before it is done: a server that starts again, or shares the store, does the same.
    app.jobs.store.drain(name.to_owned(), drained).await?;
    place.drain(drained);
    Ok(Json(place.view()))
}

#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn find(app: &AppState, name: &str) -> Result<Arc<Place>, Problem> {
    let pool = &app.jobs.pool;
    pool.place(name).map(Arc::clone).ok_or_else(|| {
        let near = nearest(pool.places().iter().map(|place| place.name()), name);
        let near = near.map(|near| format!(", the nearest is `{near}`")).unwrap_or_default();
        Problem::not_found(format!("there is no engine `{name}`{near}; GET /engines lists them"))
    })
}
