//! From the bytes of a request to something that can be run: decoded, seeds drawn, media checked.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use comfyport_endpoint::{
    DecodeLimits, Decoded, Decoding, Endpoint, Fault, FaultKind, Held, Kind, MediaEncoding, MediaSource,
    Part, PartValue,
};
use sha2::{Digest, Sha256};

use super::{KeptRequest, OptionLimits, Options, RunError};
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
    /// Of what callers may ask for.
    pub options: OptionLimits,
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
    /// Its files, by position among the request's media.
    pub(super) files: Vec<File>,
    kept: KeptRequest,
}

/// A file of a request, checked.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Its place among the media values of the request.
    pub(super) position: usize,
    /// The parameter that it is the value of.
    param: String,
    /// Its name on engines and among our files: made from its content.
    pub(super) name: Arc<str>,
    pub(super) format: Format,
    pub(super) data: Bytes,
    /// Whether engines get it as a file, rather than as text in the prompt.
    pub(super) is_uploaded: bool,
}

impl Body {
    /// The same for bodies that say the same: members of JSON objects may be in any order.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        let mut piece = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        match self {
            Self::Json(bytes) => match serde_json::from_slice(bytes) {
                Ok(value) => piece(canonical(&value).as_bytes()),
                Err(_) => piece(bytes),
            },
            Self::Form(parts) => {
                let mut parts: Vec<&Part> = parts.iter().collect();
                parts.sort_by(|left, right| left.name.cmp(&right.name));
                for part in parts {
                    piece(part.name.as_bytes());
                    match &part.value {
                        PartValue::Text(text) => piece(text.as_bytes()),
                        PartValue::File { data, .. } => piece(data),
                    }
                }
            }
        }
        hash.finalize().to_vec()
    }
}

fn canonical(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let member = |(name, value): (&String, &serde_json::Value)| {
                format!("{}:{}", serde_json::Value::from(name.as_str()), canonical(value))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

impl Prepared {
    /// Reads and checks a request. All faults come back together.
    pub fn read(endpoint: Held<Endpoint>, body: Body, limits: &RequestLimits) -> Result<Self, RunError> {
        let mut kept = KeptRequest::of(&body);
        let mut decoding = decode(&endpoint, body, limits);
        let options = decoding.decoded_mut().options.as_deref();
        let options = options.map_or(Ok(Options::default()), |raw| Options::read(raw.get(), &limits.options));
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
        decoded.draw_seeds(&mut || {
            kept.seeds.push(fastrand::u64(..1 << 53));
            kept.seeds.last().copied().unwrap_or_default()
        });
        Ok(Self { endpoint, decoded, options, files: found.files, kept })
    }

    /// The same for requests that lead to the same prompt with the same files.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(self.endpoint.path.as_bytes());
        let mut prompt = Vec::with_capacity(4096);
        self.decoded.write_prompt("", &mut prompt);
        hash.update((prompt.len() as u64).to_be_bytes());
        hash.update(&prompt);
        for file in &self.files {
            hash.update(file.position.to_be_bytes());
            hash.update(file.name.as_bytes());
        }
        hash.finalize().to_vec()
    }

    /// The request as it is kept, and its files by the names that it refers to them by.
    pub fn kept(&self) -> (KeptRequest, Vec<(Arc<str>, Bytes)>) {
        let mut kept = self.kept.clone();
        for file in &self.files {
            kept.refer(&file.param, &file.name);
        }
        (kept, self.files.iter().map(|file| (Arc::clone(&file.name), file.data.clone())).collect())
    }

    /// Reads a request that was kept, with its files by their names. It is checked as if it had just come: the endpoint
    /// may be another one by now.
    pub fn restore(
        endpoint: Held<Endpoint>,
        kept: &KeptRequest,
        files: &HashMap<String, Bytes>,
        limits: &RequestLimits,
    ) -> Result<Self, RunError> {
        let gone = || RunError::Gone { why: "the request is not one of a workflow".to_owned() };
        let mut decoding = decode(&endpoint, kept.body().ok_or_else(gone)?, limits);
        for (_, media) in decoding.decoded_mut().media_mut() {
            let MediaSource::Upload(name) = &media.source else { continue };
            if let Some(data) = files.get(name) {
                media.source = MediaSource::Bytes { data: data.clone(), filename: None, content_type: None };
            }
        }
        let found = check_media(decoding.decoded_mut(), limits);
        decoding.add(found.faults);
        let mut decoded = decoding.finish().map_err(|faults| RunError::Request { faults, url: false })?;
        let mut seeds = kept.seeds.iter().copied();
        decoded.draw_seeds(&mut || seeds.next().unwrap_or_else(|| fastrand::u64(..1 << 53)));
        let options = Options::default();
        Ok(Self { endpoint, decoded, options, files: found.files, kept: kept.clone() })
    }

    /// What it needs of an engine.
    pub fn requirement(&self) -> Requirement {
        Requirement::of(&self.endpoint, &self.decoded)
    }
}

fn decode(endpoint: &Held<Endpoint>, body: Body, limits: &RequestLimits) -> Decoding {
    match body {
        Body::Json(bytes) => endpoint.read_json(&bytes, &limits.decode),
        Body::Form(parts) => endpoint.read_parts(parts, &limits.decode),
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
            Ok(format) => {
                let is_uploaded = encoding == MediaEncoding::UploadName;
                match encoding {
                    MediaEncoding::UploadName => {}
                    MediaEncoding::Base64 => media.engine_value = Some(STANDARD.encode(&data)),
                    MediaEncoding::DataUrl => media.engine_value = Some(data_url(format, &data)),
                    MediaEncoding::Url | MediaEncoding::Path => {
                        let message =
                            "the node behind this parameter reads a URL or a path, which callers cannot set";
                        found.faults.push(fault(&field.name, FaultKind::Invalid, message.to_owned()));
                        continue;
                    }
                }
                let name = content_name(&data, format);
                let param = field.name.to_string();
                found.files.push(File { position, param, name, format, data, is_uploaded });
            }
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
