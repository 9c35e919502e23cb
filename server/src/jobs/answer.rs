//! What somebody who waited for a job is answered.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_store::{Job, State, artifacts::Artifact};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::Jobs;
use crate::run::{Kept, THUMBNAIL};

/// The answer of a job that succeeded.
#[derive(Debug, Serialize)]
pub struct Answer<'j> {
    id: Uuid,
    status: &'static str,
    workflow: &'j str,
    outputs: Outputs<'j>,
    params: &'j RawValue,
    engine: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
    timing: &'j RawValue,
}

/// Results by name, in the endpoint's order.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outputs<'j> {
    AsKept(&'j RawValue),
    Inline(IndexMap<String, Vec<Value>>),
}

impl<'j> Answer<'j> {
    /// `None` if it did not succeed.
    pub fn of(job: &'j Job) -> Option<Self> {
        let kept: Kept<'j> = serde_json::from_str(job.result.as_deref()?).ok()?;
        Some(Self {
            id: job.id,
            status: State::Succeeded.as_str(),
            workflow: &job.workflow,
            outputs: Outputs::AsKept(kept.outputs),
            params: kept.params,
            engine: kept.engine,
            simulated: kept.simulated,
            timing: kept.timing,
        })
    }

    /// The engine's name.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// The drawn or given seed, if there is one of that name.
    pub fn seed(&self) -> Option<String> {
        // Read as text: seeds can be larger than what other numbers are exact for.
        let params: IndexMap<String, &RawValue> = serde_json::from_str(self.params.get()).ok()?;
        let seed = params.get("seed")?.get();
        seed.bytes().all(|byte| byte.is_ascii_digit()).then(|| seed.to_owned())
    }

    /// Adds the bytes of files in base64, as many as may be together. Those that are no longer kept are left out.
    pub async fn inline(mut self, jobs: &Jobs) -> std::io::Result<Self> {
        let Outputs::AsKept(raw) = self.outputs else { return Ok(self) };
        let Ok(mut outputs) = serde_json::from_str::<IndexMap<String, Vec<Value>>>(raw.get()) else {
            return Ok(self);
        };
        let files = jobs.store.artifacts(self.id).await.map_err(std::io::Error::other)?;
        let most = jobs.settings.inline_bytes;
        let mut left = most;
        for item in outputs.values_mut().flatten() {
            let is_it = |file: &&Artifact| item.get("url").and_then(Value::as_str) == Some(&url(file));
            let Some(file) = files.iter().find(is_it) else { continue };
            let Some(rest) = left.checked_sub(file.file.size) else {
                if let Some(item) = item.as_object_mut() {
                    let why = format!(
                        "with it, more than {most} bytes (`artifacts.max_inline_bytes`); it is at `url`"
                    );
                    item.insert("data_omitted".to_owned(), why.into());
                }
                continue;
            };
            left = rest;
            if let (Some(data), Some(item)) = (jobs.files.get(&file.file.file).await?, item.as_object_mut()) {
                item.insert("data".to_owned(), STANDARD.encode(data).into());
            }
        }
        self.outputs = Outputs::Inline(outputs);
        Ok(self)
    }
}

impl Jobs {
    /// The output files of a job, in the endpoint's order, without their small pictures.
    pub async fn files_of(&self, job: &Job) -> Result<Vec<Artifact>, comfyport_store::StoreError> {
        let mut files = self.store.artifacts(job.id).await?;
        let kept: Option<Kept<'_>> = job.result.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let names: IndexMap<String, &RawValue> =
            kept.and_then(|kept| serde_json::from_str(kept.outputs.get()).ok()).unwrap_or_default();
        files.retain(|file| !file.file.output.ends_with(THUMBNAIL) || names.contains_key(&file.file.output));
        files.sort_by_key(|file| (names.get_index_of(&file.file.output), file.file.position));
        Ok(files)
    }
}

fn url(file: &Artifact) -> String {
    format!("/jobs/{}/outputs/{}/{}", file.job, file.file.output, file.file.position)
}
