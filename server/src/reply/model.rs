//! A model file as the body of an answer.

use std::io::SeekFrom;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
        header::{
            ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
            ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::{
    artifacts::range::{self, Wanted},
    supplies::Given,
};

/// What is read at a time: files are large.
const PIECE: usize = 256 * 1024;

/// Answers with the file, the part of it that is wanted, or that nothing changed.
pub async fn answer(given: Given, headers: &HeaderMap) -> std::io::Result<Response<Body>> {
    let Given { file, size, etag } = given;
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let known = header(IF_NONE_MATCH).unwrap_or_default();
    if known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag) {
        return Ok(described(StatusCode::NOT_MODIFIED, &etag, Body::empty()));
    }
    let same = header(IF_RANGE).is_none_or(|version| version.trim() == etag);
    let (start, length, status) = match range::parse(header(RANGE).filter(|_| same), size) {
        Wanted::All => (0, size, StatusCode::OK),
        Wanted::Part { start, end } => (start, end - start + 1, StatusCode::PARTIAL_CONTENT),
        Wanted::Unsatisfiable => {
            let mut response = described(StatusCode::RANGE_NOT_SATISFIABLE, &etag, Body::empty());
            set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(start)).await?;
    let data = ReaderStream::with_capacity(file.take(length), PIECE);
    let mut response = described(status, &etag, Body::from_stream(data));
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{size}", start + length - 1));
    }
    Ok(response)
}

fn described(status: StatusCode, etag: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, ETAG, etag);
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, CACHE_CONTROL, "private, no-cache");
    set(&mut response, CONTENT_DISPOSITION, "attachment");
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
