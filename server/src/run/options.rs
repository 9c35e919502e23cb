//! The reserved `options` object of a request: how to run, rather than what.

use std::{collections::BTreeSet, time::Duration};

use comfyport_endpoint::{Fault, FaultKind, nearest};
use comfyport_pictures::{Conversion, MemberFault, Metadata, Read, Thumbnail};
use comfyport_store::deliveries::Webhook;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{shelves::Wish, webhooks::Targets};

/// How a caller wants a job to be handled. Serialises to what is kept of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Whether results carry their bytes in base64 beside their URL.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
    /// Whether streams of events carry preview pictures.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub previews: bool,
    /// How long it may run, in seconds, if shorter than the server lets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// 0 to 9; higher goes first. 5 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// When it is to have ended, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<i64>,
    /// Tries, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Who is told what happens to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// The bucket that outputs are copied to. The server's setting decides if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Wish>,
    /// Anything the caller wants to have back with it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Whether it is cancelled when the caller who waits for it leaves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_on_disconnect: bool,
    /// Whether the result of an identical request will do. The server's setting decides if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
    /// The format and size that pictures are given out in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert: Option<Conversion>,
    /// A small picture beside each picture and film.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<Thumbnail>,
    /// Whether pictures keep what the engine wrote into them besides pixels, such as the whole workflow.
    #[serde(skip_serializing_if = "is_default")]
    pub embedded: Metadata,
    /// The beginning of the addresses that outputs are sent to. Callers of other APIs say it; see [`crate::compat`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_to: Option<String>,
    /// What a caller of another API is to get back with the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
}

/// What a caller of another API said besides what to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Envelope {
    /// Which API.
    pub api: String,
    /// His own name for the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Members of his request that the answer repeats.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub said: Map<String, Value>,
    /// Whether he is answered before the end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What options may ask for.
#[derive(Debug, Clone)]
pub struct OptionLimits {
    /// The longest a job may run.
    pub timeout: Duration,
    /// The most tries.
    pub max_attempts: u32,
    /// The largest metadata, in bytes of JSON.
    pub metadata_bytes: usize,
    /// The longest side of pictures, in pixels.
    pub side: u32,
    /// Where webhooks may go.
    pub webhooks: Targets,
    /// The names of buckets that outputs may be copied to.
    pub buckets: Vec<String>,
}

/// Without a wish of the caller.
pub const PRIORITY: u8 = 5;

/// The most tags of a job.
const TAGS: usize = 16;

/// The longest tag, in bytes.
const TAG_BYTES: usize = 64;

const KNOWN: [&str; 15] = [
    "inline",
    "previews",
    "timeout_s",
    "priority",
    "deadline",
    "max_attempts",
    "tags",
    "webhook",
    "metadata",
    "cancel_on_disconnect",
    "cache",
    "convert",
    "thumbnail",
    "embedded",
    "store",
];

/// What webhooks are sent for; the last four if a caller does not say.
pub const EVENTS: [&str; 7] = [
    "job.queued",
    "job.running",
    "job.progress",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "job.expired",
];

impl Options {
    /// Reads the object. Collects every fault.
    pub fn read(raw: &str, limits: &OptionLimits) -> Result<Self, Vec<Fault>> {
        let members = match serde_json::from_str(raw) {
            Ok(Value::Object(members)) => members,
            Ok(Value::Null) => return Ok(Self::default()),
            _ => return Err(vec![fault("", "must be an object".to_owned())]),
        };
        let (mut options, mut faults) = (Self::default(), Vec::new());
        for (name, value) in &members {
            match name.as_str() {
                "convert" => options.convert = pictures(name, value, limits.side, &mut faults),
                "thumbnail" => options.thumbnail = pictures(name, value, limits.side, &mut faults),
                _ => faults.extend(options.set(name, value, limits).err()),
            }
        }
        if faults.is_empty() { Ok(options) } else { Err(faults) }
    }

    fn set(&mut self, name: &str, value: &Value, limits: &OptionLimits) -> Result<(), Fault> {
        let wrong = |message: String| fault(name, message);
        let flag = || value.as_bool().ok_or_else(|| wrong("must be true or false".to_owned()));
        match name {
            "inline" => self.inline = flag()?,
            "previews" => self.previews = flag()?,
            "cancel_on_disconnect" => self.cancel_on_disconnect = flag()?,
            "cache" => self.cache = Some(flag()?),
            "timeout_s" => self.timeout_s = Some(seconds(value, limits.timeout).map_err(wrong)?),
            "priority" => {
                let priority =
                    value.as_u64().filter(|priority| *priority <= 9).and_then(|one| u8::try_from(one).ok());
                self.priority =
                    Some(priority.ok_or_else(|| wrong("must be a whole number from 0 to 9".to_owned()))?);
            }
            "max_attempts" => {
                let most = limits.max_attempts;
                let attempts = value.as_u64().and_then(|one| u32::try_from(one).ok());
                let attempts = attempts.filter(|attempts| (1..=most).contains(attempts));
                let message = || wrong(format!("must be a whole number from 1 to {most}"));
                self.max_attempts = Some(attempts.ok_or_else(message)?);
            }
            "deadline" => self.deadline = Some(deadline(value).map_err(wrong)?),
            "tags" => self.tags = tags(value).map_err(wrong)?,
            "webhook" => self.webhook = Some(webhook(value, limits)?),
            "store" => self.store = Some(Wish::read(value, &limits.buckets).map_err(wrong)?),
            "embedded" => {
                let known = Metadata::deserialize(value);
                self.embedded = known.map_err(|_| wrong("must be `strip` or `keep`".to_owned()))?;
            }
            "metadata" => {
                let Value::Object(members) = value else { return Err(wrong("must be an object".to_owned())) };
                if value.to_string().len() > limits.metadata_bytes {
                    return Err(wrong(format!("must be at most {} bytes of JSON", limits.metadata_bytes)));
                }
                self.metadata = members.clone();
            }
            other => return Err(unknown_option(other)),
        }
        Ok(())
    }

    /// How long it may run.
    pub fn timeout(&self, longest: Duration) -> Duration {
        let wanted = self.timeout_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        wanted.map_or(longest, |wanted| wanted.min(longest))
    }
}

/// What is asked of pictures. Its faults name members of it.
fn pictures<T: Read>(name: &str, value: &Value, side: u32, faults: &mut Vec<Fault>) -> Option<T> {
    if value.is_null() {
        return None;
    }
    let read = T::read(&value.to_string(), side);
    read.map_err(|found| faults.extend(found.iter().map(|found| picture_fault(name, found)))).ok()
}

fn picture_fault(name: &str, found: &MemberFault) -> Fault {
    let mut fault = fault(name, found.message.clone());
    for member in &found.member {
        fault.pointer.push_str(&super::pointer(member));
        fault.param = fault.param.map(|param| format!("{param}.{member}"));
    }
    fault
}

fn seconds(value: &Value, longest: Duration) -> Result<f64, String> {
    let wanted = value.as_f64().filter(|seconds| {
        Duration::try_from_secs_f64(*seconds).is_ok_and(|wanted| wanted > Duration::ZERO && wanted <= longest)
    });
    wanted.ok_or_else(|| format!("must be a number above 0 and at most {}", longest.as_secs()))
}

fn deadline(value: &Value) -> Result<i64, String> {
    let message = || "must be a time such as \"2030-01-31T12:00:00Z\"".to_owned();
    let time: jiff::Timestamp = value.as_str().and_then(|text| text.parse().ok()).ok_or_else(message)?;
    if time <= jiff::Timestamp::now() {
        return Err("must be in the future".to_owned());
    }
    Ok(time.as_millisecond())
}

fn tags(value: &Value) -> Result<BTreeSet<String>, String> {
    let message = || {
        format!("must be a list of at most {TAGS} texts of 1 to {TAG_BYTES} bytes without control characters")
    };
    let items = value.as_array().filter(|items| items.len() <= TAGS).ok_or_else(message)?;
    let tag = |item: &Value| {
        let text = item.as_str()?;
        let fits = (1..=TAG_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    };
    items.iter().map(tag).collect::<Option<_>>().ok_or_else(message)
}

/// An address, or `{"url": …, "events": […]}`.
fn webhook(value: &Value, limits: &OptionLimits) -> Result<Webhook, Fault> {
    let wrong = |name: &str, message: String| fault(name, message);
    let url = value.as_str().or_else(|| value.get("url")?.as_str());
    let Some(url) = url else {
        let message = "must be an address, or an object with `url` and perhaps `events`".to_owned();
        return Err(wrong("webhook", message));
    };
    if let Some(other) =
        value.as_object().and_then(|members| members.keys().find(|name| *name != "url" && *name != "events"))
    {
        return Err(wrong("webhook", format!("has no member `{other}`; there are url, events")));
    }
    let parsed = url::Url::parse(url)
        .map_err(|_| wrong("webhook", "must be an address such as https://example.com/hooks".to_owned()))?;
    let target = limits.webhooks.judge(parsed).map_err(|why| wrong("webhook", why.to_string()))?;
    let events = match value.get("events") {
        None => EVENTS[3..].iter().map(|event| (*event).to_owned()).collect(),
        Some(events) => {
            let message =
                || wrong("webhook", format!("`events` must be a list of some of {}", EVENTS.join(", ")));
            let known =
                |event: &Value| event.as_str().filter(|event| EVENTS.contains(event)).map(str::to_owned);
            let events: Vec<String> = events
                .as_array()
                .ok_or_else(message)?
                .iter()
                .map(known)
                .collect::<Option<_>>()
                .ok_or_else(message)?;
            if events.is_empty() {
                return Err(message());
            }
            events
        }
    };
    Ok(Webhook { url: target.url().to_string(), events, shape: None, more: Vec::new() })
}

fn unknown_option(name: &str) -> Fault {
    let message = format!("there is no such option; there are {}", KNOWN.join(", "));
    Fault { did_you_mean: nearest(KNOWN.into_iter(), name), ..fault(name, message) }
}

fn fault(name: &str, message: String) -> Fault {
    let mut pointer = super::pointer("options");
    if !name.is_empty() {
        pointer.push_str(&super::pointer(name));
    }
    let param = if name.is_empty() { "options".to_owned() } else { format!("options.{name}") };
    Fault {
        pointer,
        param: Some(param),
        message,
        allowed: None,
        did_you_mean: None,
        code: FaultKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> OptionLimits {
        OptionLimits {
            timeout: Duration::from_mins(1),
            max_attempts: 10,
            metadata_bytes: 100,
            side: 100,
            webhooks: Targets::new(vec!["http://127.0.0.1:9000/hooks".to_owned()], None, true),
            buckets: Vec::new(),
        }
    }

    #[test]
    fn options_are_read_or_every_fault_is_named() {
        let read = |raw| Options::read(raw, &limits());
        let options = read(
            r#"{"inline":true,"convert":{"format":"webp","resize":{"width":9}},"embedded":"keep","timeout_s":1.5,"tags":["b","a"],"deadline":"2999-01-01T00:00:00Z"}"#,
        );
        let options = options.unwrap();
        assert!(options.inline && !options.previews);
        assert_eq!(options.timeout(Duration::from_mins(1)), Duration::from_millis(1500));
        assert_eq!(
            serde_json::from_str::<Options>(&serde_json::to_string(&options).unwrap()).unwrap(),
            options
        );
        let faults = read(
            r#"{"inlin":true,"previews":1,"timeout_s":61,"priority":10,"deadline":"2001-01-01T00:00:00Z",
            "max_attempts":0,"tags":[""],"metadata":[],"webhook":7,"embedded":true,
            "convert":{"quality":0,"resize":{"width":101}},"thumbnail":{"width":9,"format":"tiff"}}"#,
        )
        .unwrap_err();
        let mut pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        pointers.sort_unstable();
        let expected = [
            "convert/quality",
            "convert/resize/width",
            "deadline",
            "embedded",
            "inlin",
            "max_attempts",
            "metadata",
            "previews",
            "priority",
            "tags",
            "thumbnail/format",
            "timeout_s",
            "webhook",
        ];
        assert_eq!(pointers, expected.map(|name| format!("/options/{name}")));
        assert!(faults.iter().any(|fault| fault.did_you_mean.as_deref() == Some("inline")));
        assert_eq!(read("[]").unwrap_err()[0].pointer, "/options");
    }
}
