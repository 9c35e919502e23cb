//! What is wrong with a request.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{Kind, List, Text};

/// One fault, in the caller's words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// A JSON pointer to the value: `/advanced/scheduler`; empty for the whole request.
    pub pointer: String,
    /// The parameter, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// What is wrong, in a sentence without a period.
    pub message: String,
    /// What would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
    /// The closest thing that would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_you_mean: Option<String>,
    /// Which answer it deserves.
    #[serde(skip)]
    pub code: FaultKind,
}

/// Which answer a fault deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The value is not acceptable: 422.
    Invalid,
    /// The kind of file is not supported: 415.
    Unsupported,
    /// The value is too large: 413.
    TooLarge,
    /// The request cannot be read at all: 400.
    Malformed,
}

/// What a field accepts.
#[derive(Debug, Clone, PartialEq)]
pub enum Allowed {
    /// These values.
    Options(List<Text>),
    /// These whole numbers.
    Numbers(List<i64>),
    /// A closed range.
    Range {
        /// The least value, as JSON text.
        min: String,
        /// The greatest value, as JSON text.
        max: String,
    },
    /// A greatest length in characters.
    MaxLength(usize),
    /// A type, in words.
    Type(&'static str),
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeMap};
        match self {
            Self::Options(options) => options.serialize(serializer),
            Self::Numbers(options) => options.serialize(serializer),
            Self::Type(name) => serializer.serialize_str(name),
            Self::MaxLength(length) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("max_length", length)?;
                map.end()
            }
            Self::Range { min, max } => {
                let raw = |text: &str| {
                    serde_json::value::RawValue::from_string(text.to_owned()).map_err(S::Error::custom)
                };
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("min", &raw(min)?)?;
                map.serialize_entry("max", &raw(max)?)?;
                map.end()
            }
        }
    }
}

/// Every fault of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{}: {}", fault.pointer, fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A fault before it is known where.
#[derive(Debug)]
pub struct ValueFault {
    pub(crate) message: String,
    pub(crate) allowed: Option<Allowed>,
    pub(crate) did_you_mean: Option<String>,
    pub(crate) code: FaultKind,
}

impl ValueFault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), allowed: None, did_you_mean: None, code: FaultKind::Invalid }
    }

    pub(crate) fn code(mut self, code: FaultKind) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn allowed(mut self, allowed: Allowed) -> Self {
        self.allowed = Some(allowed);
        self
    }

    /// The same, told of a part of the value.
    pub(crate) fn about(self, part: &str) -> Self {
        Self { message: format!("{part}{}", self.message), ..self }
    }

    pub(crate) fn at(self, pointer: String, param: String) -> Fault {
        let Self { message, allowed, did_you_mean, code } = self;
        Fault { pointer, param: Some(param), message, allowed, did_you_mean, code }
    }

    /// The wrong type, and which would be right.
    pub(crate) fn expected(kind: &Kind) -> Self {
        let (message, name) = match kind {
            Kind::Text { .. } | Kind::Suggest { .. } => ("must be a string", "string"),
            Kind::Integer { .. } | Kind::NumberChoice { .. } => ("must be a whole number", "integer"),
            Kind::Float { .. } => ("must be a number", "number"),
            Kind::Boolean => ("must be true or false", "boolean"),
            Kind::Loras { .. } => ("must be a list of objects with `name` or `url`, and `strength`", "array"),
            Kind::Choice { .. } => ("must be one of the options, as a string", "string"),
            Kind::Seed { .. } => ("must be a whole number from 0 to 18446744073709551615", "integer"),
            Kind::Model { from_url: false, .. } => {
                ("must be the name of a model file, as a string", "string")
            }
            Kind::Model { from_url: true, .. } => {
                ("must be the name of a model file, or the address of one, as a string", "string")
            }
            Kind::Media { .. } => (
                "must be base64, a data URI, or an object with one of `base64`, `url` and `upload`",
                "string",
            ),
        };
        Self::new(message).allowed(Allowed::Type(name))
    }
}

/// The nearest of some names, if it is near.
pub fn nearest<'n>(names: impl Iterator<Item = &'n str>, wanted: &str) -> Option<String> {
    // Similarity costs the product of both lengths, and nobody mistypes a name by this much.
    const LONGEST: usize = 200;
    if wanted.len() > LONGEST {
        return None;
    }
    let wanted = wanted.to_lowercase();
    let rated = names.map(|name| (strsim::jaro_winkler(&name.to_lowercase(), &wanted), name));
    let best = rated.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 > 0.75).then(|| best.1.to_owned())
}

/// One step of a JSON pointer.
pub(crate) fn step(name: &str) -> String {
    // What a stranger calls a field is echoed within bounds.
    let short: String = name.chars().take(100).collect();
    format!("/{}", short.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_or_too_long_to_be_compared() {
        let names = ["prompt", "steps"];
        assert_eq!(nearest(names.into_iter(), "promt").as_deref(), Some("prompt"));
        assert_eq!(nearest(names.into_iter(), "colour"), None);
        assert_eq!(nearest(names.into_iter(), &"p".repeat(10_000_000)), None);
    }
}
