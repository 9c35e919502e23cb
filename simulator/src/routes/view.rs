//! `/view`: a file, whole, in part, or converted.

use std::collections::HashMap;

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use image::{DynamicImage, ImageFormat};

use super::{App, crash};
use crate::{
    date,
    ledger::LedgerEvent,
    store::{File, Folder, Place, normalize},
};

/// What a file is, by its ending.
pub(crate) fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "svg" => "image/svg+xml",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "mkv" => "video/x-matroska",
        "flac" => "audio/flac",
        "mp3" => "audio/mpeg",
        "wav" => "audio/x-wav",
        "ogg" => "audio/ogg",
        "opus" => "audio/opus",
        "glb" => "model/gltf-binary",
        "json" => "application/json",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

pub(super) async fn view(
    State(engine): App,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let place = match place(&query) {
        Ok(place) => place,
        Err(status) => return status.into_response(),
    };
    let Some(file) = engine.store.get(&place) else { return StatusCode::NOT_FOUND.into_response() };
    engine.ledger.note(LedgerEvent::Viewed, None, format!("{}/{}", place.subfolder, place.name));
    if query.contains_key("preview") || query.get("channel").is_some_and(|channel| channel != "rgba") {
        return converted(&query, &place.name, &file);
    }
    sent(&place.name, &file, &headers)
}

/// The file that is asked for, with ComfyUI's checks in its order.
fn place(query: &HashMap<String, String>) -> Result<Place, StatusCode> {
    let text = |name: &str| query.get(name).map(String::as_str);
    let named = text("filename").ok_or(StatusCode::NOT_FOUND)?;
    let annotated = ["input", "output", "temp"].iter().find(|folder| named.ends_with(&format!("[{folder}]")));
    let (name, folder) = match annotated {
        Some(folder) => (named[..named.len() - folder.len() - 2].trim_end(), Some(*folder)),
        None => (named, text("type")),
    };
    if name.is_empty() || name.starts_with('/') || name.contains("..") {
        return Err(StatusCode::BAD_REQUEST);
    }
    let folder = Folder::parse(folder.unwrap_or("output")).ok_or(StatusCode::BAD_REQUEST)?;
    let subfolder = text("subfolder").unwrap_or_default();
    // Folders have names on disk, and a path may leave one and come back.
    let home = match folder {
        Folder::Input => "in",
        Folder::Output => "out",
        Folder::Temp => "temp",
    };
    let rooted = if subfolder.starts_with('/') { None } else { normalize(&format!("{home}/{subfolder}")) };
    let rooted = rooted.ok_or(StatusCode::FORBIDDEN)?;
    let inside = rooted.strip_prefix(home).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let subfolder = inside.ok_or(StatusCode::FORBIDDEN)?.trim_start_matches('/').to_owned();
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    Ok(Place { folder, subfolder, name: name.to_owned() })
}

fn headed(builder: axum::http::response::Builder, name: &str, kind: &str) -> axum::http::response::Builder {
    let disposition = HeaderValue::from_bytes(format!("filename=\"{name}\"").as_bytes());
    builder
        .header(
            header::CONTENT_DISPOSITION,
            disposition.unwrap_or(HeaderValue::from_static("filename=\"file\"")),
        )
        .header(header::CONTENT_TYPE, kind)
}

fn sent(name: &str, file: &File, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = format!("\"{:x}-{:x}\"", file.version, file.data.len());
    let builder = headed(Response::builder(), name, content_type(name))
        .header(header::ETAG, &tag)
        .header(header::LAST_MODIFIED, date::http(file.modified));
    let known = text(header::IF_NONE_MATCH)
        .is_some_and(|tags| tags == "*" || tags.split(',').any(|one| one.trim() == tag));
    let response = if known {
        builder.status(StatusCode::NOT_MODIFIED).body(Body::empty())
    } else {
        let total = file.data.len();
        let range = text(header::RANGE).map(|range| part(range, total));
        let builder =
            if range == Some(None) { builder } else { builder.header(header::ACCEPT_RANGES, "bytes") };
        match range {
            None => builder.body(Body::from(file.data.clone())),
            Some(None) => builder
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{total}"))
                .body(Body::empty()),
            Some(Some((start, end))) => builder
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {start}-{}/{total}", end - 1))
                .body(Body::from(file.data.slice(start..end))),
        }
    };
    response.unwrap_or_else(|_| crash())
}

/// Start and end of the part that is asked for, if the file has it.
fn part(range: &str, total: usize) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (start.parse::<usize>(), end.parse::<usize>()) {
        (Ok(start), Ok(end)) => (start, end.saturating_add(1).min(total)),
        (Ok(start), Err(_)) if end.is_empty() => (start, total),
        (Err(_), Ok(length)) if start.is_empty() => (total.saturating_sub(length), total),
        _ => return None,
    };
    (start < end).then_some((start, end))
}

/// The picture in another format, or some of its channels.
fn converted(query: &HashMap<String, String>, name: &str, file: &File) -> Response {
    let Ok(picture) = image::load_from_memory(&file.data) else { return crash() };
    let (picture, format, kind) = match query.get("preview") {
        Some(preview) if preview.starts_with("jpeg") => {
            (DynamicImage::ImageRgb8(picture.to_rgb8()), ImageFormat::Jpeg, "image/jpeg")
        }
        Some(_) => (picture, ImageFormat::WebP, "image/webp"),
        None if query.get("channel").is_some_and(|channel| channel == "a") => {
            let mut alpha = picture.to_rgba8();
            alpha.pixels_mut().for_each(|pixel| pixel.0 = [255, 255, 255, pixel.0[3]]);
            (DynamicImage::ImageRgba8(alpha), ImageFormat::Png, "image/png")
        }
        None => (DynamicImage::ImageRgb8(picture.to_rgb8()), ImageFormat::Png, "image/png"),
    };
    let picture =
        if picture.color().has_alpha() { picture } else { DynamicImage::ImageRgb8(picture.to_rgb8()) };
    let mut out = std::io::Cursor::new(Vec::new());
    if picture.write_to(&mut out, format).is_err() {
        return crash();
    }
    let body = Body::from(Bytes::from(out.into_inner()));
    headed(Response::builder(), name, kind).body(body).unwrap_or_else(|_| crash())
}
