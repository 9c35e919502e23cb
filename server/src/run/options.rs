//! The reserved `options` object of a request: how to run, rather than what.

use std::time::Duration;

use comfyport_endpoint::{Fault, FaultKind, nearest};
use serde_json::Value;

/// How a caller wants a run to be handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether results carry their bytes in base64 beside their URL.
    pub inline: bool,
    /// Whether a stream of events carries preview pictures.
    pub previews: bool,
    /// How long the caller is willing to wait, if shorter than the server is.
    pub timeout: Option<Duration>,
}

const KNOWN: [&str; 3] = ["inline", "previews", "timeout_s"];

impl Options {
    /// Reads the object; `longest` bounds the time to wait. Collects every fault.
    pub fn read(raw: &str, longest: Duration) -> Result<Self, Vec<Fault>> {
        let members = match serde_json::from_str(raw) {
            Ok(Value::Object(members)) => members,
            Ok(Value::Null) => return Ok(Self::default()),
            _ => return Err(vec![fault("", "must be an object".to_owned())]),
        };
        let (mut options, mut faults) = (Self::default(), Vec::new());
        let mut flag = |name: &str, value: &Value, place: &mut bool| match value {
            Value::Bool(value) => *place = *value,
            _ => faults.push(fault(name, "must be true or false".to_owned())),
        };
        let mut unknown = Vec::new();
        let mut timeout = None;
        for (name, value) in &members {
            match name.as_str() {
                "inline" => flag(name, value, &mut options.inline),
                "previews" => flag(name, value, &mut options.previews),
                "timeout_s" => timeout = Some(value),
                other => unknown.push(unknown_option(other)),
            }
        }
        match timeout.map(|value| seconds(value, longest)) {
            Some(Some(timeout)) => options.timeout = Some(timeout),
            Some(None) => {
                let message = format!("must be a number above 0 and at most {}", longest.as_secs());
                faults.push(fault("timeout_s", message));
            }
            None => {}
        }
        faults.extend(unknown);
        if faults.is_empty() { Ok(options) } else { Err(faults) }
    }
}

fn seconds(value: &Value, longest: Duration) -> Option<Duration> {
    let wanted = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
    (wanted > Duration::ZERO && wanted <= longest).then_some(wanted)
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

    #[test]
    fn options_are_read_or_every_fault_is_named() {
        let longest = Duration::from_mins(1);
        let read = |raw| Options::read(raw, longest);
        let options = read(r#"{"inline":true,"timeout_s":1.5}"#).unwrap();
        assert!(options.inline && !options.previews);
        assert_eq!(options.timeout, Some(Duration::from_millis(1500)));
        let faults = read(r#"{"inlin":true,"previews":1,"timeout_s":61}"#).unwrap_err();
        let mut pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/options/inlin", "/options/previews", "/options/timeout_s"]);
        assert!(faults.iter().any(|fault| fault.did_you_mean.as_deref() == Some("inline")));
        assert_eq!(read("[]").unwrap_err()[0].pointer, "/options");
    }
}
