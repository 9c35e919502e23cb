//! `POST /uploads`: a file to refer to later, as often as one likes, until it expires.

use axum::{
    Json,
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Path, State, multipart::MultipartError},
    http::{Request, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{FaultKind, MediaKind};
use comfyport_store::uploads::{Added, NewUpload, Quota, Upload};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    access::Caller,
    app::AppState,
    artifacts::{ReceiveError, Received},
    form,
    intake::Rejected,
    jobs::body::time,
    media::{self, Format, moving},
    problem::{Code, Problem},
};

/// Where they are, as the router has it. Bodies of requests to it are as large as files may be.
pub const ROUTE: &str = "/uploads";

/// The part of a form that is the file.
const PART: &str = "file";

/// What a form has besides the file, in bytes at most.
pub const AROUND: u64 = 64 << 10;

/// An upload, as callers see it.
#[derive(Debug, Serialize)]
struct Shown<'u> {
    id: Uuid,
    /// What stands for it in a request.
    reference: String,
    content_type: &'u str,
    size: u64,
    sha256: &'u str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    created_at: String,
    expires_at: String,
}

impl<'u> Shown<'u> {
    fn of(kept: &'u Upload) -> Self {
        let upload = &kept.upload;
        Self {
            id: kept.id,
            reference: format!("upload:{}", kept.id),
            content_type: &upload.content_type,
            size: upload.size,
            sha256: &upload.sha256,
            width: upload.dimensions.map(|(width, _)| width),
            height: upload.dimensions.map(|(_, height)| height),
            created_at: time(kept.created_at),
            expires_at: time(upload.expires_at),
        }
    }
}

/// Takes a file: the body, or the one part of a form. It goes to disk as it comes.
pub async fn post(
    State(app): State<AppState>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response, Problem> {
    allowed(&app)?;
    let received = receive(&app, request).await?;
    let (is_new, upload) = add(&app, caller.owner, received).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(LOCATION, format!("{ROUTE}/{}", upload.id))], Json(Shown::of(&upload))).into_response())
}

/// Keeps a file that arrived, within what its owner may keep. Whether it was not there before.
pub(crate) async fn add(
    app: &AppState,
    owner: String,
    received: Received,
) -> Result<(bool, Upload), Problem> {
    let settings = &app.config.uploads;
    let (size, sha256) = (received.size, received.sha256.clone());
    let (file, format, dimensions) = keep(app, received).await?;
    let keep = i64::try_from(settings.keep_s).unwrap_or(i64::MAX).saturating_mul(1000);
    let new = NewUpload {
        owner,
        file,
        content_type: format.content_type().to_owned(),
        size,
        sha256,
        dimensions,
        expires_at: app.jobs.store.now().saturating_add(keep),
    };
    let quota = Quota { files: settings.max_files, bytes: settings.max_bytes };
    match app.jobs.store.add_upload(new, quota).await.map_err(Problem::from)? {
        Added::New(upload) => Ok((true, upload)),
        Added::Again(upload) => Ok((false, upload)),
        Added::Full => {
            let detail = format!(
                "you keep as many uploads as you may: {} of {} bytes together; DELETE /uploads/{{id}} lets go of one",
                settings.max_files, settings.max_bytes
            );
            Err(Problem::new(Code::UploadLimit, detail))
        }
    }
}

/// Refuses uploads where none are kept, before anything is read.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
pub(crate) fn allowed(app: &AppState) -> Result<(), Problem> {
    match app.config.uploads.max_files {
        0 => Err(Problem::new(Code::UploadLimit, "this server keeps no uploads (`uploads.max_files`)")),
        _ => Ok(()),
    }
}

/// `GET /uploads/{id}`
pub async fn get(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = Uuid::try_parse(&id).map_err(|_| unknown())?;
    let kept = app.jobs.store.upload(id, caller.owner).await.map_err(Problem::from)?;
    Ok(Json(Shown::of(&kept.ok_or_else(unknown)?)).into_response())
}

/// `DELETE /uploads/{id}`: nobody can refer to it any more. Jobs that did have it still.
pub async fn delete(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = Uuid::try_parse(&id).map_err(|_| unknown())?;
    let removed = app.jobs.store.remove_upload(id, caller.owner).await.map_err(Problem::from)?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

async fn receive(app: &AppState, mut request: Request<Body>) -> Result<Received, Problem> {
    let largest = app.jobs.intake.limits().sizes.any();
    if !form::is_form(&request) {
        let body = request.into_body().into_data_stream();
        return app.jobs.files.receive(body, largest).await.map_err(|error| refused(error, |_| None));
    }
    // What the form is around the file is not counted.
    let whole = usize::try_from(largest.saturating_add(AROUND)).unwrap_or(usize::MAX);
    DefaultBodyLimit::max(whole).apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
    let mut received = None;
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        if field.name() != Some(PART) || received.is_some() {
            let detail = format!("the form must have one part, named `{PART}`, which is the file");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let file = app.jobs.files.receive(field, largest).await;
        received = Some(file.map_err(|error| refused(error, |error| Some(broken(error))))?);
    }
    received.ok_or_else(|| {
        let detail = format!("the form has no part `{PART}`, which is the file");
        Problem::new(Code::InvalidRequest, detail)
    })
}

/// Judges a file by its bytes, and keeps it. Answers its name and what it is.
async fn keep(app: &AppState, received: Received) -> Result<(String, Format, Option<(u32, u32)>), Problem> {
    let (files, limits) = (&app.jobs.files, app.jobs.intake.limits());
    let format = media::sniff(MediaKind::File, &received.head).map_err(|fault| unfit(fault.into()))?;
    let largest = limits.sizes.of(format);
    if received.size > largest {
        let detail = format!("a {} file may have at most {largest} bytes", format.name());
        return Err(Problem::new(Code::TooLarge, detail));
    }
    let facts = moving::look(format, received.place()).await;
    moving::check(&facts, &limits.moving).map_err(|fault| unfit(fault.into()))?;
    let file = files.keep(received, format.extension()).await.map_err(|error| storage(&error))?;
    if !format.is_picture() {
        return Ok((file.to_string(), format, facts.size));
    }
    let data = files.get(&file).await.map_err(|error| storage(&error))?.unwrap_or_default();
    let size = media::check_picture(MediaKind::File, &data, &limits.pictures);
    Ok((file.to_string(), format, Some(size.map_err(|fault| unfit(fault.into()))?)))
}

fn unfit(rejected: Rejected) -> Problem {
    let code = match rejected.code {
        FaultKind::Unsupported => Code::UnsupportedMedia,
        FaultKind::TooLarge => Code::TooLarge,
        FaultKind::Invalid | FaultKind::Malformed => Code::InvalidRequest,
    };
    Problem::new(code, rejected.message)
}

pub(crate) fn refused<E>(error: ReceiveError<E>, why: impl Fn(&E) -> Option<Problem>) -> Problem {
    match error {
        ReceiveError::Sender(error) => {
            why(&error).unwrap_or_else(|| Problem::new(Code::MalformedRequest, "the body broke off"))
        }
        ReceiveError::TooLarge(largest) => {
            Problem::new(Code::TooLarge, format!("the file is larger than {largest} bytes"))
        }
        ReceiveError::Io(error) => storage(&error),
    }
}

pub(crate) fn broken(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Code::TooLarge, "the form is larger than any file may be");
    }
    Problem::new(Code::MalformedRequest, format!("the form cannot be read: {}", error.body_text()))
}

fn storage(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "an upload cannot be stored");
    Problem::new(Code::StorageFailed, "the file cannot be stored at the moment")
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no such upload, or it has expired")
}
