//! An output file as the body of an answer.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
        header::{
            ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use comfyport_pictures::{Conversion, Metadata};
use comfyport_store::artifacts::NewArtifact;
use sha2::{Digest, Sha256};

use super::accept::is_convertible;
use crate::{
    artifacts::{
        Files, hex,
        range::{self, Wanted},
    },
    jobs::Jobs,
};

/// Answers with a file, or the part of it that is wanted, or that nothing changed. `None` if the file is gone.
pub async fn file(
    files: &Files,
    artifact: &NewArtifact,
    headers: &HeaderMap,
) -> std::io::Result<Option<Response<Body>>> {
    let etag = format!("\"{}\"", artifact.sha256);
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if header(IF_NONE_MATCH).is_some_and(|known| matches(known, &etag)) {
        return Ok(Some(described(StatusCode::NOT_MODIFIED, artifact, &etag, Body::empty())));
    }
    // A range of another version is of no use to anybody.
    let same = header(IF_RANGE).is_none_or(|version| version.trim() == etag);
    let wanted = range::parse(header(RANGE).filter(|_| same), artifact.size);
    let (start, length, status) = match wanted {
        Wanted::All => (0, artifact.size, StatusCode::OK),
        Wanted::Part { start, end } => (start, end - start + 1, StatusCode::PARTIAL_CONTENT),
        Wanted::Unsatisfiable => {
            let mut response = described(StatusCode::RANGE_NOT_SATISFIABLE, artifact, &etag, Body::empty());
            set(&mut response, CONTENT_RANGE, &format!("bytes */{}", artifact.size));
            return Ok(Some(response));
        }
    };
    let Some(data) = files.read(&artifact.file, start, length).await? else { return Ok(None) };
    let mut response = described(status, artifact, &etag, Body::from_stream(data));
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{}", start + length - 1, artifact.size));
    }
    Ok(Some(response))
}

/// What a conversion yields.
#[derive(Debug)]
pub enum Converted {
    /// The answer.
    Answer(Response<Body>),
    /// The file is no picture that can be converted, for this reason.
    Not(String),
    /// The file is gone.
    Gone,
}

/// Answers with a picture in another form, made anew for each caller who does not have it yet.
pub async fn converted(
    jobs: &Jobs,
    artifact: &NewArtifact,
    conversion: &Conversion,
    headers: &HeaderMap,
) -> std::io::Result<Converted> {
    if !is_convertible(&artifact.content_type) {
        return Ok(Converted::Not("it is no picture that can be read".to_owned()));
    }
    let most = jobs.workshop.limits().memory;
    if artifact.size > most {
        return Ok(Converted::Not(format!("its file is larger than {most} bytes")));
    }
    let etag = etag(artifact, conversion);
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| matches(known, &etag)) {
        return Ok(Converted::Answer(described(StatusCode::NOT_MODIFIED, artifact, &etag, Body::empty())));
    }
    let Some(data) = jobs.files.get(&artifact.file).await? else { return Ok(Converted::Gone) };
    let made = match jobs.workshop.convert(data, conversion, Metadata::Strip).await {
        Ok(made) => made,
        Err(fault) => return Ok(Converted::Not(fault.to_string())),
    };
    let stem = artifact.filename.rsplit_once('.').map_or(artifact.filename.as_str(), |(stem, _)| stem);
    let made_of = NewArtifact {
        content_type: made.codec.content_type().to_owned(),
        filename: format!("{stem}.{}", made.codec.extension()),
        ..artifact.clone()
    };
    let length = made.data.len();
    let mut response = described(StatusCode::OK, &made_of, &etag, Body::from(made.data));
    response.headers_mut().remove(ACCEPT_RANGES);
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    Ok(Converted::Answer(response))
}

/// The same for the same file in the same form.
fn etag(artifact: &NewArtifact, conversion: &Conversion) -> String {
    let form = serde_json::to_vec(conversion).unwrap_or_default();
    let form = hex(&Sha256::digest([env!("CARGO_PKG_VERSION").as_bytes(), &form].concat())[..8]);
    format!("\"{}-{form}\"", artifact.sha256)
}

fn described(status: StatusCode, artifact: &NewArtifact, etag: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, &artifact.content_type);
    set(&mut response, ETAG, etag);
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    // The same address has other types for those who ask for them.
    set(&mut response, VARY, "accept");
    // Outputs never change under their address, and are for those who know it.
    set(&mut response, CACHE_CONTROL, "private, max-age=3600, immutable");
    let shown = is_harmless(&artifact.content_type);
    let disposition = if shown { "inline" } else { "attachment" };
    set(&mut response, CONTENT_DISPOSITION, &format!("{disposition}; filename=\"{}\"", artifact.filename));
    if !shown {
        set(&mut response, CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    }
    response
}

/// Whether a browser can show it without running anything in it.
fn is_harmless(content_type: &str) -> bool {
    let plain = content_type.split(';').next().unwrap_or_default().trim();
    let family = plain.split('/').next().unwrap_or_default();
    matches!(family, "image" | "video" | "audio") && plain != "image/svg+xml" || plain == "text/plain"
}

fn matches(known: &str, etag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
