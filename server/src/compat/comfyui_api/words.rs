//! Jobs in their words: answers, and webhooks.
//!
//! A webhook is written down with the end of its job, without the bytes of files: in their place it says which file, and
//! [`enclose`] puts the file there when it is sent.

use comfyport_store::{Job, State, deliveries::Delivery};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use super::API;
use crate::{
    compat::{Enclosures, enclosures::Room},
    jobs::body,
    problem::{Code, Problem},
    run::{Envelope, Kept, KeptRequest, Options, Timing},
};

/// What stands for a file in a webhook that is written down.
const FILE: &str = "$output";

/// A job, its parts read.
pub(super) struct Told<'j> {
    job: &'j Job,
    envelope: Envelope,
    request: Option<KeptRequest>,
    kept: Option<Kept<'j>>,
}

/// An output file in the result of a job.
struct File {
    output: String,
    position: u32,
    filename: String,
    /// Where it was copied to.
    stored: Option<String>,
}

/// What callers are told of a job.
#[derive(Serialize)]
struct Said<'t> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(flatten)]
    repeated: &'t Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    id: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'t RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'t RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filenames: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<&'t RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'j> Told<'j> {
    pub(super) fn of(job: &'j Job) -> Self {
        let options: Options = serde_json::from_str(&job.options).unwrap_or_default();
        let envelope = options.envelope.filter(|envelope| envelope.api == API).unwrap_or_default();
        let kept = job.result.as_deref().and_then(|result| serde_json::from_str(result).ok());
        Self { job, envelope, request: KeptRequest::parse(&job.request), kept }
    }

    /// The same job as the answer to another request, which it answers just as well.
    pub(super) fn answering(self, envelope: Envelope) -> Self {
        Self { envelope, ..self }
    }

    /// What the caller calls the job, else what we call it.
    fn id(&self) -> String {
        self.envelope.id.clone().unwrap_or_else(|| self.job.id.to_string())
    }

    fn said<'t>(&'t self, id: &'t str, prompt: Option<&'t RawValue>) -> Said<'t> {
        let request = self.request.as_ref();
        Said {
            kind: None,
            timestamp: None,
            repeated: &self.envelope.said,
            status: None,
            id,
            input: request.and_then(KeptRequest::json),
            prompt: prompt.or_else(|| request.and_then(|request| request.graph.as_deref())),
            images: None,
            filenames: None,
            outputs: None,
            stats: None,
            error: None,
        }
    }

    /// That the job was accepted.
    pub(super) fn accepted(&self, prompt: Option<&RawValue>) -> String {
        let id = self.id();
        write(&Said { status: Some("ok"), ..self.said(&id, prompt) })
    }

    /// What it yielded.
    pub(super) async fn answer(
        &self,
        enclosures: &Enclosures,
        prompt: Option<&RawValue>,
    ) -> Result<String, Problem> {
        let mut room = enclosures.room();
        let mut images = Vec::new();
        let files = self.files();
        for file in &files {
            images.push(match &file.stored {
                Some(stored) => stored.as_str().into(),
                None => image(enclosures, self.job.id, &file.output, file.position, &mut room).await?,
            });
        }
        let id = self.id();
        Ok(write(&Said { images: Some(images), ..self.done(&id, &files, prompt) }))
    }

    fn done<'t>(&'t self, id: &'t str, files: &[File], prompt: Option<&'t RawValue>) -> Said<'t> {
        Said {
            filenames: Some(files.iter().map(|file| file.filename.clone()).collect()),
            outputs: self.kept.as_ref().map(|kept| kept.outputs),
            stats: Some(self.stats()),
            ..self.said(id, prompt)
        }
    }

    fn files(&self) -> Vec<File> {
        let outputs: IndexMap<String, Vec<Value>> = self
            .kept
            .as_ref()
            .and_then(|kept| serde_json::from_str(kept.outputs.get()).ok())
            .unwrap_or_default();
        let mut files = Vec::new();
        for (output, items) in outputs {
            let items = items.iter().filter(|item| item.get("url").is_some());
            files.extend((0..).zip(items).map(|(position, item)| File {
                output: output.clone(),
                position,
                filename: item["filename"].as_str().unwrap_or_default().to_owned(),
                stored: item["stored"]["url"].as_str().map(str::to_owned),
            }));
        }
        files
    }

    /// Where the time went, in milliseconds; times in milliseconds since 1970.
    fn stats(&self) -> Value {
        let timing =
            self.kept.as_ref().and_then(|kept| serde_json::from_str::<Timing>(kept.timing.get()).ok());
        let timing = timing.unwrap_or_default();
        let millis = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        let ended = self.job.ended_at.unwrap_or(self.job.created_at);
        let end = ended.saturating_sub(millis(timing.fetch_ms));
        json!({
            "comfy_execution": {
                "start": end.saturating_sub(millis(timing.engine_ms)),
                "end": end,
                "duration": timing.engine_ms,
                "nodes": {},
            },
            "preprocess_time": timing.prepare_ms,
            "comfy_round_trip_time": timing.engine_ms,
            "postprocess_time": timing.fetch_ms,
            "upload_time": 0,
            "total_time": timing.total_ms,
        })
    }
}

/// A file in base64, or its address; its address alone once it is no longer kept.
async fn image(
    enclosures: &Enclosures,
    job: Uuid,
    output: &str,
    position: u32,
    room: &mut Room,
) -> Result<Value, Problem> {
    let given = enclosures.at(job, output, position, room).await?;
    let given =
        given.ok_or_else(|| Problem::new(Code::OutputGone, "an output is no longer kept").about(job))?;
    Ok(given.data.into())
}

fn write(said: &impl Serialize) -> String {
    // Text, numbers and JSON that was read before: it can be written.
    serde_json::to_string(said).unwrap_or_default()
}

fn placeholder(file: &File) -> Value {
    match &file.stored {
        Some(stored) => stored.as_str().into(),
        None => json!({FILE: file.output, "position": file.position}),
    }
}

/// One webhook for the job.
pub(in crate::compat) fn whole(job: &Job, at: i64) -> String {
    let told = Told::of(job);
    let (id, timestamp) = (told.id(), Some(body::time(at)));
    if job.state != State::Succeeded {
        let problem: Value =
            body::problem(job).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let error = Some(problem["detail"].as_str().unwrap_or("the job failed").to_owned());
        return write(&Said { kind: Some("prompt.failed"), timestamp, error, ..told.said(&id, None) });
    }
    let files = told.files();
    let images = Some(files.iter().map(placeholder).collect());
    write(&Said { kind: Some("prompt.complete"), timestamp, images, ..told.done(&id, &files, None) })
}

/// What is told of one file.
#[derive(Serialize)]
struct One<'t> {
    event: &'static str,
    image: Value,
    id: &'t str,
    filename: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'t RawValue>,
    stats: Value,
}

/// A webhook for each file.
pub(in crate::compat) fn each(job: &Job) -> Vec<String> {
    let told = Told::of(job);
    let id = told.id();
    let one = |file: &File| {
        write(&One {
            event: "output.complete",
            image: placeholder(file),
            id: &id,
            filename: &file.filename,
            prompt: told.request.as_ref().and_then(|request| request.graph.as_deref()),
            stats: told.stats(),
        })
    };
    told.files().iter().map(one).collect()
}

/// Puts files into a webhook of ours. Nothing if there are none to put in.
pub(in crate::compat) async fn enclose(enclosures: &Enclosures, delivery: &Delivery) -> Option<String> {
    if !delivery.body.contains(FILE) {
        return None;
    }
    let mut members: IndexMap<String, Box<RawValue>> = serde_json::from_str(&delivery.body).ok()?;
    let mut room = enclosures.room();
    // Only where we put them: what callers write may look the same.
    let member = ["images", "image"].into_iter().find(|name| members.contains_key(*name))?;
    let mut value: Value = serde_json::from_str(members.get(member)?.get()).ok()?;
    let places = match &mut value {
        Value::Array(items) => items.iter_mut().collect(),
        one => vec![one],
    };
    for place in places {
        let Some(output) = place.get(FILE).and_then(Value::as_str) else { continue };
        let position =
            place.get("position").and_then(Value::as_u64).and_then(|one| u32::try_from(one).ok())?;
        *place = match enclosures.at(delivery.job, output, position, &mut room).await {
            Ok(Some(given)) => given.data.into(),
            // Erased meanwhile, or it cannot be read now: there is nothing to give.
            Ok(None) | Err(_) => Value::Null,
        };
    }
    members.insert(member.to_owned(), serde_json::value::to_raw_value(&value).ok()?);
    serde_json::to_string(&members).ok()
}
