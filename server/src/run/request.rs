//! From the bytes of a request to something that can be run: decoded, files taken in, seeds drawn.

use std::sync::Arc;

use bytes::Bytes;
use comfyport_endpoint::{
    DecodeLimits, Decoded, Decoding, Endpoint, Fault, FaultKind, Held, Kind, Media, MediaEncoding, MediaKind,
    MediaSource, Part, PartValue,
};
use comfyport_pictures::{MemberFault, Read, Wish};
use sha2::{Digest, Sha256};

use super::{KeptRequest, OptionLimits, Options, RunError, UrlTrouble};
use crate::{
    artifacts::Files,
    intake::{Intake, Rejected, Session, Taken, Wanted},
    media::Format,
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
    /// Of values in the request.
    pub decode: DecodeLimits,
    /// Of what callers may ask for.
    pub options: OptionLimits,
    /// Of the whole body, in bytes.
    pub body: usize,
    /// Of parts of a form.
    pub parts: usize,
}

/// A request that was read, its files not taken in yet.
#[derive(Debug)]
pub struct Draft {
    endpoint: Held<Endpoint>,
    decoding: Decoding,
    options: Options,
    kept: KeptRequest,
    files: Vec<File>,
    /// Parameters, and our names for their files.
    references: Vec<(String, Arc<str>)>,
    faults: Faulty,
    /// The longest side of pictures, in pixels.
    side: u32,
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
    /// Its name on engines and among our files: made from its content.
    pub(super) name: Arc<str>,
    pub(super) format: Format,
    pub(super) size: u64,
    /// How engines get it.
    pub(super) encoding: MediaEncoding,
}

/// What is wrong with a request besides what decoding finds.
#[derive(Debug, Default)]
struct Faulty {
    /// What is wrong with the addresses of files.
    urls: Vec<UrlTrouble>,
    /// Whether we failed.
    storage: bool,
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

impl Draft {
    /// Reads a request.
    pub fn read(endpoint: Held<Endpoint>, body: Body, limits: &RequestLimits) -> Self {
        let kept = KeptRequest::of(&body);
        let mut decoding = decode(&endpoint, body, limits);
        let options = decoding.decoded_mut().options.as_deref();
        let options = options.map_or(Ok(Options::default()), |raw| Options::read(raw.get(), &limits.options));
        let options = options.unwrap_or_else(|faults| {
            decoding.add(faults);
            Options::default()
        });
        Self::of(endpoint, decoding, options, kept, limits)
    }

    fn of(
        endpoint: Held<Endpoint>,
        decoding: Decoding,
        options: Options,
        kept: KeptRequest,
        limits: &RequestLimits,
    ) -> Self {
        let (files, references, faults) = (Vec::new(), Vec::new(), Faulty::default());
        Self { endpoint, decoding, options, kept, files, references, faults, side: limits.options.side }
    }

    /// Takes its files in. Where something is wrong already, nothing is kept and nobody is asked for a file any more.
    pub async fn take(&mut self, session: &Session<'_>) {
        let (places, wanted): (Vec<_>, Vec<_>) = self.wanted().into_iter().unzip();
        let results = if self.decoding.is_faulty() {
            session.looking().take(wanted).await
        } else {
            session.take(wanted).await
        };
        for (place, result) in places.into_iter().zip(results) {
            if let Some(result) = result {
                self.settle(place, result);
            }
        }
    }

    /// Takes the files in that it refers to by our names for them.
    async fn retake(&mut self, intake: &Intake, files: &Files) -> Result<(), RunError> {
        for (place, wanted) in self.wanted() {
            let MediaSource::Upload(name) = &wanted.source else { continue };
            let gone = || RunError::Gone { why: "a file of the request is no longer kept".to_owned() };
            let result = intake.reread(files, wanted.kind, name).await.ok_or_else(gone)?;
            self.settle(place, result);
        }
        Ok(())
    }

    /// The files that it wants to have taken in, and where they belong.
    fn wanted(&mut self) -> Vec<(Place, Wanted)> {
        let mut wanted = Vec::new();
        let mut faults = Vec::new();
        let side = self.side;
        for (position, (field, media)) in self.decoding.decoded_mut().media_mut().into_iter().enumerate() {
            let Kind::Media { kind, encoding } = field.kind else { continue };
            if matches!(encoding, MediaEncoding::Url | MediaEncoding::Path) {
                let message =
                    "the node behind this parameter reads a URL or a path, which callers cannot set";
                faults.push(fault(&field.name, FaultKind::Invalid, message.to_owned()));
                continue;
            }
            let wish = match wish(kind, media, side) {
                Ok(wish) => wish,
                Err(found) => {
                    faults.extend(found.iter().map(|found| member_fault(&field.name, found)));
                    continue;
                }
            };
            let place = Place { position, param: field.name.to_string(), encoding };
            wanted.push((place, Wanted { kind, source: media.source.clone(), wish }));
        }
        self.decoding.add(faults);
        wanted
    }

    /// Notes what became of a file. What came with the request is let go of: it is on disk.
    fn settle(&mut self, place: Place, result: Result<Taken, Rejected>) {
        match result {
            Ok(taken) => {
                let Place { position, param, encoding } = place;
                if let Some((_, media)) = self.decoding.decoded_mut().media_mut().get_mut(position) {
                    media.size = Some(taken.size);
                    media.source = MediaSource::Upload(taken.name.to_string());
                }
                self.references.push((param, Arc::clone(&taken.name)));
                let Taken { name, format, size } = taken;
                self.files.push(File { position, name, format, size, encoding });
            }
            Err(rejected) => {
                self.faults.urls.extend(rejected.url);
                self.faults.storage |= rejected.storage;
                let found = MemberFault { member: rejected.member, message: rejected.message };
                let fault = Fault { code: rejected.code, ..member_fault(&place.param, &found) };
                self.decoding.add([fault]);
            }
        }
    }

    /// The request, if nothing is wrong with it. All faults come back together.
    pub fn finish(self) -> Result<Prepared, RunError> {
        let Self { endpoint, decoding, options, mut kept, files, references, faults, .. } = self;
        if faults.storage {
            return Err(RunError::Storage {
                why: "a file of the request cannot be stored or read".to_owned(),
            });
        }
        let mut decoded = decoding.finish().map_err(|found| RunError::Request {
            // What is worst is said of all, if they are all of a kind.
            url: faults.urls.iter().min().copied().filter(|_| faults.urls.len() == found.0.len()),
            faults: found,
        })?;
        kept.refer(&references);
        let mut drawn = Vec::new();
        let mut known = std::mem::take(&mut kept.seeds).into_iter();
        // Callers in JavaScript read greater numbers wrongly, and could not make the same thing again.
        decoded.draw_seeds(&mut || {
            drawn.push(known.next().unwrap_or_else(|| fastrand::u64(..1 << 53)));
            drawn.last().copied().unwrap_or_default()
        });
        kept.seeds = drawn;
        Ok(Prepared { endpoint, decoded, options, files, kept })
    }
}

/// Where a file belongs in a request.
#[derive(Debug)]
struct Place {
    position: usize,
    param: String,
    encoding: MediaEncoding,
}

impl Prepared {
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

    /// The request as it is kept. It refers to its files by our names for them.
    pub fn kept(&self) -> &KeptRequest {
        &self.kept
    }

    /// Reads a request that was kept. It is checked as if it had just come: the endpoint may be another one by now.
    pub async fn restore(
        endpoint: Held<Endpoint>,
        kept: &KeptRequest,
        intake: &Intake,
        files: &Files,
        limits: &RequestLimits,
    ) -> Result<Self, RunError> {
        let gone = || RunError::Gone { why: "the request is not one of a workflow".to_owned() };
        let decoding = decode(&endpoint, kept.body().ok_or_else(gone)?, limits);
        let mut draft = Draft::of(endpoint, decoding, Options::default(), kept.clone(), limits);
        draft.retake(intake, files).await?;
        draft.finish()
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

/// How a file is to be changed; `None` for what is no picture.
fn wish(kind: MediaKind, media: &Media, side: u32) -> Result<Option<Wish>, Vec<MemberFault>> {
    match (kind, &media.wish) {
        (MediaKind::Image | MediaKind::Mask, None) => Ok(Some(Wish::default())),
        (MediaKind::Image | MediaKind::Mask, Some(wish)) => Wish::read(wish.get(), side).map(Some),
        (MediaKind::Video | MediaKind::Audio | MediaKind::Model3d | MediaKind::File, _) => Ok(None),
    }
}

/// A fault of a member of a file's value.
fn member_fault(param: &str, found: &MemberFault) -> Fault {
    let mut fault = fault(param, FaultKind::Invalid, found.message.clone());
    let mut path = param.to_owned();
    for member in &found.member {
        fault.pointer.push_str(&super::pointer(member));
        path.push('.');
        path.push_str(member);
    }
    fault.param = Some(path);
    fault
}

fn fault(param: &str, code: FaultKind, message: String) -> Fault {
    let pointer = super::pointer(param);
    Fault { pointer, param: Some(param.to_owned()), message, allowed: None, did_you_mean: None, code }
}
