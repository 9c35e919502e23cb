//! Uploads.

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use comfyport_workflow::json::Value;
use image::ImageFormat;

use super::{App, MAX_BODY, crash, json};
use crate::{
    ledger::LedgerEvent,
    python,
    shared::Engine,
    store::{Folder, Place, normalize},
};

/// The fields of an upload.
#[derive(Default)]
struct Form {
    /// File name and content. The name is missing if the field was plain text.
    image: Option<(Option<String>, Bytes)>,
    folder: Option<String>,
    subfolder: String,
    overwrite: bool,
    original: Option<String>,
}

/// Reads the form, or says what ComfyUI answers to it.
async fn read(mut request: Request) -> Result<Form, Response> {
    let bad = || StatusCode::BAD_REQUEST.into_response();
    DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| bad())?;
    let mut form = Form::default();
    while let Some(part) = parts.next_field().await.map_err(IntoResponse::into_response)? {
        let name = part.name().unwrap_or_default().to_owned();
        let file = part.file_name().map(str::to_owned);
        let data = part.bytes().await.map_err(IntoResponse::into_response)?;
        let text = || String::from_utf8_lossy(&data).into_owned();
        match name.as_str() {
            "image" => form.image = Some((file, data)),
            "type" => form.folder = Some(text()),
            "subfolder" => form.subfolder = text(),
            "overwrite" => form.overwrite = matches!(text().as_str(), "true" | "1"),
            "original_ref" => form.original = Some(text()),
            _ => {}
        }
    }
    Ok(form)
}

impl Form {
    /// Where the file goes, if it may.
    fn place(&self) -> Result<(Place, Bytes), Box<Response>> {
        let bad = || Box::new(StatusCode::BAD_REQUEST.into_response());
        let (name, data) = self.image.clone().ok_or_else(bad)?;
        // A plain field has no file name, and ComfyUI trips over that.
        let name = name.ok_or_else(|| Box::new(crash()))?;
        if name.is_empty() {
            return Err(bad());
        }
        let folder =
            Folder::parse(self.folder.as_deref().unwrap_or("input")).ok_or_else(|| Box::new(crash()))?;
        let path = if self.subfolder.is_empty() { name } else { format!("{}/{name}", self.subfolder) };
        let path = normalize(&path).ok_or_else(bad)?;
        let (subfolder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        Ok((Place { folder, subfolder: subfolder.to_owned(), name: name.to_owned() }, data))
    }
}

pub(super) async fn image(State(engine): App, request: Request) -> Response {
    let form = match read(request).await {
        Ok(form) => form,
        Err(response) => return response,
    };
    match form.place() {
        Ok((place, data)) => keep(&engine, place, data, form.overwrite, &form.subfolder),
        Err(response) => *response,
    }
}

/// Keeps a file under its name, or beside another file under a numbered one.
fn keep(engine: &Engine, mut place: Place, data: Bytes, overwrite: bool, subfolder: &str) -> Response {
    let (stem, ending) = match place.name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem.to_owned(), format!(".{ending}")),
        _ => (place.name.clone(), String::new()),
    };
    let mut number = 0;
    while let Some(file) = engine.store.get(&place).filter(|_| !overwrite) {
        if file.data == data {
            return named(&place, subfolder);
        }
        number += 1;
        place.name = format!("{stem} ({number}){ending}");
    }
    engine.ledger.note(LedgerEvent::Uploaded, None, format!("{}/{}", place.subfolder, place.name));
    let answer = named(&place, subfolder);
    engine.store.put(place, data);
    answer
}

fn named(place: &Place, subfolder: &str) -> Response {
    json(&python::object([
        ("name", Value::from(place.name.as_str())),
        ("subfolder", Value::from(subfolder)),
        ("type", Value::from(place.folder.name())),
    ]))
}

/// Keeps the original's colours with the upload's transparency. What cannot be done is answered like what was done.
pub(super) async fn mask(State(engine): App, request: Request) -> Response {
    let form = match read(request).await {
        Ok(form) => form,
        Err(response) => return response,
    };
    let (place, data) = match form.place() {
        Ok(parts) => parts,
        Err(response) => return *response,
    };
    let original =
        form.original.as_deref().and_then(|text| comfyport_workflow::json::parse(text.as_bytes()).ok());
    let Some(original) = original.map(|parsed| parsed.value).filter(|value| value.as_object().is_some())
    else {
        return crash();
    };
    let text = |key| original.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let folder = Folder::parse(&text("type")).unwrap_or(Folder::Output);
    let source = Place { folder, subfolder: text("subfolder"), name: text("filename") };
    if let Some(file) = engine.store.get(&source)
        && let Some(merged) = merge(&file.data, &data)
    {
        return keep(&engine, place, merged, form.overwrite, &form.subfolder);
    }
    named(&place, &form.subfolder)
}

fn merge(original: &[u8], mask: &[u8]) -> Option<Bytes> {
    let mut picture = image::load_from_memory(original).ok()?.to_rgba8();
    let mask = image::load_from_memory(mask).ok()?.to_rgba8();
    for (pixel, mask) in picture.pixels_mut().zip(mask.pixels()) {
        pixel.0[3] = mask.0[3];
    }
    let mut out = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).ok()?;
    Some(Bytes::from(out.into_inner()))
}
