//! `/admin`: what the server does for its operator, as jobs.

use axum::{
    Json,
    body::Body as HttpBody,
    extract::State,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use comfyport_depot::ModelName;
use comfyport_endpoint::nearest;
use comfyport_needs::LockedPack;
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{caller, workflow::read_body};
use crate::{
    access::Caller,
    app::AppState,
    jobs::{Accepted, Body},
    problem::{Code, Problem},
    run::Body as RequestBody,
    supplies::{
        Needed, Supplies,
        errand::{Errand, Kind},
    },
};

/// Models of one errand.
const MOST: usize = 1000;

/// Which models to fetch.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Pull {
    /// The engine whose folder they go to. The only one that has its folder here, if it is left out.
    engine: Option<String>,
    /// What these workflows need; all, if nothing is said of models either.
    workflows: Vec<String>,
    /// These, wherever they are from.
    models: Vec<Model>,
    /// Whether files that are something else are overwritten.
    overwrite: bool,
}

/// A model to fetch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    folder: String,
    file: String,
    /// Where it can be had, the best first. What workflows and the lock say of it, if nothing is said.
    #[serde(default)]
    urls: Vec<String>,
    sha256: Option<String>,
    size: Option<u64>,
}

/// `POST /admin/models:pull`
pub async fn pull(
    State(app): State<AppState>,
    caller: Caller,
    request: Request<HttpBody>,
) -> Result<Response, Problem> {
    is_on(&app, Kind::Pull)?;
    let headers = request.headers().clone();
    let body = read_body(&app, request.into_body()).await?;
    let wanted: Pull = read(&body)?;
    let engine = engine(&app, wanted.engine.as_deref(), Kind::Pull)?;
    let models = models(&app, &wanted)?;
    let errand = Errand { models, overwrite: wanted.overwrite, ..Errand::of(&engine) };
    accept(&app, &caller, &headers, &body, Kind::Pull, &errand).await
}

/// Which node packs to install.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Install {
    /// The engine whose ComfyUI is meant. The only one, if it is left out.
    engine: Option<String>,
    /// Those of the lock that these workflows need; all of them, if nothing is said of packs either.
    workflows: Vec<String>,
    /// These, wherever they are from.
    packs: Vec<Pack>,
}

/// A node pack to install.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pack {
    id: String,
    repository: Option<String>,
    version: Option<String>,
    commit: Option<String>,
    #[serde(default)]
    classes: Vec<String>,
}

/// `POST /admin/nodes:install`
pub async fn install(
    State(app): State<AppState>,
    caller: Caller,
    request: Request<HttpBody>,
) -> Result<Response, Problem> {
    is_on(&app, Kind::Install)?;
    let headers = request.headers().clone();
    let body = read_body(&app, request.into_body()).await?;
    let wanted: Install = read(&body)?;
    let engine = engine(&app, wanted.engine.as_deref(), Kind::Install)?;
    let errand = Errand { packs: packs(&app, wanted)?, ..Errand::of(&engine) };
    accept(&app, &caller, &headers, &body, Kind::Install, &errand).await
}

/// What is asked for, each at its pin.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn packs(app: &AppState, wanted: Install) -> Result<Vec<LockedPack>, Problem> {
    let lock = app.jobs.supplies.locked();
    let all = wanted.workflows.is_empty() && wanted.packs.is_empty();
    for (index, workflow) in wanted.workflows.iter().enumerate() {
        let locked = lock.packs.iter().any(|pack| pack.workflows.contains(workflow));
        if !locked && app.endpoints.now().find(workflow).is_none() {
            return Err(invalid(format!("`workflows/{index}`: there is no workflow `{workflow}`")));
        }
    }
    let chosen =
        |pack: &&LockedPack| all || wanted.workflows.iter().any(|path| pack.workflows.contains(path));
    let mut packs: Vec<LockedPack> = lock.packs.iter().filter(chosen).cloned().collect();
    for pack in wanted.packs {
        let Pack { id, repository, version, commit, classes } = pack;
        packs.retain(|other| !other.id.eq_ignore_ascii_case(&id));
        packs.push(LockedPack { id, repository, version, commit, classes, ..LockedPack::default() });
    }
    if let Some(loose) = packs.iter().find(|pack| pack.pin().is_none()) {
        return Err(invalid(format!(
            "`{}` has neither a version nor a commit: name one, or pin it with `comfyport lock --resolve`",
            loose.id
        )));
    }
    if packs.len() > MOST {
        return Err(invalid(format!("{} packs are asked for, and {MOST} may be at once", packs.len())));
    }
    if packs.is_empty() {
        return Err(invalid("the lock pins no node pack that is needed there".to_owned()));
    }
    Ok(packs)
}

/// Refuses what the operator did not turn on.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
pub(super) fn is_on(app: &AppState, kind: Kind) -> Result<(), Problem> {
    let settings = &app.config.supplies;
    let (on, detail) = match kind {
        Kind::Pull => {
            let detail =
                "this server fetches no models; the operator can allow it with `supplies.pull = true`";
            (settings.pull, detail)
        }
        Kind::Install => {
            let detail = "this server installs no node packs; the operator can allow it with `supplies.install = true`";
            (settings.install, detail)
        }
    };
    if on { Ok(()) } else { Err(Problem::new(Code::SuppliesOff, detail)) }
}

#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn read<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Problem::new(Code::MalformedRequest, error.to_string()))
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

/// The engine that is meant, if somebody could do it for it.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn engine(app: &AppState, named: Option<&str>, kind: Kind) -> Result<String, Problem> {
    let (supplies, pool) = (&app.jobs.supplies, &app.jobs.pool);
    let here: Vec<&str> = able(supplies, kind).collect();
    let Some(named) = named else {
        return match here.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(invalid(format!("no engine has {} here: see `[supplies]`", needed(kind)))),
            several => Err(invalid(format!("`engine`: which one? There are {}", several.join(", ")))),
        };
    };
    if pool.place(named).is_none() {
        let near = nearest(pool.places().iter().map(|place| place.name()), named);
        let near = near.map(|near| format!(", the nearest is `{near}`")).unwrap_or_default();
        return Err(invalid(format!("`engine`: there is no engine `{named}`{near}")));
    }
    // Another server that shares the store may have it.
    if !here.contains(&named) && app.jobs.files.are_ours() {
        return Err(invalid(format!("`engine`: `{named}` has not {} here: see `[supplies]`", needed(kind))));
    }
    Ok(named.to_owned())
}

fn able(supplies: &Supplies, kind: Kind) -> impl Iterator<Item = &str> {
    let sites = supplies.sites().iter().map(|site| site.engine.as_str());
    sites.filter(move |engine| supplies.are_done(kind, engine))
}

fn needed(kind: Kind) -> &'static str {
    match kind {
        Kind::Pull => "its models folder",
        Kind::Install => "what it takes to install node packs",
    }
}

/// What is asked for, with what is known of it.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
fn models(app: &AppState, wanted: &Pull) -> Result<Vec<Needed>, Problem> {
    let known = app.jobs.supplies.needed(&app.endpoints.now());
    let all = wanted.workflows.is_empty() && wanted.models.is_empty();
    for (index, workflow) in wanted.workflows.iter().enumerate() {
        let is_known = app.endpoints.now().find(workflow).is_some()
            || known.iter().any(|needed| needed.workflows.contains(workflow));
        if !is_known {
            return Err(invalid(format!("`workflows/{index}`: there is no workflow `{workflow}`")));
        }
    }
    let chosen =
        |needed: &&Needed| all || wanted.workflows.iter().any(|path| needed.workflows.contains(path));
    // What nodes fetch by themselves is left to them, unless somebody said where it can be had.
    let mut models: Vec<Needed> = known
        .iter()
        .filter(chosen)
        .filter(|needed| !needed.by_node || !needed.urls.is_empty())
        .cloned()
        .collect();
    for (index, model) in wanted.models.iter().enumerate() {
        let needed = describe(model, &known).map_err(|why| invalid(format!("`models/{index}`: {why}")))?;
        models.retain(|other| (&other.folder, &other.file) != (&needed.folder, &needed.file));
        models.push(needed);
    }
    if models.len() > MOST {
        return Err(invalid(format!("{} models are asked for, and {MOST} may be at once", models.len())));
    }
    if models.is_empty() {
        return Err(invalid("no model is needed there".to_owned()));
    }
    Ok(models)
}

fn describe(model: &Model, known: &[Needed]) -> Result<Needed, String> {
    ModelName::new(&model.folder, &model.file).map_err(|error| error.to_string())?;
    let is_it = |needed: &&Needed| needed.folder == model.folder && needed.file == model.file;
    let mut needed = known.iter().find(is_it).cloned().unwrap_or_else(|| Needed {
        folder: model.folder.clone(),
        file: model.file.clone(),
        ..Needed::default()
    });
    if !model.urls.is_empty() {
        needed.urls = model.urls.clone();
    }
    needed.sha256 = model.sha256.clone().or(needed.sha256);
    needed.size = model.size.or(needed.size);
    needed.wanted().map_err(|why| why.split('\n').next().unwrap_or_default().to_owned())?;
    Ok(needed)
}

async fn accept(
    app: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    body: &Bytes,
    kind: Kind,
    errand: &Errand,
) -> Result<Response, Problem> {
    let what = format!("POST /admin/{}", kind.path());
    let asked = caller::asked(caller, headers, &what, &RequestBody::Json(body.clone()))?;
    if let Some(before) = app.jobs.remembered(&asked).await? {
        return told(app, before, true).await;
    }
    match app.jobs.submit_errand(kind, errand, &asked).await? {
        Accepted::New(_) => told(app, asked.id, false).await,
        Accepted::Before(before) => told(app, before, true).await,
        Accepted::Cached(job) => told(app, job.id, false).await,
    }
}

async fn told(app: &AppState, id: Uuid, replayed: bool) -> Result<Response, Problem> {
    let job = app.jobs.store.job(id).await.map_err(Problem::from)?;
    let job = job.ok_or_else(|| Problem::not_found("the job is no longer kept"))?;
    let standing = app.jobs.standing(&job).await;
    let location = [(LOCATION, format!("/jobs/{id}"))];
    let mut response = (StatusCode::ACCEPTED, location, Json(Body::of(&job, standing))).into_response();
    if replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}
