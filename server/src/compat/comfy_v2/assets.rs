//! Assets: uploads, and what jobs yielded.

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Path, State, multipart::Field},
    http::{HeaderMap, HeaderValue, Request, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use comfyport_store::{artifacts::NewArtifact, uploads::Upload};
use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Refusal, answer, base, link,
    outputs::{Content, Output},
};
use crate::{
    access::Caller,
    app::AppState,
    jobs::body::time,
    problem::{Code, Problem},
    reply,
    routes::uploads,
};

/// What stands before the hash of a file.
const HASH: &str = "blake3:";

/// The longest text in a form, in bytes.
const TEXT: usize = 4096;

/// An asset that there is.
pub(super) enum Asset {
    Upload(Upload),
    Output(Box<Output>),
}

/// The parts of a form.
#[derive(Default)]
struct Parts {
    received: Option<(crate::artifacts::Received, String)>,
    file_path: Option<String>,
    expected_hash: Option<String>,
}

/// `POST /api/v2/assets`: takes a file. It goes to disk as it comes.
pub(super) async fn create(
    State(app): State<AppState>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    uploads::allowed(&app)?;
    let headers = request.headers().clone();
    let Parts { received, file_path, expected_hash } = read(&app, request).await?;
    let missing =
        |name: &str| Refusal::unprocessable("validation_failed", format!("the form has no part `{name}`"));
    let (received, hash) = received.ok_or_else(|| missing("file"))?;
    let file_path = file_path.ok_or_else(|| missing("file_path"))?;
    if expected_hash.is_some_and(|expected| expected != hash) {
        let message = format!("the file that arrived has the hash {hash}");
        return Err(Refusal::Own { status: StatusCode::CONFLICT, code: "hash_mismatch", message });
    }
    let (is_new, upload) = uploads::add(&app, caller.owner, received).await?;
    let mut said = shown(&app, &base(&app, &headers), &upload);
    said["hash"] = hash.into();
    said["file_path"] = file_path.into();
    said["created_new"] = is_new.into();
    Ok(answer(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &said))
}

async fn read(app: &AppState, mut request: Request<Body>) -> Result<Parts, Refusal> {
    let largest = app.jobs.intake.limits().sizes.any();
    let whole = usize::try_from(largest.saturating_add(uploads::AROUND)).unwrap_or(usize::MAX);
    DefaultBodyLimit::max(whole).apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
    let mut parts = Parts::default();
    while let Some(field) = form.next_field().await.map_err(|error| uploads::broken(&error))? {
        match field.name().unwrap_or_default() {
            "file" if parts.received.is_none() => {
                let mut hasher = blake3::Hasher::new();
                let data = field.inspect(|chunk| {
                    if let Ok(chunk) = chunk {
                        hasher.update(chunk);
                    }
                });
                let received = app.jobs.files.receive(data, largest).await;
                let received = received
                    .map_err(|error| uploads::refused(error, |error| Some(uploads::broken(error))))?;
                parts.received = Some((received, format!("{HASH}{}", hasher.finalize().to_hex())));
            }
            "file_path" => parts.file_path = Some(text(field).await?),
            "expected_hash" => parts.expected_hash = Some(text(field).await?),
            // What a file is its bytes say; how long it is kept, the operator.
            "content_type" | "tags" | "expires_in" => drop(text(field).await?),
            other => {
                let message = format!(
                    "the form has a part `{other}`; there are file, content_type, file_path, expected_hash, tags, expires_in"
                );
                return Err(Refusal::unprocessable("validation_failed", message));
            }
        }
    }
    Ok(parts)
}

async fn text(mut field: Field<'_>) -> Result<String, Refusal> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| uploads::broken(&error))? {
        text.extend_from_slice(&chunk);
        if text.len() > TEXT {
            let message = format!("a text in the form is longer than {TEXT} bytes");
            return Err(Refusal::unprocessable("validation_failed", message));
        }
    }
    String::from_utf8(text)
        .map_err(|_| Refusal::unprocessable("validation_failed", "a text in the form is not UTF-8"))
}

fn shown(app: &AppState, base: &str, upload: &Upload) -> Value {
    let id = upload.id.to_string();
    let (url, until) = link(app, base, &id);
    json!({
        "id": id,
        "hash": null,
        "size_bytes": upload.upload.size,
        "content_type": upload.upload.content_type,
        "file_path": null,
        "created_at": time(upload.created_at),
        "url": url,
        "url_expires_at": time(until),
        "expires_at": time(upload.upload.expires_at),
    })
}

/// Finds an asset that a caller may know of.
pub(super) async fn find(app: &AppState, caller: &Caller, id: &str) -> Result<Asset, Problem> {
    let unknown = || Problem::not_found("there is no such asset, or it is no longer kept");
    if let Ok(uuid) = Uuid::try_parse(id) {
        let owner = caller.confined_to();
        let upload = match owner {
            Some(owner) => app.jobs.store.upload(uuid, owner).await,
            None => app.jobs.store.anybodys_upload(uuid).await,
        };
        return upload.map_err(Problem::from)?.map(Asset::Upload).ok_or_else(unknown);
    }
    let output = Output::find(app, caller, id).await?;
    output.map(|output| Asset::Output(Box::new(output))).ok_or_else(unknown)
}

/// `GET /api/v2/assets/{id}`
pub(super) async fn show(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let base = base(&app, &headers);
    let said = match find(&app, &caller, &id).await? {
        Asset::Upload(upload) => shown(&app, &base, &upload),
        Asset::Output(output) => output.as_asset(&app, &base),
    };
    Ok(answer(StatusCode::OK, &said))
}

/// `DELETE /api/v2/assets/{id}`: nobody can refer to it any more. Jobs that did have it still.
pub(super) async fn remove(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    match find(&app, &caller, &id).await? {
        Asset::Upload(upload) => {
            let removed = app.jobs.store.remove_upload(upload.id, upload.upload.owner).await;
            if removed.map_err(Problem::from)? {
                Ok(StatusCode::NO_CONTENT)
            } else {
                Err(Problem::not_found("there is no such asset").into())
            }
        }
        Asset::Output(_) => {
            let message = "a job depends on this asset".to_owned();
            Err(Refusal::Own { status: StatusCode::CONFLICT, code: "asset_in_use", message })
        }
    }
}

/// `GET /api/v2/assets/{id}/content`: the bytes, or a part of them.
pub(super) async fn content(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let file = match find(&app, &caller, &id).await? {
        Asset::Upload(upload) => file(&upload),
        Asset::Output(output) => match output.content {
            Content::File(artifact) => artifact.file,
            Content::Text(text) => {
                let kind = HeaderValue::from_static("text/plain; charset=utf-8");
                return Ok(([(CONTENT_TYPE, kind)], text).into_response());
            }
        },
    };
    let found = reply::bytes::file(&app.jobs.files, &file, &headers).await.map_err(|error| {
        tracing::error!(%error, "an asset cannot be read");
        Problem::new(Code::StorageFailed, "the asset cannot be read at the moment")
    })?;
    Ok(found.ok_or_else(|| Problem::new(Code::OutputGone, "the asset is no longer kept"))?)
}

/// An upload as a file to give out.
fn file(upload: &Upload) -> NewArtifact {
    let kept = &upload.upload;
    NewArtifact {
        output: String::new(),
        position: 0,
        file: kept.file.clone(),
        content_type: kept.content_type.clone(),
        filename: kept.file.clone(),
        size: kept.size,
        sha256: kept.sha256.clone(),
        dimensions: kept.dimensions,
    }
}
