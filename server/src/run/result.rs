//! The JSON that a run ends with.

use std::{sync::Arc, time::Duration};

use comfyport_workflow::json::Value;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::artifacts::Artifact;

/// What a run yielded. Serialises to the answer of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunResult {
    /// The run's id; its output files are found under it.
    #[serde(serialize_with = "as_text")]
    pub id: Uuid,
    /// Always `succeeded`: everything else is a problem.
    pub status: &'static str,
    /// The endpoint's path.
    pub workflow: String,
    /// Results by name, in the endpoint's order.
    #[serde(serialize_with = "by_name")]
    pub outputs: Vec<Named>,
    /// The values the run was made with, seeds included.
    pub params: Box<RawValue>,
    /// The engine's name.
    pub engine: String,
    /// Whether the engine made its results up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Where the time went.
    pub timing: Timing,
}

/// One named output.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name callers use.
    pub name: String,
    /// What it yielded.
    pub items: Vec<Item>,
}

/// One thing that an output yielded.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Item {
    /// A stored file.
    File(FileItem),
    /// Text, as it is.
    Text(String),
    /// Something else that a node reported.
    Json(Value),
}

/// A stored output file.
#[derive(Debug, Clone)]
pub struct FileItem {
    /// Where it is served.
    pub url: String,
    /// The file.
    pub artifact: Arc<Artifact>,
    /// Its bytes in base64, where the caller asked for them.
    pub data: Option<String>,
}

/// Where the time of a run went, in whole milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Timing {
    /// Waiting for a place and making input files available.
    pub prepare_ms: u64,
    /// With the engine, its queue included.
    pub engine_ms: u64,
    /// Fetching the outputs.
    pub fetch_ms: u64,
    /// All of it.
    pub total_ms: u64,
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl RunResult {
    /// The drawn or given seeds, as `name=value` pairs for a header.
    pub fn seed(&self) -> Option<String> {
        let params: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(self.params.get()).ok()?;
        params.get("seed").filter(|seed| seed.is_number()).map(ToString::to_string)
    }

    /// The stored files, in order.
    pub fn files(&self) -> impl Iterator<Item = &FileItem> {
        self.outputs.iter().flat_map(|output| &output.items).filter_map(|item| match item {
            Item::File(file) => Some(file),
            Item::Text(_) | Item::Json(_) => None,
        })
    }
}

impl Serialize for FileItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("url", &self.url)?;
        map.serialize_entry("content_type", &self.artifact.content_type)?;
        map.serialize_entry("size", &self.artifact.size)?;
        map.serialize_entry("sha256", &self.artifact.sha256)?;
        map.serialize_entry("filename", &self.artifact.filename)?;
        if let Some((width, height)) = self.artifact.dimensions {
            map.serialize_entry("width", &width)?;
            map.serialize_entry("height", &height)?;
        }
        if let Some(data) = &self.data {
            map.serialize_entry("data", data)?;
        }
        map.end()
    }
}

fn as_text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn by_name<S: Serializer>(outputs: &[Named], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(outputs.iter().map(|output| (&output.name, &output.items)))
}
