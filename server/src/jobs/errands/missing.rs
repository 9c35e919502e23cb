//! Jobs that wait because no engine has what they need: what it takes is fetched, where that is allowed.
//!
//! What is missing is an errand like any other, one for each need, however many jobs have it. They stay in the queue, and
//! are given out as soon as an engine has everything. If the errand fails, so do they.

use std::{collections::BTreeSet, sync::Arc};

use comfyport_store::{Job, State, StoreError, claim::Lane, list::Filter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MOST, read};
use crate::{
    jobs::{Accepted, Asked, Jobs, dispatch, lock},
    problem::{Code, Problem},
    readiness::Requirement,
    run::Update,
    supplies::{
        board::Progress,
        errand::{Errand, Kind},
    },
};

/// Lanes that are looked at together.
const LANES: usize = 256;

/// What a queued job waits for, as it is kept with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// `models` or `packs`.
    #[serde(rename = "for")]
    pub what: String,
    /// The errand.
    pub job: Uuid,
    /// What is fetched or installed.
    pub items: Vec<String>,
}

impl Waiting {
    fn of(job: &Job, errand: &Errand) -> Self {
        let what = if errand.packs.is_empty() { "models" } else { "packs" };
        Self { what: what.to_owned(), job: job.id, items: errand.names() }
    }

    /// What a queued job waits for, if it is anything but an engine.
    pub fn read(job: &Job) -> Option<Self> {
        let kept = job.progress.as_deref().filter(|_| job.state == State::Queued)?;
        serde_json::from_str(kept).ok()
    }

    fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Looks for jobs that no engine can run and that can be helped.
pub(super) async fn look(jobs: &Arc<Jobs>) -> Result<(), StoreError> {
    if !jobs.supplies.may_help() {
        return Ok(());
    }
    let (mut after, mut seen) = (None::<Lane>, BTreeSet::new());
    loop {
        let heads = jobs.store.heads(after.take(), LANES).await?;
        let endpoints = jobs.endpoints.now();
        for head in &heads {
            let served = endpoints.find(&head.workflow).is_some();
            if !served || !seen.insert(head.lane.need.clone()) {
                continue;
            }
            let Some(need) = dispatch::need(jobs, &head.lane.need).await? else { continue };
            // Only where all engines are known to lack something: the others are asked before anything is given out.
            if jobs.pool.places().iter().all(|place| place.could_run(&need) == Some(false)) {
                help(jobs, &head.lane.need, &need).await?;
            }
        }
        if heads.len() < LANES {
            return Ok(());
        }
        after = heads.last().map(|head| head.lane.clone());
    }
}

async fn help(jobs: &Arc<Jobs>, id: &str, need: &Requirement) -> Result<(), StoreError> {
    let Some(job) = errand_for(jobs, id, need).await? else { return Ok(()) };
    let Some(errand) = read(&job) else { return Ok(()) };
    let waiting = jobs.store.wait_for(id.to_owned(), Waiting::of(&job, &errand).write()).await?;
    lock(&jobs.waiting).entry(job.id).or_default().extend(waiting);
    Ok(())
}

/// The errand for a need: one that waits or runs already, or a new one, if there can be one.
async fn errand_for(jobs: &Arc<Jobs>, id: &str, need: &Requirement) -> Result<Option<Job>, StoreError> {
    if let Some(job) = under_way(jobs, id).await? {
        return Ok(Some(job));
    }
    let Some(errand) = jobs.mend(need).await else { return Ok(None) };
    let errand = Errand { waited_for: Some(id.to_owned()), ..errand };
    match jobs.submit_errand(errand.kind(), &errand, &Asked::by(String::new())).await {
        Ok(Accepted::New(accepted)) => Ok(accepted.into_iter().next()),
        Ok(Accepted::Before(_) | Accepted::Cached(_)) => Ok(None),
        Err(problem) => {
            tracing::warn!(why = problem.detail(), "what jobs need cannot be fetched at the moment");
            Ok(None)
        }
    }
}

/// The errand for a need that waits or runs already.
async fn under_way(jobs: &Jobs, need: &str) -> Result<Option<Job>, StoreError> {
    for kind in Kind::ALL {
        let filter = Filter {
            states: vec![State::Queued, State::Running],
            workflow: Some(kind.path().to_owned()),
            ..Filter::default()
        };
        let all = jobs.store.list(filter, MOST).await?;
        let is_it = |job: &Job| read(job).is_some_and(|errand| errand.waited_for.as_deref() == Some(need));
        if let Some(job) = all.into_iter().find(is_it) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// Tells those who watch jobs that wait for an errand how far it is.
pub(super) fn tell(jobs: &Jobs, errand: Uuid, progress: &Arc<Progress>) {
    let waiting = lock(&jobs.waiting).get(&errand).cloned().unwrap_or_default();
    for job in waiting {
        jobs.hub().live(job, Update::Errand(Arc::clone(progress)));
    }
}

/// Ends the jobs that wait for an errand that came to nothing.
pub(super) async fn fail(jobs: &Jobs, job: &Job, errand: &Errand, why: &str) {
    lock(&jobs.waiting).remove(&job.id);
    let Some(need) = &errand.waited_for else { return };
    let detail = format!("what the workflow needs could not be had: {why}");
    let problem = String::from_utf8(Problem::new(Code::SuppliesFailed, detail).to_json()).unwrap_or_default();
    let what = Waiting::of(job, errand).write();
    loop {
        match jobs.store.fail_waiting(need.clone(), what.clone(), problem.clone()).await {
            Ok(failed) if failed.is_empty() => return,
            Ok(failed) => failed.iter().for_each(|job| jobs.counts.unrun(job)),
            // They are found again, and another errand is tried for them.
            Err(error) => {
                tracing::warn!(%error, "jobs that wait for nothing any more could not be ended");
                return;
            }
        }
    }
}

/// What jobs waited for is there. Where the engine does not see it, it is not what they need.
pub(super) async fn succeeded(jobs: &Jobs, job: &Job, errand: &Errand) {
    if let Some(need) = errand.waited_for.as_deref().and_then(|id| jobs.memory.known_need(id))
        && let Some(place) = jobs.pool.place(&errand.engine)
        && let Ok(missing) = place.lacks(&need).await
        && !missing.is_empty()
    {
        let why = format!(
            "it was fetched, and engine `{}` does not list it: {}; is its folder in the settings the one that its ComfyUI reads?",
            errand.engine,
            missing.sentence()
        );
        fail(jobs, job, errand, &why).await;
    }
    lock(&jobs.waiting).remove(&job.id);
}

impl Jobs {
    /// What would have to be fetched for an engine of ours to have what is needed; nothing if that is not allowed, or
    /// would not be enough.
    pub(in crate::jobs) async fn mend(&self, need: &Requirement) -> Option<Errand> {
        if !self.supplies.may_help() {
            return None;
        }
        let endpoints = self.endpoints.now();
        for site in self.supplies.sites() {
            let Some(place) = self.pool.place(&site.engine) else { continue };
            let Ok(missing) = place.lacks(need).await else { continue };
            if let Some(errand) = self.supplies.mend(site, &missing, &endpoints) {
                return Some(errand);
            }
        }
        None
    }
}
