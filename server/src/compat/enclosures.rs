//! Files of jobs, as callers of other APIs are given them: in base64, or by an address that opens for a day.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_store::{Job, artifacts::Artifact, deliveries::Delivery};
use futures_util::{FutureExt, future::BoxFuture};

use super::comfyui_api;
use crate::{
    access::Access,
    app::AppState,
    config::Config,
    jobs::Jobs,
    problem::{Code, Problem},
    webhooks::Enclose,
};

/// How long links in answers live, in seconds.
const LINK: i64 = 24 * 60 * 60;

/// Gives out files of jobs.
#[derive(Debug)]
pub struct Enclosures {
    jobs: Arc<Jobs>,
    access: Arc<Access>,
    public_url: String,
    inline: u64,
}

/// A file, or where it is.
#[derive(Debug)]
pub(super) struct Given {
    /// The name to save it under.
    pub(super) filename: String,
    /// The file in base64, or its address.
    pub(super) data: String,
    /// Whether it is the file.
    pub(super) is_whole: bool,
}

/// So many bytes may still go into an answer in base64.
pub(super) struct Room(u64);

impl Enclosures {
    /// With what makes links.
    pub fn new(config: &Config, jobs: Arc<Jobs>, access: Arc<Access>) -> Self {
        let public_url = config.server.public_url.trim_end_matches('/').to_owned();
        Self { jobs, access, public_url, inline: config.compat.inline_bytes }
    }

    pub(super) fn of(app: &AppState) -> Self {
        Self::new(&app.config, Arc::clone(&app.jobs), Arc::clone(&app.access))
    }

    /// Room for the files of one answer.
    pub(super) fn room(&self) -> Room {
        Room(self.inline)
    }

    /// All files of a job: in base64 while all of them together fit, then by address.
    pub(super) async fn all(&self, job: &Job) -> Result<Vec<Given>, Problem> {
        let mut room = self.room();
        let mut given = Vec::new();
        for file in self.jobs.files_of(job).await.map_err(Problem::from)? {
            given.push(self.one(&file, &mut room).await.map_err(|error| lost(job, &error))?);
        }
        Ok(given)
    }

    /// One file, by where it is in the result of its job. `None` if it is no longer kept.
    pub(super) async fn at(
        &self,
        job: uuid::Uuid,
        output: &str,
        position: u32,
        room: &mut Room,
    ) -> Result<Option<Given>, Problem> {
        let file = self.jobs.store.artifact(job, output.to_owned(), position).await.map_err(Problem::from)?;
        let Some(file) = file else { return Ok(None) };
        let given = self.one(&file, room).await;
        given.map(Some).map_err(|error| {
            tracing::error!(%job, %error, "an output cannot be read");
            Problem::new(Code::OutputGone, "an output is no longer kept").about(job)
        })
    }

    async fn one(&self, file: &Artifact, room: &mut Room) -> std::io::Result<Given> {
        let filename = file.file.filename.clone();
        if let Some(rest) = room.0.checked_sub(file.file.size) {
            room.0 = rest;
            if let Some(data) = self.jobs.files.get(&file.file.file).await? {
                return Ok(Given { filename, data: STANDARD.encode(data), is_whole: true });
            }
        }
        Ok(Given { filename, data: self.link(file), is_whole: false })
    }

    /// An address of a file that opens without a key for a day.
    fn link(&self, file: &Artifact) -> String {
        let path = format!("/jobs/{}/outputs/{}/{}", file.job, file.file.output, file.file.position);
        let until = self.jobs.store.now() / 1000 + LINK;
        format!("{}{}", self.public_url, self.access.link(&path, until))
    }
}

impl Enclose for Enclosures {
    fn enclose<'d>(&'d self, delivery: &'d Delivery) -> BoxFuture<'d, Option<String>> {
        comfyui_api::enclose(self, delivery).boxed()
    }
}

fn lost(job: &Job, error: &std::io::Error) -> Problem {
    tracing::error!(job = %job.id, %error, "an output cannot be read");
    Problem::new(Code::OutputGone, "an output is no longer kept").about(job.id)
}
