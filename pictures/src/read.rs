//! Wishes as callers write them: JSON, with faults that name the member.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::{Conversion, MemberFault, Thumbnail, Wish};

/// Something that is read from JSON and then looked at as a whole.
pub trait Read: DeserializeOwned {
    /// What is wrong with values that are fine each for itself. `side`: the longest side of a picture, in pixels.
    fn faults(&self, side: u32) -> Vec<MemberFault>;

    /// Reads it. JSON that is of another shape has one fault, the first; values that cannot be have all of theirs.
    fn read(json: &str, side: u32) -> Result<Self, Vec<MemberFault>> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read: Self = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let names = error.path().iter().filter_map(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                Segment::Enum { variant } => Some(variant.clone()),
                Segment::Seq { index } => Some(index.to_string()),
                Segment::Unknown => None,
            });
            vec![MemberFault { member: names.collect(), message: words(error.inner()) }]
        })?;
        match read.faults(side) {
            faults if faults.is_empty() => Ok(read),
            faults => Err(faults),
        }
    }
}

impl Read for Wish {
    fn faults(&self, side: u32) -> Vec<MemberFault> {
        Self::faults(self, side)
    }
}

impl Read for Conversion {
    fn faults(&self, side: u32) -> Vec<MemberFault> {
        Self::faults(self, side)
    }
}

impl Read for Thumbnail {
    fn faults(&self, side: u32) -> Vec<MemberFault> {
        Self::faults(self, side)
    }
}

/// Without the place in the text: the text is a part of a request, and its lines are nobody's.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let plain = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    match plain.strip_prefix("invalid type: ").or_else(|| plain.strip_prefix("invalid value: ")) {
        Some(rest) => match rest.rsplit_once(", expected ") {
            Some((found, expected)) => format!("must be {}, not {found}", expected.replace("struct ", "")),
            None => rest.to_owned(),
        },
        None => plain.to_owned(),
    }
}
