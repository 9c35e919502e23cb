//! What jobs yielded, as assets.
//!
//! The id of one is that of its job and where it is in the result: `{job}-{output}-{item}`, both counted from 0.

use comfyport_store::{Job, artifacts::Artifact};
use indexmap::IndexMap;
use serde_json::{Value, json};
use uuid::Uuid;

use super::link;
use crate::{
    access::Caller,
    app::AppState,
    jobs::{GRAPHS, body::time},
    problem::Problem,
    run::Kept,
};

/// Something that a node yielded.
#[derive(Debug)]
pub(super) struct Output {
    id: String,
    job: Uuid,
    node: String,
    created_at: i64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    File(Box<Artifact>),
    Text(String),
}

impl Output {
    /// All that a job yielded and that is kept.
    pub(super) async fn all(app: &AppState, job: &Job) -> Result<Vec<Self>, Problem> {
        let files = app.jobs.store.artifacts(job.id).await.map_err(Problem::from)?;
        let mut all = Vec::new();
        for (at, (node, items)) in results(job).into_iter().enumerate() {
            for (item, value) in items.iter().enumerate() {
                let Some(content) = content(value, &files) else { continue };
                all.push(Self {
                    id: format!("{}-{at}-{item}", job.id),
                    job: job.id,
                    node: node.clone(),
                    created_at: job.ended_at.unwrap_or(job.created_at),
                    content,
                });
            }
        }
        Ok(all)
    }

    /// The one of this id, if its job is one that the caller may know of.
    pub(super) async fn find(app: &AppState, caller: &Caller, id: &str) -> Result<Option<Self>, Problem> {
        let job = id.rsplitn(3, '-').nth(2).and_then(|job| Uuid::try_parse(job).ok());
        let Some(job) = job else { return Ok(None) };
        let job = app.jobs.store.job(job).await.map_err(Problem::from)?;
        let Some(job) = job.filter(|job| caller.sees(&job.owner) && job.workflow == GRAPHS) else {
            return Ok(None);
        };
        Ok(Self::all(app, &job).await?.into_iter().find(|output| output.id == id))
    }

    /// As part of a job.
    pub(super) fn shown(&self, app: &AppState, base: &str) -> Value {
        let (url, until) = link(app, base, &self.id);
        json!({
            "node_id": self.node,
            "name": self.name(),
            "type": self.kind(),
            "content_type": self.content_type(),
            "size_bytes": self.size(),
            "id": self.id,
            "hash": null,
            "url": url,
            "url_expires_at": time(until),
            "job_id": self.job,
        })
    }

    /// By itself.
    pub(super) fn as_asset(&self, app: &AppState, base: &str) -> Value {
        let (url, until) = link(app, base, &self.id);
        let keep = i64::try_from(app.config.artifacts.keep_s).unwrap_or(i64::MAX).saturating_mul(1000);
        json!({
            "id": self.id,
            "hash": null,
            "size_bytes": self.size(),
            "content_type": self.content_type(),
            "file_path": self.name(),
            "created_at": time(self.created_at),
            "url": url,
            "url_expires_at": time(until),
            "expires_at": time(self.created_at.saturating_add(keep)),
            "job_id": self.job,
        })
    }

    fn name(&self) -> String {
        match &self.content {
            Content::File(file) => file.file.filename.clone(),
            Content::Text(_) => "text.txt".to_owned(),
        }
    }

    fn content_type(&self) -> &str {
        match &self.content {
            Content::File(file) => &file.file.content_type,
            Content::Text(_) => "text/plain; charset=utf-8",
        }
    }

    fn size(&self) -> u64 {
        match &self.content {
            Content::File(file) => file.file.size,
            Content::Text(text) => text.len() as u64,
        }
    }

    fn kind(&self) -> &'static str {
        let family = self.content_type().split('/').next().unwrap_or_default();
        match family {
            "image" => "image",
            "video" => "video",
            "audio" => "audio",
            "text" => "text",
            _ if self.name().ends_with(".latent") => "latent",
            _ => "file",
        }
    }
}

/// What a job yielded, by node.
fn results(job: &Job) -> IndexMap<String, Vec<Value>> {
    let kept: Option<Kept<'_>> = job.result.as_deref().and_then(|text| serde_json::from_str(text).ok());
    kept.and_then(|kept| serde_json::from_str(kept.outputs.get()).ok()).unwrap_or_default()
}

/// A file that is kept, text, or anything else as the JSON that it is.
fn content(value: &Value, files: &[Artifact]) -> Option<Content> {
    if let Some(url) = value.get("url").and_then(Value::as_str) {
        let is_it = |file: &&Artifact| {
            url == format!("/jobs/{}/outputs/{}/{}", file.job, file.file.output, file.file.position)
        };
        return Some(Content::File(Box::new(files.iter().find(is_it)?.clone())));
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(Content::Text(text))
}
