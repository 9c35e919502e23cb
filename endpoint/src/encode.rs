//! From the values of a request to what is sent: the reverse of decoding, for clients.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::{Endpoint, Media, MediaSource, Part, PartValue, Request, slot::write_text};

impl Endpoint {
    /// A request as the JSON object that [`Endpoint::decode_json`] takes. Files are in it as base64.
    pub fn encode_json(&self, request: &dyn Request, options: Option<&RawValue>) -> Vec<u8> {
        let mut out = vec![b'{'];
        for (index, field) in self.fields.iter().enumerate() {
            let slot = request.slot(index);
            if let Some(media) = slot.media().filter(|_| slot.is_set()) {
                member(&field.name, &mut out);
                describe(media, &mut out);
            } else if slot.is_set() {
                member(&field.name, &mut out);
                out.extend(text_of(|json| slot.write(json)).as_bytes());
            }
        }
        if let Some(advanced) = self.encode_advanced(request) {
            member("advanced", &mut out);
            out.extend(advanced.as_bytes());
        }
        if let Some(options) = options {
            member("options", &mut out);
            out.extend(options.get().as_bytes());
        }
        out.push(b'}');
        out
    }

    /// A request as the parts of a form that [`Endpoint::decode_parts`] takes. Files are in it as they are.
    pub fn encode_parts(&self, request: &dyn Request, options: Option<&RawValue>) -> Vec<Part> {
        let mut parts = Vec::new();
        for (index, field) in
            self.fields.iter().enumerate().filter(|(index, _)| request.slot(*index).is_set())
        {
            let slot = request.slot(index);
            let value = match (slot.media(), slot.text()) {
                (Some(media), _) => part(media),
                (None, Some(text)) => PartValue::Text(text.to_owned()),
                (None, None) => PartValue::Text(plain(&text_of(|json| slot.write(json)))),
            };
            parts.push(Part { name: field.name.to_string(), value });
            if let Some(wish) = slot.media().and_then(|media| media.wish.as_ref()) {
                let value = PartValue::Text(wish.get().to_owned());
                parts.push(Part { name: format!("{}.options", field.name), value });
            }
        }
        let options = options.map(|options| options.get().to_owned());
        for (name, json) in [("advanced", self.encode_advanced(request)), ("options", options)] {
            parts.extend(json.map(|json| Part { name: name.to_owned(), value: PartValue::Text(json) }));
        }
        parts
    }

    fn encode_advanced(&self, request: &dyn Request) -> Option<String> {
        let advanced = request.advanced()?;
        let mut out = vec![b'{'];
        for (index, field) in self.advanced.iter().enumerate() {
            if let Some(json) = advanced.json(index) {
                member(&field.name, &mut out);
                out.extend(text_of(|out| out.extend_from_slice(json)).as_bytes());
            }
        }
        out.push(b'}');
        (out.len() > 2).then(|| String::from_utf8_lossy(&out).into_owned())
    }
}

fn member(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_text(name, out);
    out.push(b':');
}

/// The JSON of a value. A number that JSON cannot say becomes text, which is refused under its own name rather than
/// spoiling the whole body.
fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut json = Vec::new();
    write(&mut json);
    let json = String::from_utf8_lossy(&json).into_owned();
    if matches!(json.as_str(), "NaN" | "inf" | "-inf") { format!("\"{json}\"") } else { json }
}

/// A value as a part of a form: text without its quotes, anything else as in JSON.
fn plain(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

fn part(media: &Media) -> PartValue {
    match &media.source {
        MediaSource::Bytes { data, filename, content_type } => PartValue::File {
            data: data.clone(),
            // A part without a file name may be taken for text.
            filename: Some(filename.clone().unwrap_or_else(|| "file".to_owned())),
            content_type: content_type.clone(),
        },
        MediaSource::Url(url) => PartValue::Text(url.clone()),
        MediaSource::Upload(reference) => PartValue::Text(format!("upload:{reference}")),
    }
}

fn describe(media: &Media, out: &mut Vec<u8>) {
    let text = |name: &str, value: &str, out: &mut Vec<u8>| {
        member(name, out);
        write_text(value, out);
    };
    out.push(b'{');
    match &media.source {
        MediaSource::Bytes { data, filename, content_type } => {
            text("base64", &STANDARD.encode(data), out);
            for (name, value) in [("filename", filename), ("content_type", content_type)] {
                if let Some(value) = value {
                    text(name, value, out);
                }
            }
        }
        MediaSource::Url(url) => text("url", url, out),
        MediaSource::Upload(reference) => text("upload", reference, out),
    }
    let wish = media.wish.as_ref().and_then(|wish| wish.get().trim().strip_prefix('{')?.strip_suffix('}'));
    if let Some(members) = wish.filter(|members| !members.trim().is_empty()) {
        out.push(b',');
        out.extend_from_slice(members.as_bytes());
    }
    out.push(b'}');
}
