//! What stands around a graph or the parameters of a workflow.

use std::collections::BTreeMap;

use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_endpoint::{Fault, FaultKind, Faults, nearest};
use comfyport_fetch::Credentials;
use comfyport_pictures::{Conversion, Read as _};
use comfyport_store::deliveries::Webhook;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{API, EACH, WHOLE};
use crate::{
    app::AppState,
    compat::object,
    problem::Problem,
    run::{Envelope, Options, RunError, pointer},
    shelves::{Wish, below},
};

/// All members but the graph or the parameters.
const KNOWN: [&str; 9] = [
    "id",
    "webhook",
    "webhook_v2",
    "convert_output",
    "credentials",
    "s3",
    "azure_blob_upload",
    "hf_upload",
    "http_upload",
];

/// Those of them that say where outputs go.
const UPLOADS: [&str; 4] = ["s3", "azure_blob_upload", "hf_upload", "http_upload"];

/// The longest name that a caller may give a job, in bytes.
const LONGEST: usize = 128;

/// The most credentials of one request.
const MOST: usize = 32;

/// The quality of what is converted, if nothing is said.
const QUALITY: u8 = 80;

/// A request, its envelope read.
pub(super) struct Sent {
    /// The graph, or the parameters.
    pub(super) what: Box<RawValue>,
    /// What the caller sends along to addresses of files.
    pub(super) credentials: Vec<Credentials>,
    pub(super) wishes: Wishes,
}

/// What the envelope asks for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    envelope: Envelope,
    webhook: Option<Webhook>,
    convert: Option<Conversion>,
    store: Option<Wish>,
    send_to: Option<String>,
}

impl Wishes {
    /// What the answer repeats.
    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Whether the caller is answered before the end.
    pub(super) fn at_once(&self) -> bool {
        self.envelope.at_once
    }

    /// Writes them into the options of the job.
    pub(super) fn dress(self, options: &mut Options) {
        if let Some(id) = &self.envelope.id {
            options.tags.insert(tag(id));
        }
        // Who is to be told, and what is to be sent somewhere, is told and sent for each request.
        if self.webhook.is_some() || self.store.is_some() || self.send_to.is_some() {
            options.cache = Some(false);
        }
        options.webhook = self.webhook.or_else(|| options.webhook.take());
        options.convert = self.convert.or_else(|| options.convert.take());
        options.store = self.store.or_else(|| options.store.take());
        options.send_to = self.send_to;
        options.envelope = Some(self.envelope);
    }
}

/// By which jobs are found that a caller named.
pub(super) fn tag(id: &str) -> String {
    format!("id:{id}")
}

/// Reads a request whose graph or parameters are the member `what`. All faults come back together.
pub(super) fn read(app: &AppState, body: &Bytes, what: &str) -> Result<Sent, Problem> {
    let mut members = object(body)?;
    let found = members.swap_remove(what);
    if members.contains_key("hf_upload") {
        let detail = "`hf_upload` is not supported: outputs are not uploaded to Hugging Face; use `s3`, \
                      `azure_blob_upload` or `http_upload`, or fetch them from this server";
        return Err(Problem::not_implemented(detail));
    }
    let mut reader = Reader { app, members: IndexMap::new(), faults: Vec::new() };
    if found.is_none() {
        reader.wrong(&[what], "is missing".to_owned());
    }
    for (name, value) in members {
        if KNOWN.contains(&name.as_str()) {
            reader.members.insert(name, serde_json::from_str(value.get()).unwrap_or_default());
        } else {
            let near = nearest(KNOWN.into_iter().chain([what]), &name);
            let message = format!("there is no such member; there are {what}, {}", KNOWN.join(", "));
            reader.wrong(&[&name], message);
            if let Some(fault) = reader.faults.last_mut() {
                fault.did_you_mean = near;
            }
        }
    }
    let (wishes, credentials) = (reader.wishes(), reader.credentials());
    match found {
        Some(what) if reader.faults.is_empty() => Ok(Sent { what, credentials, wishes }),
        _ => Err(RunError::Request { faults: Faults(reader.faults), url: None }.into()),
    }
}

struct Reader<'a> {
    app: &'a AppState,
    members: IndexMap<String, Value>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn wrong(&mut self, path: &[&str], message: String) {
        self.faults.push(Fault {
            pointer: path.iter().map(|step| pointer(step)).collect(),
            param: Some(path.join(".")),
            message,
            allowed: None,
            did_you_mean: None,
            code: FaultKind::Invalid,
        });
    }

    /// A member that is there and is not null.
    fn member(&self, name: &str) -> Option<Value> {
        self.members.get(name).filter(|value| !value.is_null()).cloned()
    }

    /// A member of one shape. What is wrong with it is noted.
    fn shaped<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.member(name)?;
        match serde_json::from_value(value) {
            Ok(read) => Some(read),
            Err(error) => {
                self.wrong(&[name], error.to_string());
                None
            }
        }
    }

    fn wishes(&mut self) -> Wishes {
        let mut wishes = Wishes { webhook: self.webhooks(), convert: self.conversion(), ..Wishes::default() };
        // Nothing that opens anything is kept or repeated.
        let said = self.members.iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "credentials"));
        let said: Map<String, Value> = said.map(|(name, value)| (name.clone(), value.clone())).collect();
        wishes.envelope =
            Envelope { api: API.to_owned(), id: self.id(), said, at_once: wishes.webhook.is_some() };
        let given: Vec<&str> = UPLOADS.into_iter().filter(|name| self.member(name).is_some()).collect();
        if let [first, second, ..] = *given {
            self.wrong(&[second], format!("outputs go to one place, and `{first}` says where"));
        }
        self.uploads(&mut wishes);
        wishes
    }

    fn id(&mut self) -> Option<String> {
        let id = self.member("id")?;
        let fits = |id: &&str| (1..=LONGEST).contains(&id.len()) && !id.chars().any(char::is_control);
        let found = id.as_str().filter(fits).map(str::to_owned);
        if found.is_none() {
            self.wrong(&["id"], format!("must be a text of 1 to {LONGEST} bytes without control characters"));
        }
        found
    }

    fn webhooks(&mut self) -> Option<Webhook> {
        let ends = ["job.succeeded", "job.failed", "job.cancelled", "job.expired"];
        let whole = self.webhook("webhook_v2", WHOLE, &ends);
        let each = self.webhook("webhook", EACH, &ends[..1]);
        match (whole, each) {
            (Some(whole), each) => Some(Webhook { more: each.into_iter().collect(), ..whole }),
            (None, each) => each,
        }
    }

    fn webhook(&mut self, name: &str, shape: &str, events: &[&str]) -> Option<Webhook> {
        let value = self.member(name)?;
        let Some(url) = value.as_str().and_then(|text| url::Url::parse(text).ok()) else {
            self.wrong(&[name], "must be an address such as https://example.com/hooks".to_owned());
            return None;
        };
        match self.app.jobs.settings.request.options.webhooks.judge(url) {
            Ok(target) => Some(Webhook {
                url: target.url().to_string(),
                events: events.iter().map(|event| (*event).to_owned()).collect(),
                shape: Some(shape.to_owned()),
                more: Vec::new(),
            }),
            Err(why) => {
                self.wrong(&[name], why.to_string());
                None
            }
        }
    }

    fn conversion(&mut self) -> Option<Conversion> {
        let wanted: ConvertOutput = self.shaped("convert_output")?;
        let ours = match wanted.ours() {
            Ok(ours) => ours,
            Err((name, message)) => {
                self.wrong(&["convert_output", "options", &name], message);
                return None;
            }
        };
        match Conversion::read(&ours.to_string(), self.app.config.media.max_side) {
            Ok(conversion) => Some(conversion),
            Err(faults) => {
                for fault in faults {
                    self.wrong(&["convert_output"], fault.to_string());
                }
                None
            }
        }
    }

    fn uploads(&mut self, wishes: &mut Wishes) {
        if let Some(S3 { bucket, prefix, at_once }) = self.shaped("s3") {
            wishes.envelope.at_once |= at_once;
            wishes.store = self.bucket(["s3", "bucket"], "s3", &bucket, prefix);
        }
        if let Some(Azure { container, blob_prefix, at_once }) = self.shaped("azure_blob_upload") {
            wishes.envelope.at_once |= at_once;
            wishes.store = self.bucket(["azure_blob_upload", "container"], "az", &container, blob_prefix);
        }
        if let Some(Http { url_prefix, at_once }) = self.shaped("http_upload") {
            wishes.envelope.at_once |= at_once;
            let path = ["http_upload", "url_prefix"];
            let judged = match (self.app.jobs.intake.fetcher(), below(&url_prefix, "file")) {
                (None, _) => Err("nothing is sent to addresses by this server (`fetch.enabled`)".to_owned()),
                (_, None) => Err("must be an address such as https://example.com/outputs".to_owned()),
                (Some(fetcher), Some(address)) => {
                    fetcher.judge(&address).map(drop).map_err(|error| error.to_string())
                }
            };
            match judged {
                Ok(()) => wishes.send_to = Some(url_prefix),
                Err(message) => self.wrong(&path, message),
            }
            // What stands behind the question mark may let its reader in.
            if let Some(said) =
                wishes.envelope.said.get_mut("http_upload").and_then(|said| said.get_mut("url_prefix"))
            {
                let shown =
                    said.as_str().and_then(|text| text.split('?').next()).unwrap_or_default().to_owned();
                *said = shown.into();
            }
        }
    }

    /// A bucket of the configuration, by its name there or by its name on the other side.
    fn bucket(&mut self, path: [&str; 2], scheme: &str, name: &str, prefix: String) -> Option<Wish> {
        let tables = &self.app.config.bucket;
        let same = |url: &str| {
            let named = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            named.is_some_and(|rest| rest.split('/').next() == Some(name))
        };
        let found = tables
            .iter()
            .find(|table| table.name == name)
            .or_else(|| tables.iter().find(|table| same(&table.url)));
        let Some(table) = found else {
            let known: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
            let message = format!(
                "is not a bucket of this server: the operator lists those that outputs may go to in `[[bucket]]`; {known}"
            );
            self.wrong(&path, message);
            return None;
        };
        let wish = Wish::read(
            &json!({"bucket": table.name, "prefix": prefix}),
            &self.app.jobs.settings.request.options.buckets,
        );
        wish.map_err(|message| self.wrong(&path[..1], message)).ok()
    }

    fn credentials(&mut self) -> Vec<Credentials> {
        let Some(list) = self.shaped::<Vec<Credential>>("credentials") else { return Vec::new() };
        if list.len() > MOST {
            self.wrong(&["credentials"], format!("must be at most {MOST}"));
            return Vec::new();
        }
        let mut read = Vec::with_capacity(list.len());
        for (index, one) in list.into_iter().enumerate() {
            match one.read() {
                Ok(credentials) => read.push(credentials),
                Err(message) => self.wrong(&["credentials", &index.to_string()], message),
            }
        }
        read
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct S3 {
    bucket: String,
    #[serde(default)]
    prefix: String,
    #[serde(default, rename = "async")]
    at_once: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Azure {
    container: String,
    #[serde(default)]
    blob_prefix: String,
    #[serde(default, rename = "async")]
    at_once: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    url_prefix: String,
    #[serde(default, rename = "async")]
    at_once: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    url_pattern: String,
    auth: Auth,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Auth {
    Bearer { token: String },
    Basic { username: String, password: String },
    Header { header_name: String, header_value: String },
    Query { query_param: String, query_value: String },
}

impl Credential {
    fn read(self) -> Result<Credentials, String> {
        let like = |name: &str, value: &str| Credentials::like(&self.url_pattern, [(name, value)]);
        let read = match &self.auth {
            Auth::Bearer { token } => like("authorization", &format!("Bearer {token}")),
            Auth::Basic { username, password } => {
                like("authorization", &format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
            }
            Auth::Header { header_name, header_value } => like(header_name, header_value),
            Auth::Query { query_param, query_value } => {
                Credentials::like(&self.url_pattern, []).map(|credentials| {
                    credentials.with_query([(query_param.to_owned(), query_value.to_owned())])
                })
            }
        };
        read.map_err(|error| error.to_string())
    }
}

/// A conversion in their words, which are those of the library that they convert with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConvertOutput {
    format: String,
    #[serde(default)]
    options: BTreeMap<String, Value>,
}

/// Options of JPEG that change how a file is packed and not what it shows: ours is packed in one way.
const PACKING: [&str; 11] = [
    "progressive",
    "chromaSubsampling",
    "optimizeCoding",
    "optimiseCoding",
    "mozjpeg",
    "trellisQuantisation",
    "overshootDeringing",
    "optimizeScans",
    "optimiseScans",
    "quantisationTable",
    "quantizationTable",
];

impl ConvertOutput {
    /// The same in our words, or the option that there is not, and why.
    fn ours(self) -> Result<Value, (String, String)> {
        let (mut ours, mut webp) = (Map::new(), Map::new());
        let is_webp = self.format == "webp";
        let is_jpeg = matches!(self.format.as_str(), "jpeg" | "jpg");
        for (name, value) in self.options {
            match name.as_str() {
                "quality" => drop(ours.insert("quality".to_owned(), value)),
                "lossless" if is_webp => drop(ours.insert("lossless".to_owned(), value)),
                "alphaQuality" if is_webp => drop(webp.insert("alpha_quality".to_owned(), value)),
                "nearLossless" if is_webp => drop(webp.insert("near_lossless".to_owned(), value)),
                "smartSubsample" if is_webp => drop(webp.insert("sharp_colours".to_owned(), value)),
                "effort" | "preset" if is_webp => drop(webp.insert(name, value)),
                packing if is_jpeg && PACKING.contains(&packing) => {}
                _ => {
                    let message = format!("is not an option of {}", self.format);
                    return Err((name, message));
                }
            }
        }
        let is_lossless = ours.get("lossless") == Some(&Value::Bool(true));
        if is_lossless {
            // Of lossless files they mean the effort by it.
            ours.remove("quality");
        } else if is_webp || is_jpeg {
            ours.entry("quality").or_insert(QUALITY.into());
        }
        if !webp.is_empty() {
            ours.insert("webp".to_owned(), webp.into());
        }
        ours.insert("format".to_owned(), self.format.into());
        Ok(ours.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_keep_what_they_say() {
        let ours = |text: &str| serde_json::from_str::<ConvertOutput>(text).unwrap().ours();
        let webp = r#"{"format":"webp","options":{"quality":60,"effort":6,"alphaQuality":50,"preset":"icon",
            "smartSubsample":true,"nearLossless":true}}"#;
        let expected = json!({"format": "webp", "quality": 60, "webp": {"effort": 6, "alpha_quality": 50,
            "preset": "icon", "sharp_colours": true, "near_lossless": true}});
        assert_eq!(ours(webp).unwrap(), expected);
        assert!(Conversion::read(&expected.to_string(), 100).is_ok());
        let lossless = ours(r#"{"format":"webp","options":{"lossless":true,"quality":60}}"#).unwrap();
        assert_eq!(lossless, json!({"format": "webp", "lossless": true}));
        let jpeg = ours(r#"{"format":"jpg","options":{"progressive":true}}"#).unwrap();
        assert_eq!(jpeg, json!({"format": "jpg", "quality": 80}));
        assert_eq!(ours(r#"{"format":"jpeg","options":{"lossless":true}}"#).unwrap_err().0, "lossless");
    }

    #[test]
    fn credentials_are_read_and_not_shown() {
        let read = |auth: &str| {
            let text = format!(r#"{{"url_pattern":"https://a.example/**","auth":{auth}}}"#);
            serde_json::from_str::<Credential>(&text).map_err(drop)?.read().map_err(drop)
        };
        for auth in [
            r#"{"type":"bearer","token":"sesame"}"#,
            r#"{"type":"basic","username":"a","password":"sesame"}"#,
            r#"{"type":"header","header_name":"x-key","header_value":"sesame"}"#,
            r#"{"type":"query","query_param":"sig","query_value":"sesame"}"#,
        ] {
            let read = read(auth).unwrap();
            assert!(!format!("{read:?}").contains("sesame"), "{auth}");
        }
        for auth in [
            r#"{"type":"s3","access_key_id":"a"}"#,
            r#"{"type":"header","header_name":"host","header_value":"b"}"#,
            r#"{"type":"bearer","token":"a\nb"}"#,
            "7",
        ] {
            assert!(read(auth).is_err(), "{auth}");
        }
    }
}
