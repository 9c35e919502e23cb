//! Letting go of what is old, waking what has waited long enough, counting.

use std::{sync::Arc, time::Duration};

use comfyport_store::{StoreError, retention::Limits};
use tokio::time::{Instant, MissedTickBehavior};

use super::Jobs;

/// How often jobs that pause or whose deadline passed are looked for.
const TICK: Duration = Duration::from_millis(500);

/// How often the queue is counted.
const COUNT: Duration = Duration::from_secs(2);

/// How often old jobs and files are let go of.
const SWEEP: Duration = Duration::from_secs(30);

/// Jobs and files in one sweep.
const AT_ONCE: u32 = 500;

/// Files that nobody refers to are removed when they are this old, and looked for as often: younger ones may be on their
/// way.
const STRAY: Duration = Duration::from_hours(1);

/// Goes on until the server has left.
pub(super) async fn run(jobs: Arc<Jobs>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut counted, mut swept, mut looked) = (Instant::now(), None::<Instant>, None::<Instant>);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = jobs.leaving.cancelled() => return,
        }
        report(jobs.store.wake().await.map(drop), "wake jobs");
        report(expire(&jobs).await, "end jobs whose deadline passed");
        if counted.elapsed() >= COUNT {
            counted = Instant::now();
            report(jobs.count_queued().await, "count the queue");
        }
        if swept.is_none_or(|swept| swept.elapsed() >= SWEEP) {
            swept = Some(Instant::now());
            report(sweep(&jobs).await, "let go of old jobs");
            report(uploads(&jobs).await, "let go of uploads that have expired");
            if looked.is_none_or(|looked| looked.elapsed() >= STRAY) {
                looked = Some(Instant::now());
                report(strays(&jobs).await, "look for stray files");
            }
        }
    }
}

fn report(done: Result<(), StoreError>, what: &str) {
    if let Err(error) = done {
        tracing::warn!(%error, "cannot {what}");
    }
}

async fn expire(jobs: &Jobs) -> Result<(), StoreError> {
    for job in jobs.store.expire(AT_ONCE as usize).await? {
        jobs.counts.unrun(&job);
    }
    Ok(())
}

async fn sweep(jobs: &Arc<Jobs>) -> Result<(), StoreError> {
    let before =
        |age: Duration| jobs.store.now().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    loop {
        let limits = Limits {
            jobs_before: before(jobs.settings.keep),
            artifacts_before: before(jobs.settings.keep_files),
            artifact_bytes: jobs.settings.keep_bytes,
            at_once: AT_ONCE,
        };
        let swept = jobs.store.sweep(limits).await?;
        jobs.counts.kept(swept.bytes);
        let done = swept.jobs < AT_ONCE as usize;
        let (owner, files) = (Arc::clone(jobs), swept.files);
        tokio::task::spawn_blocking(move || owner.files.remove(&files)).await.ok();
        if done {
            return Ok(());
        }
    }
}

/// Their files go with the strays, unless a job has them.
async fn uploads(jobs: &Jobs) -> Result<(), StoreError> {
    while jobs.store.expire_uploads(AT_ONCE).await? == u64::from(AT_ONCE) {}
    Ok(())
}

/// Files of requests that are forgotten, and what a process left behind when it was killed.
async fn strays(jobs: &Arc<Jobs>) -> Result<(), StoreError> {
    let before = jobs.store.now().saturating_sub(i64::try_from(STRAY.as_millis()).unwrap_or(i64::MAX));
    while !jobs.files.are_ours() && jobs.store.sweep_chunks(before, AT_ONCE).await? == AT_ONCE as usize {}
    let owner = Arc::clone(jobs);
    let Ok(Ok(names)) = tokio::task::spawn_blocking(move || owner.files.old(STRAY)).await else {
        return Ok(());
    };
    let mut unwanted = Vec::new();
    for name in names {
        if !jobs.store.is_wanted(name.clone()).await? {
            unwanted.push(name);
        }
    }
    if !unwanted.is_empty() {
        tracing::info!(files = unwanted.len(), "files that no job refers to are removed");
        let owner = Arc::clone(jobs);
        tokio::task::spawn_blocking(move || owner.files.remove_old(&unwanted, STRAY)).await.ok();
    }
    Ok(())
}
