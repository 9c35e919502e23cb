//! Servers that share a store: saying that we live, noticing who does not, and taking over what nobody cares for.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use comfyport_store::{
    StoreError,
    fleet::{Orphan, Server},
};

use super::{Jobs, dispatch};
use crate::run::Start;

/// How other servers are known to live.
#[derive(Debug, Default)]
pub(super) struct Pulse(HashMap<String, (i64, Instant)>);

impl Pulse {
    /// The servers whose beat has not changed for `patience`, by our own clock.
    fn dead(&mut self, servers: &[Server], own: &str, patience: Duration) -> Vec<String> {
        let now = Instant::now();
        self.0.retain(|id, _| servers.iter().any(|server| server.id == *id));
        let mut dead = Vec::new();
        for server in servers.iter().filter(|server| server.id != own) {
            let known = self.0.entry(server.id.clone()).or_insert((server.beat, now));
            if known.0 != server.beat {
                *known = (server.beat, now);
            } else if now.duration_since(known.1) >= patience {
                dead.push(server.id.clone());
            }
        }
        dead
    }
}

/// Beats, and takes over, until the server has left.
pub(super) async fn run(jobs: Arc<Jobs>) {
    let mut pulse = Pulse::default();
    while !jobs.leaving.is_cancelled() {
        if let Err(error) = look(&jobs, &mut pulse).await {
            tracing::error!(%error, "cannot say that this server lives");
        }
        tokio::select! {
            () = jobs.ears.fleet.notified() => {}
            () = tokio::time::sleep(jobs.settings.lease / 3) => {}
            () = jobs.leaving.cancelled() => {}
        }
    }
}

async fn look(jobs: &Arc<Jobs>, pulse: &mut Pulse) -> Result<(), StoreError> {
    let servers = jobs.store.beat(jobs.id.clone(), jobs.name.clone()).await?;
    for dead in pulse.dead(&servers, &jobs.id, jobs.settings.lease) {
        tracing::warn!(server = dead, "a server is gone; its jobs are taken over");
        jobs.store.forget_server(dead).await?;
    }
    let in_hand = jobs.fences();
    let held = jobs.store.held(jobs.id.clone()).await?;
    for (id, fence) in in_hand.into_iter().filter(|one| !held.contains(one)) {
        jobs.lose(id, fence);
    }
    for id in jobs.store.cancellations(jobs.id.clone()).await? {
        jobs.cancel_in_hand(id);
    }
    let drained = jobs.store.drained().await?;
    for place in jobs.pool.places() {
        place.set_drained(drained.iter().any(|name| name == place.name()));
    }
    if !jobs.draining.is_cancelled() {
        take_over(jobs).await?;
    }
    Ok(())
}

/// Takes over what nobody cares for, where we have the engine.
pub(super) async fn take_over(jobs: &Arc<Jobs>) -> Result<usize, StoreError> {
    let mut taken = 0;
    for orphan in jobs.store.orphans().await? {
        let place = orphan.engine.as_deref().and_then(|name| jobs.pool.place(name)).cloned();
        // The engine of a server that is gone may be gone with it: then the job goes back into the queue.
        let Some(place) = place else {
            requeue(jobs, orphan).await?;
            continue;
        };
        let Some(job) = jobs.store.take_over(orphan, jobs.id.clone()).await? else { continue };
        tracing::info!(job = %job.id, engine = place.name(), "a running job is taken over");
        taken += 1;
        let start = Start::Adopt { submitted: job.submitted };
        jobs.memory_took(&job);
        let occupied = place.occupy();
        dispatch::launch(jobs, job, place, start, occupied);
    }
    Ok(taken)
}

/// An engine that this server does not have, of a server that is gone: another server may have it. After a while nobody
/// is waited for.
async fn requeue(jobs: &Arc<Jobs>, orphan: Orphan) -> Result<(), StoreError> {
    let patience = jobs.settings.lease * 2;
    let since = jobs.strays(orphan.id);
    if since.elapsed() < patience {
        return Ok(());
    }
    let Some(job) = jobs.store.take_over(orphan, jobs.id.clone()).await? else { return Ok(()) };
    let back = comfyport_store::transition::Return {
        counts: job.submitted,
        crashed: false,
        pause: None,
        avoid: None,
        reason: "worker_lost".to_owned(),
    };
    jobs.store.give_back(job.id, job.fence, back).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_counting_is_gone_and_we_never_are() {
        let server = |id: &str, beat| Server { id: id.to_owned(), name: String::new(), beat, started_at: 0 };
        let mut pulse = Pulse::default();
        let never = Duration::from_hours(1);
        assert!(pulse.dead(&[server("a", 1), server("b", 1)], "a", never).is_empty());
        assert!(pulse.dead(&[server("a", 1), server("b", 2)], "a", Duration::ZERO).is_empty());
        assert_eq!(pulse.dead(&[server("a", 1), server("b", 2)], "a", Duration::ZERO), ["b"]);
        assert!(pulse.dead(&[server("a", 1)], "a", Duration::ZERO).is_empty());
        assert!(pulse.0.is_empty());
    }
}
