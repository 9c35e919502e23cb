//! Results, as callers see them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One output file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Artifact {
    /// Where it is served; relative to the server that answered.
    pub url: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// A name to save it under.
    pub filename: String,
    /// Width in pixels, of pictures.
    pub width: Option<u32>,
    /// Height in pixels, of pictures.
    pub height: Option<u32>,
    /// The bytes in base64, where `options.inline` asked for them.
    pub data: Option<String>,
}

/// The `outputs` of a result, before they are typed.
pub type Outputs = BTreeMap<String, Vec<Value>>;

/// A struct with a field for each named output. Derived.
pub trait Response: Sized {
    /// Takes its outputs out of a result.
    fn from_outputs(outputs: &mut Outputs) -> Result<Self, OutputError>;
}

/// Why outputs are not what the endpoint promises.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// One is missing.
    #[error("the result has no output `{0}`")]
    Missing(&'static str),
    /// One is something else.
    #[error("output `{0}` is not what it should be: {1}")]
    Shape(&'static str, serde_json::Error),
}

/// Takes one output; used by the derive.
pub fn take<T: serde::de::DeserializeOwned>(
    outputs: &mut Outputs,
    name: &'static str,
) -> Result<T, OutputError> {
    let items = outputs.remove(name).ok_or(OutputError::Missing(name))?;
    serde_json::from_value(Value::Array(items)).map_err(|error| OutputError::Shape(name, error))
}
