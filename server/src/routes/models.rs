//! `/models`: which models engines have, which workflows need, which are missing and where they can be had; and the files
//! themselves, where this server gives them out.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use comfyport_depot::ModelName;
use serde::{Deserialize, Serialize};

use crate::{
    access::{Caller, Scope},
    app::AppState,
    compat::comfyui_api,
    pool::Stock,
    problem::{Code, Problem},
    readiness::{canonical, plain},
    reply,
    supplies::Needed,
};

/// Which models to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Those that some workflow needs, or those that none does.
    needed: Option<bool>,
    /// Those that some engine lacks and a workflow needs, or all others.
    missing: Option<bool>,
    /// Those that this workflow needs.
    workflow: Option<String>,
}

/// The list.
#[derive(Debug, Serialize)]
struct Models {
    engines: Vec<Lister>,
    models: Vec<Listed>,
}

/// The list of one folder.
#[derive(Debug, Serialize)]
struct Folder {
    folder: String,
    #[serde(flatten)]
    models: Models,
}

/// An engine, and whether it said what it has.
#[derive(Debug, Serialize)]
pub(super) struct Lister {
    engine: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A model that an engine has or a workflow needs.
#[derive(Debug, Serialize)]
struct Listed {
    folder: String,
    file: String,
    needed_by: BTreeSet<String>,
    /// `present`, `missing`, `unlisted` where the engine does not list the folder, `unknown` where it does not answer.
    engines: BTreeMap<String, &'static str>,
    /// Where it can be had, the best first.
    sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// A node fetches it when it first runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fetched_by_node: bool,
}

impl Lister {
    pub(super) fn of<T>(stock: &Stock<T>) -> Self {
        let reason = stock.has.as_ref().err().map(ToString::to_string);
        let (engine, simulated) = (stock.engine.clone(), stock.simulated);
        Self { engine, simulated, answers: reason.is_none(), reason }
    }
}

impl Listed {
    fn is_missing(&self) -> bool {
        !self.needed_by.is_empty() && self.engines.values().any(|state| *state == "missing")
    }
}

impl Wanted {
    fn takes(&self, model: &Listed) -> bool {
        self.needed.is_none_or(|needed| needed != model.needed_by.is_empty())
            && self.missing.is_none_or(|missing| missing == model.is_missing())
            && self.workflow.as_ref().is_none_or(|workflow| model.needed_by.contains(workflow))
    }
}

/// `GET /models`. Where comfyui-api is spoken as well, the address alone is answered in its words, and any query in ours.
pub async fn list(
    State(app): State<AppState>,
    uri: Uri,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    if app.config.compat.comfyui_api && uri.query().is_none() {
        return comfyui_api::models(&app).await;
    }
    let wanted = read(query)?;
    let (engines, mut models) = all(&app).await;
    models.retain(|model| wanted.takes(model));
    Ok(Json(Models { engines, models }).into_response())
}

/// `GET /models/{folder}`: the same of one folder. `GET /models/{folder}/{file}`: the file.
pub async fn show(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<String>,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // Folders have folders in them: what is listed as a folder is one, and everything else a file.
    if let Some((folder, file)) = path.split_once('/')
        && !is_folder(&app, &path).await
    {
        caller.must_have(Scope::Models)?;
        return give(&app, folder, file, &headers).await;
    }
    caller.must_have(Scope::Read)?;
    let (folder, wanted) = (canonical(&path), read(query)?);
    let (engines, mut models) = all(&app).await;
    models.retain(|model| model.folder == folder && wanted.takes(model));
    if models.is_empty() && !is_folder(&app, folder).await {
        let detail =
            "no engine has a models folder of this name, and no workflow needs one; GET /models lists all";
        return Err(Problem::not_found(detail));
    }
    Ok(Json(Folder { folder: folder.to_owned(), models: Models { engines, models } }).into_response())
}

#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn read(query: Result<Query<Wanted>, QueryRejection>) -> Result<Wanted, Problem> {
    let malformed = |error: QueryRejection| {
        let detail = format!(
            "{}; there are `needed` and `missing`, true or false, and `workflow`, a path",
            error.body_text()
        );
        Problem::new(Code::MalformedRequest, detail)
    };
    query.map(|Query(wanted)| wanted).map_err(malformed)
}

async fn is_folder(app: &AppState, path: &str) -> bool {
    let listed = |stock: &Stock<BTreeMap<String, BTreeSet<String>>>| {
        stock.has.as_ref().is_ok_and(|models| models.contains_key(path))
    };
    let needed = app.jobs.supplies.needed(&app.endpoints.now());
    needed.iter().any(|needed| canonical(&needed.folder) == path)
        || app.jobs.pool.models_of_each().await.iter().any(listed)
}

/// All that engines have and workflows need, in the order of folders and files.
async fn all(app: &AppState) -> (Vec<Lister>, Vec<Listed>) {
    let stock = app.jobs.pool.models_of_each().await;
    let mut models: BTreeMap<(String, String), Option<Needed>> = BTreeMap::new();
    for (folder, files) in stock.iter().filter_map(|stock| stock.has.as_ref().ok()).flatten() {
        models.extend(files.iter().map(|file| ((folder.clone(), file.clone()), None)));
    }
    for needed in app.jobs.supplies.needed(&app.endpoints.now()) {
        models.insert((canonical(&needed.folder).to_owned(), plain(&needed.file)), Some(needed));
    }
    let listed = |((folder, file), needed): ((String, String), Option<Needed>)| {
        let state = |stock: &Stock<BTreeMap<String, BTreeSet<String>>>| {
            let state = match stock.has.as_ref().map(|models| models.get(&folder)) {
                Err(_) => "unknown",
                Ok(None) => "unlisted",
                Ok(Some(files)) if files.contains(&file) => "present",
                Ok(Some(_)) => "missing",
            };
            (stock.engine.clone(), state)
        };
        let engines = stock.iter().map(state).collect();
        let needed = needed.unwrap_or_default();
        Listed {
            engines,
            sources: needed.sources(),
            size: needed.size,
            sha256: needed.sha256,
            fetched_by_node: needed.by_node,
            needed_by: needed.workflows,
            folder,
            file,
        }
    };
    (stock.iter().map(Lister::of).collect(), models.into_iter().map(listed).collect())
}

async fn give(app: &AppState, folder: &str, file: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    if !app.config.supplies.give {
        let detail = "there is no such folder, and this server gives out no model files (`supplies.give`)";
        return Err(Problem::not_found(detail));
    }
    let missing =
        || Problem::not_found("there is no such model here; GET /models lists those of all engines");
    let name = ModelName::new(folder, file).map_err(|_| missing())?;
    let supplies = std::sync::Arc::clone(&app.jobs.supplies);
    let given = tokio::task::spawn_blocking(move || supplies.give(&name)).await;
    match given {
        Ok(Ok(Some(given))) => Ok(reply::model::answer(given, headers).await.map_err(unreadable)?),
        Ok(Ok(None)) => Err(missing()),
        Ok(Err(error)) => Err(unreadable(error)),
        Err(_) => Err(Problem::new(Code::Internal, "the model file cannot be read")),
    }
}

fn unreadable(error: std::io::Error) -> Problem {
    tracing::error!(%error, "a model file cannot be read");
    Problem::new(Code::StorageFailed, "the model file cannot be read at the moment")
}
