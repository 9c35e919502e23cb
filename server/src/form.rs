//! `multipart/form-data`: one part for each parameter, files for media.

use std::collections::HashSet;

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, Multipart, multipart::Field},
    http::{Request, header::CONTENT_TYPE},
};
use comfyport_endpoint::{Fault, FaultKind, Part, PartValue};

/// How much of a form is read.
#[derive(Debug, Clone, Copy)]
pub struct FormLimits {
    /// The whole body, in bytes.
    pub body: usize,
    /// How many parts.
    pub parts: usize,
}

/// No parameter is called anything longer.
const LONGEST_NAME: usize = 200;

/// Whether a request carries a form. Everything else is read as JSON, whatever it says it is.
pub fn is_form<B>(request: &Request<B>) -> bool {
    let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    declared.is_some_and(|declared| {
        let name = declared.split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("multipart/form-data")
    })
}

/// Reads a form. Nothing is written anywhere: files are held in memory, within the limits.
pub async fn read(mut request: Request<Body>, limits: &FormLimits) -> Result<Vec<Part>, Fault> {
    DefaultBodyLimit::max(limits.body).apply(&mut request);
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|error| malformed(error.body_text()))?;
    let mut parts = Vec::new();
    let mut names = HashSet::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error, limits))? {
        if parts.len() == limits.parts {
            return Err(too_large(format!("the form has more than {} parts", limits.parts)));
        }
        let part = part(field, limits).await?;
        if !names.insert(part.name.clone()) {
            return Err(fault(FaultKind::Invalid, &part.name, "this part is given twice".to_owned()));
        }
        parts.push(part);
    }
    Ok(parts)
}

async fn part(field: Field<'_>, limits: &FormLimits) -> Result<Part, Fault> {
    let name = field.name().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(malformed("a part has no name".to_owned()));
    }
    if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        let message = "a part has a name that no parameter can have".to_owned();
        return Err(Fault { pointer: String::new(), param: None, ..fault(FaultKind::Invalid, "", message) });
    }
    let filename = field.file_name().map(str::to_owned);
    let content_type = field.content_type().map(str::to_owned);
    let data = field.bytes().await.map_err(|error| broken(&error, limits))?;
    // A part with a file name is a file; so is one that says it is anything but text.
    let text = content_type.as_deref().is_none_or(|declared| {
        let declared = declared.to_ascii_lowercase();
        declared.starts_with("text/") || declared.starts_with("application/json")
    });
    let value = if filename.is_some() || !text {
        PartValue::File { data, filename, content_type }
    } else {
        let text = String::from_utf8(data.into())
            .map_err(|_| fault(FaultKind::Invalid, &name, "the text is not UTF-8".to_owned()))?;
        PartValue::Text(text)
    };
    Ok(Part { name, value })
}

fn broken(error: &axum::extract::multipart::MultipartError, limits: &FormLimits) -> Fault {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return too_large(format!("the form is larger than {} bytes", limits.body));
    }
    malformed(format!("the form cannot be read: {}", error.body_text()))
}

fn too_large(message: String) -> Fault {
    fault(FaultKind::TooLarge, "", message)
}

fn malformed(message: String) -> Fault {
    fault(FaultKind::Malformed, "", message)
}

fn fault(code: FaultKind, param: &str, message: String) -> Fault {
    let param = (!param.is_empty()).then(|| param.to_owned());
    let pointer = param.as_deref().map_or_else(String::new, crate::run::pointer);
    Fault { pointer, param, message, allowed: None, did_you_mean: None, code }
}
