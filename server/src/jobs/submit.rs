//! Accepting requests.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use comfyport_store::{
    Job, StoreError,
    batches::NewBatch,
    submit::{Idempotency, NewJob, Submitted},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{GRAPHS, Jobs};
use crate::{
    artifacts::hex,
    endpoints::is_among,
    intake::{Purpose, Session},
    problem::{Code, Problem},
    readiness::Requirement,
    run::{Attached, Draft, GraphPlan, KeptRequest, Options, PRIORITY, Prepared, RunError},
};

/// Who does not wait for the end does not wait longer than this for engines that say nothing: they count as away.
const SILENCE: Duration = Duration::from_secs(2);

/// Who asks, and how.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The id that the job is to have.
    pub id: Uuid,
    /// Whose job it is; empty where callers are not told apart.
    pub owner: String,
    /// The caller's name for the request.
    pub idempotent: Option<Idempotent>,
    /// Whether the caller does not wait, so that engines may be away now.
    pub patient: bool,
    /// How many jobs of the owner may wait or run together.
    pub most_active: Option<u32>,
}

impl Asked {
    /// By a caller who says nothing more.
    pub fn by(owner: String) -> Self {
        Self { id: Uuid::new_v4(), owner, idempotent: None, patient: false, most_active: None }
    }
}

/// A caller's name for a request, by which he may repeat it.
#[derive(Debug, Clone)]
pub struct Idempotent {
    /// The key.
    pub key: String,
    /// What was asked for.
    pub fingerprint: String,
}

/// What became of a request.
#[derive(Debug)]
pub enum Accepted {
    /// These are on disk now.
    New(Vec<Job>),
    /// It was accepted before, as this job or batch.
    Before(Uuid),
    /// An identical request succeeded before.
    Cached(Box<Job>),
}

/// Places in the queue, given back unless they are kept.
struct Places<'j> {
    queued: &'j AtomicUsize,
    count: usize,
}

impl Places<'_> {
    fn keep(mut self) {
        self.count = 0;
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        // It may have been counted anew meanwhile.
        let less = |queued: usize| Some(queued.saturating_sub(self.count));
        self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
    }
}

impl Jobs {
    /// Accepts a request to an endpoint.
    pub async fn submit(&self, prepared: Prepared, asked: &Asked) -> Result<Accepted, Problem> {
        let options = prepared.options.clone();
        let key = self.cache_key(&prepared, &options, &asked.owner);
        if let Some(key) = &key
            && let Some(job) = self.cached(key).await
        {
            return Ok(Accepted::Cached(Box::new(job)));
        }
        let mut job = self.keep(prepared, asked).await?;
        job.cache_key = key;
        self.accept(vec![job], None, asked).await
    }

    /// Accepts a graph that a caller sent, with the files that came along.
    pub async fn submit_graph(
        &self,
        graph: &str,
        attached: Vec<Attached>,
        plan: &GraphPlan,
        options: &Options,
        asked: &Asked,
    ) -> Result<Accepted, Problem> {
        let kept = KeptRequest::of_graph(graph, attached);
        let kept = kept.ok_or_else(|| Problem::new(Code::MalformedRequest, "the graph is not JSON"))?;
        let files = kept.files().to_vec();
        let need = Requirement::of_classes(GRAPHS, plan.classes());
        self.pool.choose_by_classes(&plan.classes()).await?;
        let job = self.new_job(GRAPHS, &need, kept.write(), files, options, asked);
        self.accept(vec![job], None, asked).await
    }

    /// Accepts several requests to an endpoint together.
    pub async fn submit_batch(
        &self,
        requests: Vec<Prepared>,
        shape: String,
        asked: &Asked,
    ) -> Result<(Uuid, Accepted), Problem> {
        let workflow = requests.first().map(|one| one.endpoint.path.to_string()).unwrap_or_default();
        let mut jobs = Vec::with_capacity(requests.len());
        for prepared in requests {
            let mut job = self.keep(prepared, asked).await?;
            job.id = Uuid::new_v4();
            jobs.push(job);
        }
        let batch = NewBatch { id: Uuid::new_v4(), workflow, owner: asked.owner.clone(), shape };
        let id = batch.id;
        Ok((id, self.accept(jobs, Some(batch), asked).await?))
    }

    /// Accepts what a job that has ended was asked for once more, as a job of its own.
    pub async fn submit_again(&self, job: &Job, asked: &Asked) -> Result<Accepted, Problem> {
        let need = self.store.need(job.need.clone()).await.map_err(Problem::from)?;
        let need =
            need.ok_or_else(|| Problem::new(Code::Internal, "what the job needs is no longer known"))?;
        let mut options: Options = serde_json::from_str(&job.options).unwrap_or_default();
        options.deadline = None;
        let inputs = self.store.inputs(job.id).await.map_err(Problem::from)?;
        let new = NewJob {
            need: (job.need.clone(), need),
            inputs,
            ..self.described(&job.workflow, job.request.clone(), &options, asked)
        };
        self.accept(vec![new], None, asked).await
    }

    /// What a caller's key led to before. A key that was used for something else is refused.
    pub async fn remembered(&self, asked: &Asked) -> Result<Option<Uuid>, Problem> {
        let Some(wanted) = &asked.idempotent else { return Ok(None) };
        let known =
            self.store.remembered(asked.owner.clone(), wanted.key.clone()).await.map_err(Problem::from)?;
        match known {
            Some((fingerprint, _)) if fingerprint != wanted.fingerprint => Err(mismatch()),
            known => Ok(known.map(|(_, target)| target)),
        }
    }

    pub(super) async fn accept(
        &self,
        jobs: Vec<NewJob>,
        batch: Option<NewBatch>,
        asked: &Asked,
    ) -> Result<Accepted, Problem> {
        if self.is_draining() {
            return Err(Problem::new(Code::Stopping, "the server is about to stop"));
        }
        let places = self.hold_places(jobs.len()).ok_or_else(|| {
            let detail = format!("{} jobs wait already (`jobs.max_queued`)", self.queued());
            Problem::new(Code::Busy, detail)
        })?;
        let idempotency = asked.idempotent.as_ref().map(|wanted| Idempotency {
            scope: asked.owner.clone(),
            key: wanted.key.clone(),
            fingerprint: wanted.fingerprint.clone(),
            expires_at: self.store.now().saturating_add(millis(self.settings.remember)),
        });
        match self.store.submit(jobs, batch, idempotency).await.map_err(Problem::from)? {
            Submitted::New(jobs) => {
                places.keep();
                for job in &jobs {
                    self.counts.accepted(job);
                }
                Ok(Accepted::New(jobs))
            }
            Submitted::Replay(target) => Ok(Accepted::Before(target)),
            Submitted::Mismatch => Err(mismatch()),
            Submitted::TooMany => {
                let most = asked.most_active.unwrap_or_default();
                let detail = format!("{most} jobs of this key may wait or run at the same time");
                Err(Problem::new(Code::TooManyJobs, detail))
            }
        }
    }

    /// Takes places in the queue before it is known whether they are needed: those who come together do not all see the
    /// same room.
    fn hold_places(&self, count: usize) -> Option<Places<'_>> {
        let places = Places { queued: &self.queued, count };
        let before = self.queued.fetch_add(count, Ordering::Relaxed);
        (before.saturating_add(count) <= self.settings.queued).then_some(places)
    }

    /// Takes the files of a request in, and answers what is to be run. All faults come back together.
    pub async fn prepare(
        &self,
        mut draft: Draft,
        owner: &str,
        purpose: Purpose,
    ) -> Result<Prepared, RunError> {
        draft.take(&self.take_in(owner, purpose)).await;
        draft.finish()
    }

    /// For files of requests that belong together: each address is asked once.
    pub fn take_in<'a>(&'a self, owner: &'a str, purpose: Purpose) -> Session<'a> {
        self.intake.session(&self.files, &self.store, owner, purpose)
    }

    /// What a request becomes if an engine could run it.
    async fn keep(&self, mut prepared: Prepared, asked: &Asked) -> Result<NewJob, Problem> {
        let need = prepared.requirement();
        let (options, workflow) = (prepared.options.clone(), prepared.endpoint.path.to_string());
        // Written before an engine gives names to what is told by address: another engine may have others.
        let kept = prepared.kept().clone();
        let chosen = self.pool.choose(&mut prepared);
        let chosen =
            if asked.patient { tokio::time::timeout(SILENCE, chosen).await.ok() } else { Some(chosen.await) };
        match chosen {
            None | Some(Ok(_)) => {}
            Some(Err(RunError::Unreachable { .. } | RunError::NoEngine { .. })) if asked.patient => {}
            // It waits until that is there.
            Some(Err(RunError::NotReady { .. } | RunError::Request { .. }))
                if self.mend(&need).await.is_some() => {}
            Some(Err(error)) => return Err(Problem::from(error)),
        }
        let files = kept.files().to_vec();
        Ok(self.new_job(&workflow, &need, kept.write(), files, &options, asked))
    }

    fn new_job(
        &self,
        workflow: &str,
        need: &Requirement,
        request: String,
        inputs: Vec<String>,
        options: &Options,
        asked: &Asked,
    ) -> NewJob {
        let requirement = serde_json::to_string(need).unwrap_or_default();
        NewJob { need: (need.id(), requirement), inputs, ..self.described(workflow, request, options, asked) }
    }

    pub(super) fn described(
        &self,
        workflow: &str,
        request: String,
        options: &Options,
        asked: &Asked,
    ) -> NewJob {
        let latest = self.store.now().saturating_add(millis(self.settings.max_wait));
        NewJob {
            id: asked.id,
            workflow: workflow.to_owned(),
            owner: asked.owner.clone(),
            priority: options.priority.unwrap_or(PRIORITY),
            need: (String::new(), String::new()),
            request,
            options: serde_json::to_string(options).unwrap_or_default(),
            tags: options.tags.iter().cloned().collect(),
            webhook: options.webhook.as_ref().and_then(|webhook| serde_json::to_string(webhook).ok()),
            deadline: Some(options.deadline.unwrap_or(latest)),
            max_attempts: options.max_attempts.unwrap_or(self.settings.max_attempts),
            cache_key: None,
            inputs: Vec::new(),
            most_active: asked.most_active,
        }
    }

    /// What identical requests have in common, if their results may be shared.
    fn cache_key(&self, prepared: &Prepared, options: &Options, owner: &str) -> Option<String> {
        let path = &*prepared.endpoint.path;
        let by_setting = || self.settings.cached.iter().any(|pattern| is_among(path, pattern));
        if !options.cache.unwrap_or_else(by_setting) {
            return None;
        }
        let mut hash = Sha256::new();
        let simulated = self.pool.places().iter().any(|place| place.engine.is_simulated());
        // What the endpoint makes of the values matters as much as the values.
        hash.update(prepared.fingerprint());
        hash.update([u8::from(simulated)]);
        // Nobody is answered with what belongs to another.
        hash.update(owner);
        // So does what becomes of the files.
        let files = (&options.convert, &options.thumbnail, &options.embedded);
        hash.update(serde_json::to_vec(&files).unwrap_or_default());
        Some(hex(&hash.finalize()))
    }

    async fn cached(&self, key: &str) -> Option<Job> {
        let since = self.store.now().saturating_sub(millis(self.settings.keep_files));
        let job = self.store.cached(key.to_owned(), since).await.ok().flatten()?;
        // A result whose files are gone is none.
        let files = self.store.artifacts(job.id).await.ok()?;
        let kept: crate::run::Kept<'_> = serde_json::from_str(job.result.as_deref()?).ok()?;
        let promised = kept.outputs.get().matches("\"url\":\"/jobs/").count();
        (files.len() >= promised).then_some(job)
    }
}

fn mismatch() -> Problem {
    Problem::new(Code::IdempotencyMismatch, "this Idempotency-Key was used before for another request")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the job store did not do what it was asked");
        let code = match error {
            StoreError::Full => Code::StorageFailed,
            StoreError::Unavailable(_) | StoreError::Contended | StoreError::Unusable(_) => {
                Code::StoreUnavailable
            }
            StoreError::Nonsense(_) => Code::Internal,
        };
        let detail = match code {
            Code::StorageFailed => "the disk of the job store is full; nothing was accepted",
            Code::StoreUnavailable => "jobs cannot be kept at the moment; nothing was accepted",
            _ => "something went wrong in the job store",
        };
        Self::new(code, detail)
    }
}
