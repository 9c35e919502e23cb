//! Whose prompts are in an engine's queue, and whether they move.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::engine::Queue;

/// How long a prompt that must not go on is looked for: it may still be on its way.
const ORPHANS_ARE_SOUGHT: Duration = Duration::from_mins(1);

/// How often an engine is told again to stop a prompt.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// What is known of the prompts of one engine.
#[derive(Debug, Default)]
pub(super) struct Prompts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    ours: HashSet<Uuid>,
    orphans: HashMap<Uuid, Orphan>,
    seen: Option<Seen>,
    looked_at: Option<Instant>,
    running: Vec<String>,
    moved: Option<Instant>,
}

/// A prompt of ours that must not go on.
#[derive(Debug)]
struct Orphan {
    since: Instant,
    told: Option<Instant>,
}

/// What a look at the queue showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) running: usize,
    pub(super) pending: usize,
    pub(super) ours: usize,
    pub(super) foreign: usize,
    /// Why nothing sent there would run.
    pub(super) blocked: Option<String>,
}

impl Prompts {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn own(&self, id: Uuid) {
        self.known().ours.insert(id);
    }

    pub(super) fn disown(&self, id: Uuid) {
        self.known().ours.remove(&id);
    }

    pub(super) fn orphan(&self, id: Uuid, now: Instant) {
        self.known().orphans.entry(id).or_insert(Orphan { since: now, told: None });
    }

    /// A prompt of ours moved.
    pub(super) fn moved(&self, now: Instant) {
        self.known().moved = Some(now);
    }

    /// Orphans that the engine is to be told of now.
    pub(super) fn to_tell(&self, now: Instant) -> Vec<Uuid> {
        let mut known = self.known();
        let due = |orphan: &Orphan| {
            orphan.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_AGAIN)
        };
        let orphans = known.orphans.iter_mut().filter(|(_, orphan)| due(orphan));
        orphans
            .map(|(id, orphan)| {
                orphan.told = Some(now);
                *id
            })
            .collect()
    }

    /// The engine could not be told: it is told at the next occasion.
    pub(super) fn not_told(&self, id: Uuid) {
        if let Some(orphan) = self.known().orphans.get_mut(&id) {
            orphan.told = None;
        }
    }

    pub(super) fn has_orphans(&self) -> bool {
        !self.known().orphans.is_empty()
    }

    pub(super) fn seen(&self) -> Option<Seen> {
        self.known().seen.clone()
    }

    pub(super) fn looked_at(&self) -> Option<Instant> {
        self.known().looked_at
    }

    /// A look showed nothing.
    pub(super) fn missed(&self) {
        let mut known = self.known();
        (known.seen, known.looked_at) = (None, Some(Instant::now()));
    }

    /// What is to be made of the queue that was asked for at `asked`.
    pub(super) fn saw(
        &self,
        queue: Queue,
        asked: Instant,
        now: Instant,
        grace: Duration,
        stall_after: Option<Duration>,
    ) -> Seen {
        let mut known = self.known();
        let Known { ours, orphans, running, moved, .. } = &mut *known;
        // An orphan that is gone and was sought for long enough will not come any more.
        orphans.retain(|id, orphan| {
            queue.contains(&id.to_string())
                || asked.saturating_duration_since(orphan.since) < ORPHANS_ARE_SOUGHT
        });
        // It was told before the prompt arrived.
        for (id, orphan) in orphans.iter_mut() {
            if queue.pending.contains(&id.to_string()) {
                orphan.told = None;
            }
        }
        let is_ours =
            |id: &str| Uuid::parse_str(id).is_ok_and(|id| ours.contains(&id) || orphans.contains_key(&id));
        if *running != queue.running || moved.is_none() {
            (*running, *moved) = (queue.running.clone(), Some(now));
        }
        let still_for = moved.map(|moved| now.saturating_duration_since(moved)).unwrap_or_default();
        let foreign_head = queue.running.iter().find(|id| !is_ours(id));
        let deaf = queue.running.iter().find(|id| {
            let orphan = Uuid::parse_str(id).ok().and_then(|id| orphans.get(&id));
            orphan.is_some_and(|orphan| {
                orphan.told.is_some_and(|_| now.saturating_duration_since(orphan.since) >= grace)
            })
        });
        let blocked = if let Some(id) = deaf {
            Some(format!("the prompt {id} was cancelled and does not stop"))
        } else if let Some(id) = foreign_head.filter(|_| stall_after.is_some_and(|after| still_for >= after))
        {
            let seconds = still_for.as_secs();
            Some(format!("the prompt {id} of somebody else has been running for {seconds} s"))
        } else {
            None
        };
        let all = queue.running.len() + queue.pending.len();
        let own = queue.running.iter().chain(&queue.pending).filter(|id| is_ours(id)).count();
        let seen = Seen {
            running: queue.running.len(),
            pending: queue.pending.len(),
            ours: own,
            foreign: all - own,
            blocked,
        };
        (known.seen, known.looked_at) = (Some(seen.clone()), Some(now));
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);
    const STALL: Option<Duration> = Some(Duration::from_mins(1));

    fn queue(running: &[&str], pending: &[&str]) -> Queue {
        let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Queue { running: own(running), pending: own(pending) }
    }

    #[test]
    fn ours_and_foreign_prompts_are_counted() {
        let (prompts, now, id) = (Prompts::default(), Instant::now(), Uuid::new_v4());
        prompts.own(id);
        let own = id.to_string();
        let seen = prompts.saw(queue(&["theirs"], &[&own, "more"]), now, now, GRACE, STALL);
        assert_eq!((seen.ours, seen.foreign, seen.running, seen.pending), (1, 2, 1, 2));
        prompts.disown(id);
        assert_eq!(prompts.saw(queue(&[], &[&own]), now, now, GRACE, STALL).foreign, 1);
    }

    #[test]
    fn a_foreign_prompt_that_runs_for_ever_blocks_until_it_moves() {
        let (prompts, now) = (Prompts::default(), Instant::now());
        let look = |ids: &[&str], seconds| {
            let at = now + Duration::from_secs(seconds);
            prompts.saw(queue(ids, &[]), at, at, GRACE, STALL).blocked
        };
        assert_eq!(look(&["theirs"], 0), None);
        assert_eq!(look(&["theirs"], 59), None);
        assert!(look(&["theirs"], 60).is_some_and(|why| why.contains("theirs") && why.contains("60 s")));
        assert_eq!(look(&["next"], 61), None);
        // Our own is watched by whoever sent it.
        let id = Uuid::new_v4();
        prompts.own(id);
        assert_eq!(look(&[&id.to_string()], 62), None);
        assert_eq!(look(&[&id.to_string()], 200), None);
    }

    #[test]
    fn an_orphan_is_told_of_sought_and_not_forgiven() {
        let (prompts, start, id) = (Prompts::default(), Instant::now(), Uuid::new_v4());
        let at = |seconds| start + Duration::from_secs(seconds);
        let own = id.to_string();
        let look = |running: &[&str], seconds| {
            prompts.saw(queue(running, &[]), at(seconds), at(seconds), GRACE, STALL)
        };
        prompts.orphan(id, start);
        assert_eq!(prompts.to_tell(at(0)), [id]);
        prompts.not_told(id);
        assert_eq!(prompts.to_tell(at(1)), [id]);
        assert!(prompts.to_tell(at(2)).is_empty());
        // It may be on its way still.
        assert_eq!(look(&[], 3).foreign, 0);
        prompts.saw(queue(&[], &[&own]), at(4), at(4), GRACE, STALL);
        assert_eq!(prompts.to_tell(at(4)), [id]);
        assert_eq!(look(&[&own], 9).blocked, None);
        let seen = look(&[&own], 10);
        assert!(seen.blocked.is_some() && seen.foreign == 0);
        assert_eq!(look(&[], 70).blocked, None);
        assert!(!prompts.has_orphans());
    }
}
