//! An output file as the body of an answer.

use std::{io::SeekFrom, sync::Arc};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
        header::{
            ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};
use tokio_util::io::ReaderStream;

use crate::artifacts::{
    Artifact,
    range::{self, Wanted},
};

/// Read ahead of slow readers by no more than this.
const CHUNK: usize = 64 << 10;

/// Answers with a file, or the part of it that is wanted, or that nothing changed. Fails if the file is gone.
pub async fn file(artifact: &Arc<Artifact>, headers: &HeaderMap) -> std::io::Result<Response<Body>> {
    let etag = format!("\"{}\"", artifact.sha256);
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if header(IF_NONE_MATCH).is_some_and(|known| matches(known, &etag)) {
        return Ok(described(StatusCode::NOT_MODIFIED, artifact, &etag, Body::empty()));
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
            return Ok(response);
        }
    };
    let mut open = File::open(&artifact.path).await?;
    if start > 0 {
        open.seek(SeekFrom::Start(start)).await?;
    }
    let stream = Kept {
        reader: ReaderStream::with_capacity(open.take(length), CHUNK),
        _artifact: Arc::clone(artifact),
    };
    let mut response = described(status, artifact, &etag, Body::from_stream(stream));
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{}", start + length - 1, artifact.size));
    }
    Ok(response)
}

/// A file being read. It stays in existence until the last byte is sent.
struct Kept {
    reader: ReaderStream<tokio::io::Take<File>>,
    _artifact: Arc<Artifact>,
}

impl futures_util::Stream for Kept {
    type Item = std::io::Result<bytes::Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.reader).poll_next(context)
    }
}

fn described(status: StatusCode, artifact: &Artifact, etag: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, &artifact.content_type);
    set(&mut response, ETAG, etag);
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
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
