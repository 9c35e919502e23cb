//! Servers that share a store: saying that we live, noticing who does not, and taking over what nobody cares for.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use comfyport_store::{
    StoreError,
    fleet::{Orphan, Server},
};

use uuid::Uuid;

use super::{Jobs, dispatch, errands};
use crate::run::Start;

/// What is remembered between two looks.
#[derive(Debug, Default)]
struct Memory {
    pulse: Pulse,
    unattended: Unattended,
}

/// Tries that are ours on paper and that nobody here runs: the answer to a claim was lost, or an end could not be
/// written down. One look is not enough to tell, because what was just taken is not begun yet.
#[derive(Debug, Default)]
struct Unattended(HashMap<(Uuid, i64), Instant>);

impl Unattended {
    /// Those that nobody has run for `patience`.
    fn of(
        &mut self,
        held: &HashSet<(Uuid, i64)>,
        in_hand: &[(Uuid, i64)],
        patience: Duration,
    ) -> Vec<(Uuid, i64)> {
        let is_unattended = |one: &(Uuid, i64)| held.contains(one) && !in_hand.contains(one);
        self.0.retain(|one, _| is_unattended(one));
        let now = Instant::now();
        for one in held.iter().filter(|one| is_unattended(one)) {
            self.0.entry(*one).or_insert(now);
        }
        self.0
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= patience)
            .map(|(one, _)| *one)
            .collect()
    }
}

/// How other servers are known to live.
#[derive(Debug, Default)]
struct Pulse(HashMap<String, (i64, Instant)>);

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
    let mut memory = Memory::default();
    while !jobs.leaving.is_cancelled() {
        if let Err(error) = look(&jobs, &mut memory).await {
            tracing::error!(%error, "cannot say that this server lives");
        }
        tokio::select! {
            () = jobs.ears.fleet.notified() => {}
            () = tokio::time::sleep(jobs.settings.lease / 3) => {}
            () = jobs.leaving.cancelled() => {}
        }
    }
}

async fn look(jobs: &Arc<Jobs>, memory: &mut Memory) -> Result<(), StoreError> {
    let servers = jobs.store.beat(jobs.id.clone(), jobs.name.clone()).await?;
    for dead in memory.pulse.dead(&servers, &jobs.id, jobs.settings.lease) {
        tracing::warn!(server = dead, "a server is gone; its jobs are taken over");
        jobs.store.forget_server(dead).await?;
    }
    let in_hand = jobs.fences();
    let held = jobs.store.held(jobs.id.clone()).await?;
    for (id, fence) in in_hand.iter().copied().filter(|one| !held.contains(one)) {
        jobs.lose(id, fence);
    }
    for (id, fence) in memory.unattended.of(&held, &in_hand, jobs.settings.lease / 2) {
        tracing::warn!(job = %id, fence, "a job is ours and nobody runs it; it is begun again");
        jobs.store.hand_over(id, fence).await?;
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
        if errands::take_back(jobs, &orphan).await? {
            continue;
        }
        let place = orphan.engine.as_deref().and_then(|name| jobs.pool.place(name)).cloned();
        // The engine of a server that is gone may be gone with it: then the job goes back into the queue.
        let Some(place) = place else {
            requeue(jobs, orphan).await?;
            continue;
        };
        let Some(job) = jobs.store.take_over(orphan, jobs.id.clone()).await? else { continue };
        tracing::info!(job = %job.id, engine = place.name(), "a running job is taken over");
        taken += 1;
        // Known from now on, so that another engine can be found for it.
        dispatch::need(jobs, &job.need).await.ok();
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
    fn what_is_ours_and_run_by_nobody_is_found_at_the_second_look() {
        let one = |number| (Uuid::from_u128(number), 1);
        let held = HashSet::from([one(1), one(2)]);
        let mut unattended = Unattended::default();
        let hour = Duration::from_hours(1);
        assert!(unattended.of(&held, &[one(1)], hour).is_empty());
        assert_eq!(unattended.of(&held, &[one(1)], Duration::ZERO), [one(2)]);
        assert!(unattended.of(&held, &[one(1), one(2)], Duration::ZERO).is_empty());
        // What ended meanwhile is nobody's any more.
        assert!(unattended.of(&HashSet::new(), &[], Duration::ZERO).is_empty() && unattended.0.is_empty());
    }

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
