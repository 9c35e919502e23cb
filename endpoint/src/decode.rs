//! From the bytes of a request to its values, with every fault at once.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    DecodeLimits, Endpoint, Fault, FaultKind, Faults, Field, Held, Kind, Media, MediaSource, Request, State,
    fault::{ValueFault, nearest, step},
    rule,
    slot::{Raw, write_text},
};

mod depth;
mod models;

pub use models::ChosenModel;
pub(crate) use models::told;

/// A request whose values are all acceptable.
#[derive(Debug)]
pub struct Decoded {
    endpoint: Held<Endpoint>,
    /// The request.
    pub request: Box<dyn Request>,
    /// The reserved `options` object, unread.
    pub options: Option<Box<RawValue>>,
}

/// One part of a form.
#[derive(Debug)]
pub struct Part {
    /// The part's name: a parameter, `advanced`, `advanced.<parameter>` or `options`.
    pub name: String,
    /// What it holds.
    pub value: PartValue,
}

/// What a part of a form holds.
#[derive(Debug)]
pub enum PartValue {
    /// Text.
    Text(String),
    /// A file.
    File {
        /// Its bytes.
        data: Bytes,
        /// What the caller calls it.
        filename: Option<String>,
        /// What the caller says it is.
        content_type: Option<String>,
    },
}

/// A request as far as it could be read, and what is wrong with it so far.
///
/// Who knows more about some values, such as what a file must be, looks at them here and adds what is wrong, so that
/// a caller hears of everything at once.
#[derive(Debug)]
pub struct Decoding {
    decoded: Decoded,
    faults: Vec<Fault>,
}

impl Endpoint {
    /// Decodes a JSON body. An empty body is an empty object.
    pub fn decode_json(&'static self, body: &[u8], limits: &DecodeLimits) -> Result<Decoded, Faults> {
        Held::Static(self).read_json(body, limits).finish()
    }

    /// Decodes the parts of a form.
    pub fn decode_parts(&'static self, parts: Vec<Part>, limits: &DecodeLimits) -> Result<Decoded, Faults> {
        Held::Static(self).read_parts(parts, limits).finish()
    }
}

/// What was read keeps the endpoint, whatever takes its place meanwhile.
impl Held<Endpoint> {
    /// Reads a JSON body as far as possible. Of one that is no JSON object nothing is read.
    pub fn read_json(&self, body: &[u8], limits: &DecodeLimits) -> Decoding {
        let mut decoder = Decoder::new(self, limits);
        match decoder.body(body) {
            Ok(()) => decoder.end(),
            Err(message) => Decoding {
                decoded: Decoder::new(self, limits).decoded(),
                faults: vec![whole(message, FaultKind::Malformed)],
            },
        }
    }

    /// Reads the parts of a form as far as possible.
    pub fn read_parts(&self, parts: Vec<Part>, limits: &DecodeLimits) -> Decoding {
        let mut decoder = Decoder::new(self, limits);
        for part in parts {
            decoder.part(part);
        }
        decoder.grant();
        decoder.end()
    }
}

impl Decoding {
    /// The values that are acceptable so far; what is missing or faulty is left out.
    pub fn decoded_mut(&mut self) -> &mut Decoded {
        &mut self.decoded
    }

    /// Whether anything is wrong so far.
    pub fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Adds what else is wrong.
    pub fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// The request, if nothing is wrong with it.
    pub fn finish(self) -> Result<Decoded, Faults> {
        if self.faults.is_empty() { Ok(self.decoded) } else { Err(Faults(self.faults)) }
    }
}

impl Decoded {
    /// Which nodes take part.
    pub fn state(&self) -> State {
        self.endpoint.state(&*self.request)
    }

    /// The files of the request, for the server to check and to upload.
    pub fn media_mut(&mut self) -> Vec<(&Field, &mut Media)> {
        let fields = &self.endpoint.fields;
        let files = self.request.all_media_mut();
        // A required file that is missing is a fault already.
        let given = files.into_iter().filter(|(_, media)| !media.is_empty());
        given.map(|(index, media)| (&fields[index], media)).collect()
    }

    /// Draws every seed that was left out.
    pub fn draw_seeds(&mut self, draw: &mut dyn FnMut() -> u64) {
        let mut within = |min: u64, max: u64| match (max - min).checked_add(1) {
            Some(span) => min + draw() % span,
            None => draw(),
        };
        for (index, field) in self.endpoint.fields.iter().enumerate() {
            let given = self.request.slot(index).is_set() || field.default.is_some();
            if let (Kind::Seed { min, max }, false) = (&field.kind, given) {
                self.request.slot_mut(index).set_seed(within(*min, *max));
            }
        }
        rule::share_seeds(&self.endpoint, &mut *self.request, &DecodeLimits::default());
        for (index, field) in self.endpoint.advanced.iter().enumerate() {
            let Kind::Seed { min, max } = &field.kind else { continue };
            let Some(advanced) = self.request.advanced_mut() else { continue };
            if advanced.json(index).is_none() && field.default.is_none() {
                advanced.set_seed(index, within(*min, *max));
            }
        }
    }

    /// Appends the prompt as JSON. Every output node saves under `<prefix>/<node>`.
    pub fn write_prompt(&self, prefix: &str, out: &mut Vec<u8>) {
        self.endpoint.template.write(&self.endpoint, &*self.request, prefix, out);
    }

    /// Appends the values the request stands for, defaults and seeds included, as a JSON object. Files are described.
    pub fn write_params(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        let mut member = |name: &str, out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            write_text(name, out);
            out.push(b':');
        };
        for (index, field) in self.endpoint.fields.iter().enumerate() {
            let slot = self.request.slot(index);
            if let Some(media) = slot.media() {
                member(&field.name, out);
                describe(media, out);
            } else if slot.is_set() {
                member(&field.name, out);
                slot.write(out);
            } else if let Some(default) = &field.default {
                member(&field.name, out);
                out.extend_from_slice(default.as_bytes());
            }
        }
        let mut advanced = Vec::new();
        for (index, field) in self.endpoint.advanced.iter().enumerate() {
            let given = self.request.advanced().and_then(|advanced| advanced.json(index));
            if let Some(json) = given.or(field.default.as_deref().map(str::as_bytes)) {
                advanced.push(if advanced.is_empty() { b'{' } else { b',' });
                write_text(&field.name, &mut advanced);
                advanced.push(b':');
                advanced.extend_from_slice(json);
            }
        }
        if !advanced.is_empty() {
            member("advanced", out);
            out.extend_from_slice(&advanced);
            out.push(b'}');
        }
        out.push(b'}');
    }
}

fn describe(media: &Media, out: &mut Vec<u8>) {
    if let Some(size) = media.size {
        out.extend_from_slice(format!("{{\"size\":{size}}}").as_bytes());
        return;
    }
    match &media.source {
        MediaSource::Bytes { data, .. } => {
            out.extend_from_slice(format!("{{\"size\":{}}}", data.len()).as_bytes());
        }
        // Addresses may be signed: they are not repeated.
        MediaSource::Url(_) => out.extend_from_slice(b"{\"url\":true}"),
        MediaSource::Upload(_) => out.extend_from_slice(b"{\"upload\":true}"),
    }
}

fn whole(message: String, code: FaultKind) -> Fault {
    Fault { pointer: String::new(), param: None, message, allowed: None, did_you_mean: None, code }
}

/// serde_json's own text may echo what was sent; only its place is repeated.
fn not_json(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "ends too early" } else { "is not JSON" };
    format!("the body {what}: line {}, column {}", error.line(), error.column())
}

/// Calls back for each member of an object.
fn read_members(text: &str, member: &mut dyn FnMut(String, &RawValue)) -> Result<(), serde_json::Error> {
    struct Members<'m>(&'m mut dyn FnMut(String, &RawValue));
    impl<'de> Visitor<'de> for Members<'_> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(name) = map.next_key::<String>()? {
                (self.0)(name, map.next_value::<&RawValue>()?);
            }
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Members(member))?;
    deserializer.end()
}

struct Decoder<'l> {
    endpoint: &'l Held<Endpoint>,
    limits: &'l DecodeLimits,
    request: Box<dyn Request>,
    options: Option<Box<RawValue>>,
    /// Of pictures of a form, by the positions of their fields.
    wishes: Vec<(usize, Box<RawValue>)>,
    given: Vec<bool>,
    given_advanced: Vec<bool>,
    faults: Vec<Fault>,
}

impl<'l> Decoder<'l> {
    fn new(endpoint: &'l Held<Endpoint>, limits: &'l DecodeLimits) -> Self {
        Self {
            endpoint,
            limits,
            request: (endpoint.new_request)(endpoint),
            options: None,
            wishes: Vec::new(),
            given: vec![false; endpoint.fields.len()],
            given_advanced: vec![false; endpoint.advanced.len()],
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < self.limits.faults {
            self.faults.push(fault);
        }
    }

    /// Enough faults are known; looking for more, and for what was meant, would only cost time.
    fn is_hopeless(&self) -> bool {
        self.faults.len() >= self.limits.faults
    }

    fn member(&mut self, name: String, json: &str) {
        match name.as_str() {
            "options" => match RawValue::from_string(json.to_owned()) {
                Ok(raw) if self.options.is_none() => self.options = Some(raw),
                _ => self.fault(repeated("/options".to_owned(), name)),
            },
            "advanced" if !self.endpoint.advanced.is_empty() => self.advanced_object(json),
            _ => self.field(&name, Raw::Json(json)),
        }
    }

    fn advanced_object(&mut self, json: &str) {
        if json == "null" {
            return;
        }
        if !json.starts_with('{') {
            let fault = ValueFault::new("must be an object");
            self.fault(fault.at("/advanced".to_owned(), "advanced".to_owned()));
            return;
        }
        if read_members(json, &mut |name, raw| self.advanced(&name, Raw::Json(raw.get()))).is_err() {
            // A whole body is checked beforehand; a part of a form is not.
            self.fault(ValueFault::new("is not JSON").at("/advanced".to_owned(), "advanced".to_owned()));
        }
    }

    fn part(&mut self, part: Part) {
        let Part { name, value } = part;
        match value {
            PartValue::File { data, filename, content_type } => {
                self.field(&name, Raw::File(Media::from_bytes(data, filename, content_type)));
            }
            PartValue::Text(text) => match name.split_once('.') {
                Some(("advanced", name)) => self.advanced(name, Raw::Text(&text)),
                Some((file, "options")) if !self.is_field(&name) => self.wish(&name, file, &text),
                _ if name == "options" || name == "advanced" && !self.endpoint.advanced.is_empty() => {
                    match serde_json::from_str::<&RawValue>(&text) {
                        Ok(raw) if !depth::exceeds(&text, self.limits.depth) => self.member(name, raw.get()),
                        _ => self.fault(ValueFault::new("is not a JSON object").at(step(&name), name)),
                    }
                }
                _ => self.field(&name, Raw::Text(&text)),
            },
        }
    }

    fn field(&mut self, name: &str, raw: Raw<'_>) {
        if self.is_hopeless() {
            return;
        }
        let fields = &self.endpoint.fields;
        let Some(index) = fields.iter().position(|field| *field.name == *name) else {
            let fault = self.unknown(name);
            self.fault(fault);
            return;
        };
        if std::mem::replace(&mut self.given[index], true) {
            self.fault(repeated(step(name), name.to_owned()));
            return;
        }
        let null = matches!(raw, Raw::Json("null"));
        if null && fields[index].required {
            self.given[index] = false;
            return;
        }
        if matches!(raw, Raw::File(_)) && !matches!(fields[index].kind, Kind::Media { .. }) {
            self.fault(ValueFault::new("is not a file parameter").at(step(name), name.to_owned()));
            return;
        }
        if let Err(fault) = self.request.slot_mut(index).accept(&fields[index], raw, self.limits) {
            self.fault(fault.at(step(name), name.to_owned()));
        }
    }

    fn is_field(&self, name: &str) -> bool {
        self.endpoint.fields.iter().any(|field| *field.name == *name)
    }

    /// How the picture in another part of the form is to be changed. That part may come later.
    fn wish(&mut self, part: &str, file: &str, text: &str) {
        let at = |message: &str| ValueFault::new(message).at(step(part), part.to_owned());
        let fields = &self.endpoint.fields;
        let Some(index) = fields.iter().position(|field| *field.name == *file) else {
            let mut fault = at("there is no such parameter");
            fault.did_you_mean = nearest(fields.iter().map(|field| &*field.name), file);
            return self.fault(fault);
        };
        if !crate::media::takes_wishes(&fields[index]) {
            return self.fault(at("is for pictures alone"));
        }
        let object = Some(text.trim()).filter(|text| text.starts_with('{'));
        let object = object.filter(|text| !depth::exceeds(text, self.limits.depth));
        match object.and_then(|text| RawValue::from_string(text.to_owned()).ok()) {
            Some(wish) => self.wishes.push((index, wish)),
            None => self.fault(at("must be a JSON object")),
        }
    }

    /// Wishes go to the pictures that they are about.
    fn grant(&mut self) {
        for (index, wish) in std::mem::take(&mut self.wishes) {
            match self.request.slot_mut(index).media_mut() {
                Some(media) if self.given[index] => media.wish = Some(wish),
                _ => {
                    let name = &self.endpoint.fields[index].name;
                    let part = format!("{name}.options");
                    let message = format!("is about `{name}`, which is not given");
                    self.fault(ValueFault::new(message).at(step(&part), part));
                }
            }
        }
    }

    fn advanced(&mut self, name: &str, raw: Raw<'_>) {
        if self.is_hopeless() {
            return;
        }
        let table = &self.endpoint.advanced;
        let pointer = format!("/advanced{}", step(name));
        let param = format!("advanced.{}", name.chars().take(100).collect::<String>());
        let Some(index) = table.iter().position(|field| *field.name == *name) else {
            let mut fault = ValueFault::new("there is no such parameter").at(pointer, param);
            fault.did_you_mean = nearest(table.iter().map(|field| &*field.name), name);
            self.fault(fault);
            return;
        };
        if std::mem::replace(&mut self.given_advanced[index], true) {
            self.fault(repeated(pointer, param));
            return;
        }
        let Some(advanced) = self.request.advanced_mut() else { return };
        if let Err(fault) = advanced.accept(index, &table[index], raw, self.limits) {
            self.fault(fault.at(pointer, param));
        }
    }

    /// A name that is no field: perhaps a misspelling, perhaps one of the other table.
    fn unknown(&self, name: &str) -> Fault {
        let param: String = name.chars().take(100).collect();
        let mut fault = ValueFault::new("there is no such parameter").at(step(name), param);
        if self.endpoint.advanced.iter().any(|field| *field.name == *name) {
            fault.message = "there is no such parameter here; it belongs into `advanced`".to_owned();
            fault.did_you_mean = Some(format!("advanced.{name}"));
            return fault;
        }
        let fields = self.endpoint.fields.iter().map(|field| &*field.name);
        fault.did_you_mean = nearest(fields.chain(["options", "advanced"]), name);
        fault
    }

    fn body(&mut self, body: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        if depth::exceeds(text, self.limits.depth) {
            return Err(format!("the body is nested deeper than {} levels", self.limits.depth));
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        if !text.trim_start().starts_with('{') {
            return Err("the body must be a JSON object".to_owned());
        }
        read_members(text, &mut |name, raw| self.member(name, raw.get())).map_err(|error| not_json(&error))
    }

    fn decoded(self) -> Decoded {
        Decoded { endpoint: self.endpoint.clone(), request: self.request, options: self.options }
    }

    /// Adds what was left out.
    fn end(mut self) -> Decoding {
        let fields = self.endpoint.fields.iter().chain(&self.endpoint.advanced);
        let given = self.given.iter().chain(&self.given_advanced);
        let missing: Vec<Fault> = fields
            .zip(given)
            .enumerate()
            .filter(|(_, (field, given))| field.required && !**given)
            .map(|(index, (field, _))| {
                let (prefix, dotted) =
                    if index < self.given.len() { ("", "") } else { ("/advanced", "advanced.") };
                let fault = ValueFault::new("is required");
                fault.at(format!("{prefix}{}", step(&field.name)), format!("{dotted}{}", field.name))
            })
            .collect();
        let contradictions = rule::apply(self.endpoint, &mut *self.request, self.limits);
        for fault in missing.into_iter().chain(contradictions) {
            self.fault(fault);
        }
        let faults = std::mem::take(&mut self.faults);
        Decoding { decoded: self.decoded(), faults }
    }
}

fn repeated(pointer: String, param: String) -> Fault {
    ValueFault::new("is given more than once").at(pointer, param)
}
