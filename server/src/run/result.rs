//! What a job yields.

use std::{sync::Arc, time::Duration};

use comfyport_store::artifacts::NewArtifact;
use comfyport_workflow::json::Value;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::{artifacts::Artifact, shelves::Stored};

/// What a try yielded. Serialises to what is kept of it.
#[derive(Debug, Clone, Serialize)]
pub struct Yield {
    /// Results by name, in the endpoint's order.
    #[serde(serialize_with = "by_name")]
    pub outputs: Vec<Named>,
    /// The values it was made with, seeds included.
    pub params: Box<RawValue>,
    /// The engine's name.
    pub engine: String,
    /// Whether the engine made its results up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Where the time went.
    pub timing: Timing,
}

/// A [`Yield`] as it is read again.
#[derive(Debug, Deserialize)]
pub struct Kept<'k> {
    /// Results by name.
    #[serde(borrow)]
    pub outputs: &'k RawValue,
    /// The values it was made with.
    #[serde(borrow)]
    pub params: &'k RawValue,
    /// The engine's name.
    pub engine: String,
    /// Whether the engine made its results up.
    #[serde(default)]
    pub simulated: bool,
    /// Where the time went.
    #[serde(borrow)]
    pub timing: &'k RawValue,
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
    /// Its place among the files of its output.
    pub position: u32,
    /// A small picture of it, if one was asked for.
    pub thumbnail: Option<Box<FileItem>>,
    /// Why it is not what it was to be made.
    pub left_as_is: Option<String>,
    /// Its copy in a bucket.
    pub stored: Option<Stored>,
}

/// What is added to the name of an output for its small pictures.
pub const THUMBNAIL: &str = ".thumbnail";

/// Where the time of a job went, in whole milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// In our queue, earlier tries included.
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

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Yield {
    /// The output files.
    pub fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.files()
            .flat_map(|(_, file)| [Some(file), file.thumbnail.as_deref()])
            .flatten()
            .map(|file| &*file.artifact)
    }

    /// What the job store is to remember of the output files.
    pub fn records(&self) -> Vec<NewArtifact> {
        let records = self.files().flat_map(|(output, file)| {
            let small = file.thumbnail.as_ref();
            let small =
                small.map(|small| small.artifact.record(&format!("{output}{THUMBNAIL}"), file.position));
            [Some(file.artifact.record(output, file.position)), small]
        });
        records.flatten().collect()
    }

    fn files(&self) -> impl Iterator<Item = (&str, &FileItem)> {
        self.outputs.iter().flat_map(|output| {
            output.items.iter().filter_map(|item| match item {
                Item::File(file) => Some((output.name.as_str(), file)),
                Item::Text(_) | Item::Json(_) => None,
            })
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
        if let Some(duration) = self.artifact.duration {
            map.serialize_entry("duration_s", &thousandths(duration.as_secs_f64()))?;
        }
        if let Some(fps) = self.artifact.fps {
            map.serialize_entry("fps", &thousandths(fps))?;
        }
        if let Some(thumbnail) = &self.thumbnail {
            map.serialize_entry("thumbnail", thumbnail)?;
        }
        if let Some(stored) = &self.stored {
            map.serialize_entry("stored", stored)?;
        }
        if let Some(why) = &self.left_as_is {
            map.serialize_entry("left_as_is", why)?;
        }
        map.end()
    }
}

/// No header is more exact.
fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn by_name<S: Serializer>(outputs: &[Named], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(outputs.iter().map(|output| (&output.name, &output.items)))
}
