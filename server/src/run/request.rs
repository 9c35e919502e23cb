//! From the bytes of a request to something that can be run: decoded, seeds drawn, media checked.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use comfyport_endpoint::{
    DecodeLimits, Decoded, Endpoint, Fault, FaultKind, Held, Kind, MediaEncoding, MediaSource, Part,
};
use sha2::{Digest, Sha256};

use super::{Options, RunError};
use crate::{
    artifacts::hex,
    media::{self, Format, MediaFault, PictureLimits},
    readiness::Requirement,
};

/// What a caller sent.
#[derive(Debug)]
pub enum Body {
    /// A JSON document.
    Json(Bytes),
    /// The parts of a form.
    Form(Vec<Part>),
}

/// What is accepted.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// Of pictures.
    pub pictures: PictureLimits,
    /// Of values in the request.
    pub decode: DecodeLimits,
    /// The longest a caller may ask to wait.
    pub timeout: Duration,
    /// Of the whole body, in bytes.
    pub body: usize,
    /// Of parts of a form.
    pub parts: usize,
}

/// A request that was found to be in order.
#[derive(Debug)]
pub struct Prepared {
    /// What it is a request to.
    pub endpoint: Held<Endpoint>,
    /// Its values.
    pub decoded: Decoded,
    /// How to run it.
    pub options: Options,
    /// Files to upload, by position among the request's media.
    pub(super) files: Vec<File>,
}

/// A file of a request, checked.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Its place among the media values of the request.
    pub(super) position: usize,
    /// Its name on engines: made from its content.
    pub(super) name: Arc<str>,
    pub(super) format: Format,
    pub(super) data: Bytes,
}

impl Prepared {
    /// Reads and checks a request. All faults come back together.
    pub fn read(endpoint: Held<Endpoint>, body: Body, limits: &RequestLimits) -> Result<Self, RunError> {
        let mut decoding = match body {
            Body::Json(bytes) => endpoint.read_json(&bytes, &limits.decode),
            Body::Form(parts) => endpoint.read_parts(parts, &limits.decode),
        };
        let options = decoding.decoded_mut().options.as_deref();
        let options = options.map_or(Ok(Options::default()), |raw| Options::read(raw.get(), limits.timeout));
        let options = options.unwrap_or_else(|faults| {
            decoding.add(faults);
            Options::default()
        });
        let found = check_media(decoding.decoded_mut(), limits);
        decoding.add(found.faults);
        let mut decoded = decoding.finish().map_err(|faults| {
            let url = found.urls > 0 && found.urls == faults.0.len();
            RunError::Request { faults, url }
        })?;
        // Callers in JavaScript read greater numbers wrongly, and could not make the same thing again.
        decoded.draw_seeds(&mut || fastrand::u64(..1 << 53));
        Ok(Self { endpoint, decoded, options, files: found.files })
    }

    /// What it needs of an engine.
    pub fn requirement(&self) -> Requirement {
        Requirement::of(&self.endpoint, &self.decoded)
    }
}

/// What became of the files of a request.
#[derive(Default)]
struct Found {
    files: Vec<File>,
    faults: Vec<Fault>,
    /// How many of the faults are about URLs.
    urls: usize,
}

fn check_media(decoded: &mut Decoded, limits: &RequestLimits) -> Found {
    let mut found = Found::default();
    for (position, (field, media)) in decoded.media_mut().into_iter().enumerate() {
        let Kind::Media { kind, encoding } = field.kind else { continue };
        let data = match &media.source {
            MediaSource::Bytes { data, .. } => data.clone(),
            MediaSource::Url(_) => {
                found.urls += 1;
                found.faults.push(not_yet(&field.name, "files cannot be fetched from a URL by this release"));
                continue;
            }
            MediaSource::Upload(_) => {
                found.faults.push(not_yet(&field.name, "there are no uploads to refer to in this release"));
                continue;
            }
        };
        match media::check(kind, &data, &limits.pictures) {
            Err(fault) => found.faults.push(media_fault(&field.name, &fault)),
            Ok(format) => match encoding {
                MediaEncoding::UploadName => {
                    let name = content_name(&data, format);
                    found.files.push(File { position, name, format, data });
                }
                MediaEncoding::Base64 => media.engine_value = Some(STANDARD.encode(&data)),
                MediaEncoding::DataUrl => media.engine_value = Some(data_url(format, &data)),
                MediaEncoding::Url | MediaEncoding::Path => {
                    let message =
                        "the node behind this parameter reads a URL or a path, which callers cannot set";
                    found.faults.push(fault(&field.name, FaultKind::Invalid, message.to_owned()));
                }
            },
        }
    }
    found
}

/// Names are made from the content: what a caller calls a file never reaches an engine.
fn content_name(data: &[u8], format: Format) -> Arc<str> {
    format!("{}.{}", hex(&Sha256::digest(data)), format.extension()).into()
}

fn not_yet(param: &str, why: &str) -> Fault {
    fault(
        param,
        FaultKind::Invalid,
        format!("{why}; send the file itself, as a form part, base64 or a data URI"),
    )
}

/// Nodes that read such an address know pictures by `image/png` and `image/jpeg` only, and look at the content for the
/// rest.
fn data_url(format: Format, data: &[u8]) -> String {
    let content_type = match format.content_type() {
        "image/jpeg" => "image/jpeg",
        picture if picture.starts_with("image/") => "image/png",
        other => other,
    };
    format!("data:{content_type};base64,{}", STANDARD.encode(data))
}

fn media_fault(param: &str, found: &MediaFault) -> Fault {
    let kind = match found {
        MediaFault::Unsupported { .. } => FaultKind::Unsupported,
        MediaFault::Empty
        | MediaFault::Damaged { .. }
        | MediaFault::TooLarge { .. }
        | MediaFault::Animated => FaultKind::Invalid,
    };
    fault(param, kind, found.to_string())
}

fn fault(param: &str, code: FaultKind, message: String) -> Fault {
    let pointer = super::pointer(param);
    Fault { pointer, param: Some(param.to_owned()), message, allowed: None, did_you_mean: None, code }
}
