//! The form of a picture that an address asks for: `?format=webp&quality=80&width=512`.

use std::collections::BTreeMap;

use comfyport_endpoint::{Fault, FaultKind, Faults};
use comfyport_pictures::{Conversion, Read};
use serde_json::{Map, Value};

use crate::{problem::Problem, run::RunError};

/// Members of a conversion, and of its new size. Others are not about this.
const WHOLE: [&str; 5] = ["format", "quality", "lossless", "compression", "background"];
const SIZE: [&str; 5] = ["width", "height", "fit", "position", "upscale"];

/// Reads it. `None`: nothing is asked for.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
pub fn read(query: &BTreeMap<String, String>, side: u32) -> Result<Option<Conversion>, Problem> {
    let named = |names: [&str; 5]| -> Map<String, Value> {
        let members =
            names.into_iter().filter_map(|name| Some((name.to_owned(), value(name, query.get(name)?))));
        members.collect()
    };
    let (mut whole, size) = (named(WHOLE), named(SIZE));
    if !size.is_empty() {
        whole.insert("resize".to_owned(), Value::Object(size));
    }
    if whole.is_empty() {
        return Ok(None);
    }
    Conversion::read(&Value::Object(whole).to_string(), side).map(Some).map_err(|found| {
        let fault = |found: comfyport_pictures::MemberFault| Fault {
            pointer: String::new(),
            param: found.member.last().cloned(),
            message: match found.member.last() {
                Some(name) => format!("`{name}` {}", found.message),
                None => found.message,
            },
            allowed: None,
            did_you_mean: None,
            code: FaultKind::Invalid,
        };
        let faults = Faults(found.into_iter().map(fault).collect());
        RunError::Request { faults, url: None }.into()
    })
}

/// Numbers and truth as JSON has them; anything else is text.
fn value(name: &str, text: &str) -> Value {
    match name {
        "quality" | "compression" | "width" | "height" | "lossless" | "upscale" => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &[(&str, &str)]) -> Result<Option<Conversion>, String> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(&query, 100).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn addresses_ask_for_forms() {
        assert_eq!(of(&[("signature", "abc")]), Ok(None));
        let asked = of(&[("format", "webp"), ("quality", "80"), ("width", "50")]).unwrap().unwrap();
        let json = r#"{"format":"webp","quality":80,"resize":{"width":50}}"#;
        assert_eq!(asked, Conversion::read(json, 100).unwrap());
        assert!(
            of(&[("width", "101")]).unwrap_err().contains("`width` must be a whole number from 1 to 100")
        );
        assert!(of(&[("quality", "high")]).unwrap_err().contains("`quality` must be u8"));
    }
}
