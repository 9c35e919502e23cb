//! Runs: how they are asked for, and what they end with.

use std::time::Duration;

use comfyport_endpoint::{Outputs, Response};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::Error;

/// How to run, rather than what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RunOptions {
    /// Whether results carry their bytes in base64 beside their URL.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
    /// Whether the stream of events carries preview pictures.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub previews: bool,
    /// When to give up, and to cancel the run.
    #[serde(rename = "timeout_s", serialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// 0 to 9; higher goes first. 5 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// When the run is to have ended, such as `2030-01-31T12:00:00Z`; then it has expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Tries, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Words to find the job by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Who is told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Anything to have back with the job.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Whether the run is cancelled when the connection breaks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_on_disconnect: bool,
    /// Whether the result of an identical request will do. The server's setting decides if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
    /// The form that still pictures are given out in, as `Conversion` in the server's OpenAPI document.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub convert: Map<String, Value>,
    /// A small picture beside each picture, as `Thumbnail` there.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub thumbnail: Map<String, Value>,
    /// `keep` if pictures keep what the engine wrote into them, such as the whole workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedded: Option<String>,
}

/// An address, and what it wants to hear of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Webhook {
    /// Where to post to.
    pub url: String,
    /// Such as `job.running`; the ends if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

#[expect(clippy::ref_option, reason = "serde hands it over like this")]
fn seconds<S: Serializer>(timeout: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    timeout.unwrap_or_default().as_secs_f64().serialize(serializer)
}

impl RunOptions {
    /// As JSON, if there is anything to say.
    pub(crate) fn to_json(&self) -> Option<Box<RawValue>> {
        if *self == Self::default() { None } else { to_raw_value(self).ok() }
    }
}

/// A run that succeeded.
#[derive(Debug, Clone)]
pub struct Run<T> {
    /// Its id.
    pub id: String,
    /// The endpoint's path.
    pub workflow: String,
    /// Its named outputs.
    pub outputs: T,
    /// The values it was made with, defaults and seeds included. Whole numbers are exact.
    pub params: Map<String, Value>,
    /// The engine that ran it.
    pub engine: String,
    /// Whether the engine made its results up.
    pub simulated: bool,
    /// Where the time went.
    pub timing: Timing,
}

/// Where the time of a run went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Timing {
    /// In the server's queue, earlier tries included.
    pub queued_ms: u64,
    /// Making input files available.
    pub prepare_ms: u64,
    /// With the engine, its queue included.
    pub engine_ms: u64,
    /// Fetching the outputs.
    pub fetch_ms: u64,
    /// All of it.
    pub total_ms: u64,
}

/// Whether a request would run.
#[derive(Debug, Clone, Deserialize)]
pub struct Verdict {
    /// Whether it would run now.
    pub ready: bool,
    /// The engine it would run on.
    pub engine: Option<String>,
    /// What each engine has to say, as JSON.
    #[serde(default)]
    pub engines: Vec<Value>,
    /// The values it would run with.
    pub params: Map<String, Value>,
}

/// A result before its outputs are typed.
#[derive(Deserialize)]
pub(crate) struct Untyped {
    id: String,
    workflow: String,
    outputs: Outputs,
    params: Map<String, Value>,
    engine: String,
    #[serde(default)]
    simulated: bool,
    timing: Timing,
}

impl Untyped {
    pub(crate) fn typed<T: Response>(mut self) -> Result<Run<T>, Error> {
        Ok(Run {
            outputs: T::from_outputs(&mut self.outputs)?,
            id: self.id,
            workflow: self.workflow,
            params: self.params,
            engine: self.engine,
            simulated: self.simulated,
            timing: self.timing,
        })
    }
}

impl<T> Run<T> {
    /// The seed, given or drawn, of a workflow with one called `seed`.
    pub fn seed(&self) -> Option<u64> {
        self.params.get("seed")?.as_u64()
    }
}
