//! Files in requests.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    DecodeLimits, Field, Kind, MediaKind,
    fault::{FaultKind, ValueFault},
    slot::Raw,
};

/// A file as the caller gave it, and what the engine calls it once it is there.
#[derive(Debug, Clone, Default)]
pub struct Media {
    /// Where its bytes are.
    pub source: MediaSource,
    /// What the loader's input is set to; the server fills this in.
    pub engine_value: Option<String>,
    /// How many bytes it has, once the server has them in a place of its own; it fills this in.
    pub size: Option<u64>,
    /// How a picture is to be changed before it is used: a JSON object, read by the server. `None`: not at all.
    pub wish: Option<Box<RawValue>>,
}

/// A picture.
pub type Image = Media;
/// A picture whose channel marks an area.
pub type Mask = Media;
/// A film.
pub type Video = Media;
/// A sound.
pub type Audio = Media;
/// A 3D model.
pub type Model3d = Media;
/// Some other file.
pub type FileInput = Media;

/// Where the bytes of a file are.
#[derive(Clone)]
pub enum MediaSource {
    /// Here.
    Bytes {
        /// The bytes.
        data: Bytes,
        /// What the caller calls it; never used as a name anywhere.
        filename: Option<String>,
        /// What the caller says it is; never believed.
        content_type: Option<String>,
    },
    /// At an address.
    Url(String),
    /// Uploaded before.
    Upload(String),
}

impl Default for MediaSource {
    fn default() -> Self {
        Self::Bytes { data: Bytes::new(), filename: None, content_type: None }
    }
}

/// Content and signed addresses stay out of logs.
impl std::fmt::Debug for MediaSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes { data, content_type, .. } => {
                write!(formatter, "{} bytes of {content_type:?}", data.len())
            }
            Self::Url(_) => formatter.write_str("a URL"),
            Self::Upload(_) => formatter.write_str("an upload"),
        }
    }
}

impl Media {
    /// A file whose bytes are here.
    pub fn from_bytes(
        data: impl Into<Bytes>,
        filename: Option<String>,
        content_type: Option<String>,
    ) -> Self {
        Self::from(MediaSource::Bytes { data: data.into(), filename, content_type })
    }

    /// A file at an address, which the server fetches, if it does such a thing.
    pub fn from_url(url: impl Into<String>) -> Self {
        Self::from(MediaSource::Url(url.into()))
    }

    /// A file that was uploaded to the server before, by the id that it was given.
    pub fn from_upload(id: impl Into<String>) -> Self {
        Self::from(MediaSource::Upload(id.into()))
    }

    /// A file told by text: an address, a data URI, an upload's reference (`upload:…`), or bare base64. Else what is wrong
    /// with it.
    pub fn from_text(text: &str, limits: &DecodeLimits) -> Result<Self, String> {
        from_text(text, limits).map_err(|fault| fault.message)
    }

    /// Whether no file was given.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.source, MediaSource::Bytes { data, .. } if data.is_empty())
    }

    fn from(source: MediaSource) -> Self {
        Self { source, engine_value: None, size: None, wish: None }
    }
}

/// The object form of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    base64: Option<String>,
    url: Option<String>,
    upload: Option<String>,
    filename: Option<String>,
    content_type: Option<String>,
    resize: Option<Box<RawValue>>,
    crop: Option<Box<RawValue>>,
    alpha: Option<Box<RawValue>>,
    mask_from_alpha: Option<Box<RawValue>>,
}

/// How a picture is to be changed, as the caller wrote it. What it may hold is the server's to say.
#[derive(Serialize)]
struct Wish {
    #[serde(skip_serializing_if = "Option::is_none")]
    resize: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpha: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask_from_alpha: Option<Box<RawValue>>,
}

impl Wish {
    fn write(self) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(&self).ok().filter(|written| written.get() != "{}")
    }
}

pub(crate) fn read(field: &Field, raw: Raw<'_>, limits: &DecodeLimits) -> Result<Media, ValueFault> {
    match raw {
        Raw::File(media) => Ok(media),
        Raw::Text(text) => from_text(text, limits),
        Raw::Json(json) if json.starts_with('"') => {
            let text = crate::slot::choice(field, Raw::Json(json))?;
            from_text(&text, limits)
        }
        Raw::Json(json) if json.starts_with('{') => from_object(field, json, limits),
        Raw::Json(_) => Err(ValueFault::expected(&field.kind)),
    }
}

fn from_object(field: &Field, json: &str, limits: &DecodeLimits) -> Result<Media, ValueFault> {
    let bad = "must be an object with one of `base64`, `url` and `upload`, perhaps `filename` and `content_type`, and \
               for pictures `resize`, `crop`, `alpha` and `mask_from_alpha`";
    let described: Described = serde_json::from_str(json).map_err(|_| ValueFault::new(bad))?;
    let Described { resize, crop, alpha, mask_from_alpha, .. } = described;
    let wish = Wish { resize, crop, alpha, mask_from_alpha }.write();
    if wish.is_some() && !takes_wishes(field) {
        return Err(ValueFault::new("is no picture, and cannot be resized, cropped or the like"));
    }
    let media = match (described.base64, described.url, described.upload) {
        (Some(text), None, None) => {
            let data = decode(text.split_once(";base64,").map_or(text.as_str(), |(_, data)| data), limits)?;
            Ok(Media::from_bytes(data, described.filename, described.content_type))
        }
        (None, Some(url), None) => Ok(Media::from(MediaSource::Url(url))),
        (None, None, Some(upload)) => Ok(Media::from(MediaSource::Upload(upload))),
        _ => Err(ValueFault::new(bad)),
    };
    media.map(|media| Media { wish, ..media })
}

/// Whether what the parameter takes can be changed as pictures are.
pub(crate) fn takes_wishes(field: &Field) -> bool {
    matches!(field.kind, Kind::Media { kind: MediaKind::Image | MediaKind::Mask, .. })
}

fn from_text(text: &str, limits: &DecodeLimits) -> Result<Media, ValueFault> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("data:") {
        let (head, data) =
            rest.split_once(',').ok_or_else(|| ValueFault::new("the data URI has no comma"))?;
        let content_type = head.split(';').next().filter(|declared| !declared.is_empty()).map(str::to_owned);
        if !head.ends_with(";base64") {
            return Err(ValueFault::new("the data URI must be in base64"));
        }
        return Ok(Media::from_bytes(decode(data, limits)?, None, content_type));
    }
    if let Some(reference) = text.strip_prefix("upload:") {
        return Ok(Media::from(MediaSource::Upload(reference.to_owned())));
    }
    // Base64 has no colon, so anything with a scheme is an address, allowed or not.
    let scheme = text.split_once("://").is_some_and(|(scheme, _)| scheme.len() < 20);
    if scheme {
        return Ok(Media::from(MediaSource::Url(text.to_owned())));
    }
    Ok(Media::from_bytes(decode(text, limits)?, None, None))
}

/// Both alphabets, with or without padding, with white space between.
fn decode(text: &str, limits: &DecodeLimits) -> Result<Vec<u8>, ValueFault> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    if text.len() / 4 * 3 > limits.media_bytes.saturating_add(3) {
        let fault = ValueFault::new(format!("is larger than {} bytes", limits.media_bytes));
        return Err(fault.code(FaultKind::TooLarge));
    }
    let url_safe = text.contains(['-', '_']);
    let spaced: String;
    let text = if text.contains(|one: char| one.is_ascii_whitespace()) {
        spaced = text.chars().filter(|one| !one.is_ascii_whitespace()).collect();
        &spaced
    } else {
        text
    };
    let decoded = if url_safe { URL_SAFE.decode(text) } else { STANDARD.decode(text) };
    let decoded = decoded.map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) => ValueFault::new(format!(
            "is neither base64, a data URI nor a URL: character {} is not base64",
            at + 1
        )),
        _ => ValueFault::new("is not base64: the end is missing or wrong"),
    })?;
    if decoded.is_empty() { Err(ValueFault::new("is empty")) } else { Ok(decoded) }
}
