//! Giving out work: which of the waiting jobs goes next, and where.
//!
//! Higher priorities first. Among callers, whoever has the least running, then whoever was served the longest ago.
//! Among the lanes of a caller, the oldest job, where a job whose workflow an idle engine ran last counts as older by
//! `jobs.affinity_wait_s`: a box that has the models loaded goes on with them, and nobody is passed over for longer.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use comfyport_store::{
    Job, StoreError,
    claim::{Assignment, Head, Lane},
};

use super::{Jobs, runner::Runner};
use crate::{
    pool::{Occupied, Place, Room},
    readiness::Requirement,
    run::Start,
};

/// Lanes that are looked at in one round. More are looked at in the next one, from where this one ended.
const LANES: usize = 256;

/// Without any news, the queue is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// What whoever gives out work remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Requirements by the ids of needs.
    needs: Mutex<HashMap<String, Arc<Requirement>>>,
    /// How much each caller has running here.
    running: Mutex<BTreeMap<String, usize>>,
    /// When each caller was last served, as a count.
    served: Mutex<(u64, BTreeMap<String, u64>)>,
    /// Needs whose engines' lists are being read.
    asking: Mutex<HashSet<String>>,
}

/// Callers that were served long ago are forgotten beyond this.
const CALLERS: usize = 10_000;

/// Requirements beyond this are read again.
const NEEDS: usize = 10_000;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub(super) fn note_taken(&self, owner: &str) {
        *lock(&self.running).entry(owner.to_owned()).or_default() += 1;
        let mut served = lock(&self.served);
        served.0 += 1;
        let now = served.0;
        if served.1.len() >= CALLERS {
            served.1.clear();
        }
        served.1.insert(owner.to_owned(), now);
    }

    pub(super) fn let_go(&self, owner: &str) {
        let mut running = lock(&self.running);
        if let Some(count) = running.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                running.remove(owner);
            }
        }
    }

    /// What jobs need, if it was read already.
    pub(super) fn known_need(&self, id: &str) -> Option<Arc<Requirement>> {
        lock(&self.needs).get(id).cloned()
    }

    fn load_of(&self, owner: &str) -> (usize, u64) {
        let running = lock(&self.running).get(owner).copied().unwrap_or(0);
        (running, lock(&self.served).1.get(owner).copied().unwrap_or(0))
    }
}

/// The head of a lane, and what its jobs need.
type Candidate = (Head, Arc<Requirement>);

/// A job to be taken, and the place that is kept free for it.
struct Choice {
    head: Head,
    need: Arc<Requirement>,
    place: Arc<Place>,
    occupied: Occupied,
}

/// Gives out work until the server does not take any more.
pub(super) async fn run(jobs: Arc<Jobs>) {
    let (mut after, mut changes) = (None, jobs.pool.changed());
    while !jobs.draining.is_cancelled() {
        let round = round(&jobs, &mut after).await;
        let again = match round {
            Ok(taken) => taken > 0 || after.is_some(),
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read");
                false
            }
        };
        if again {
            continue;
        }
        tokio::select! {
            () = jobs.ears.queue.notified() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = jobs.draining.cancelled() => {}
        }
    }
}

/// Gives out what fits. Answers how many jobs were taken.
async fn round(jobs: &Arc<Jobs>, after: &mut Option<Lane>) -> Result<usize, StoreError> {
    if !jobs.pool.places().iter().any(has_room) {
        *after = None;
        return Ok(0);
    }
    let heads = jobs.store.heads(after.take(), LANES).await?;
    if heads.len() == LANES {
        *after = heads.last().map(|head| head.lane.clone());
    }
    let candidates = candidates(jobs, heads).await?;
    let choices = choose(jobs, candidates);
    if choices.is_empty() {
        return Ok(0);
    }
    let assignments = choices.iter().map(|choice| Assignment {
        lane: choice.head.lane.clone(),
        engine: choice.place.name().to_owned(),
        concurrency: u32::try_from(choice.place.slots()).unwrap_or(u32::MAX),
    });
    let taken = jobs.store.claim(assignments.collect(), jobs.id.clone()).await?;
    Ok(start(jobs, choices, taken))
}

/// Heads of lanes with what they need, where this server can run them at all.
async fn candidates(jobs: &Arc<Jobs>, heads: Vec<Head>) -> Result<Vec<Candidate>, StoreError> {
    let mut candidates = Vec::with_capacity(heads.len());
    let endpoints = jobs.endpoints.now();
    for head in heads {
        // During an upgrade another server may have this workflow already, or still.
        let is_served = head.workflow == super::GRAPHS || endpoints.find(&head.workflow).is_some();
        if is_served && let Some(need) = need(jobs, &head.lane.need).await? {
            candidates.push((head, need));
        }
    }
    Ok(candidates)
}

/// What jobs need, by its id.
pub(super) async fn need(jobs: &Arc<Jobs>, id: &str) -> Result<Option<Arc<Requirement>>, StoreError> {
    if let Some(need) = lock(&jobs.memory.needs).get(id) {
        return Ok(Some(Arc::clone(need)));
    }
    let Some(text) = jobs.store.need(id.to_owned()).await? else { return Ok(None) };
    let Ok(need) = serde_json::from_str::<Requirement>(&text) else {
        tracing::error!(need = id, "what jobs need cannot be read");
        return Ok(None);
    };
    let need = Arc::new(need);
    let mut needs = lock(&jobs.memory.needs);
    if needs.len() >= NEEDS {
        needs.clear();
    }
    needs.insert(id.to_owned(), Arc::clone(&need));
    Ok(Some(need))
}

/// Places for as many jobs as there is room for, in the order in which they are due.
fn choose(jobs: &Arc<Jobs>, candidates: Vec<Candidate>) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::new();
    let mut ranks: BTreeMap<i64, BTreeMap<String, Vec<Candidate>>> = BTreeMap::new();
    for (head, need) in candidates {
        let owners = ranks.entry(head.lane.rank).or_default();
        owners.entry(head.lane.owner.clone()).or_default().push((head, need));
    }
    let mut extra: BTreeMap<String, usize> = BTreeMap::new();
    for owners in ranks.into_values() {
        let mut owners: Vec<(String, Vec<Candidate>)> = owners.into_iter().collect();
        while !owners.is_empty() {
            let load = |owner: &String| {
                let (running, served) = jobs.memory.load_of(owner);
                (running + extra.get(owner).copied().unwrap_or(0), served)
            };
            let next = (0..owners.len()).min_by_key(|index| load(&owners[*index].0)).unwrap_or(0);
            let (owner, lanes) = &mut owners[next];
            if let Some(choice) = choose_lane(jobs, lanes) {
                *extra.entry(owner.clone()).or_default() += 1;
                choices.push(choice);
            } else {
                // No engine has room for anything of this caller.
                owners.swap_remove(next);
            }
        }
    }
    choices
}

/// The lane of a caller that is due, and the place for it. Lanes that nobody has room for are dropped.
fn choose_lane(jobs: &Arc<Jobs>, lanes: &mut Vec<Candidate>) -> Option<Choice> {
    let bonus = i64::try_from(jobs.settings.affinity_wait.as_millis()).unwrap_or(i64::MAX);
    let mut due: Vec<(i64, usize, Arc<Place>)> = Vec::new();
    let mut hopeless = Vec::new();
    for (index, (head, need)) in lanes.iter().enumerate() {
        match place_for(jobs, head, need) {
            Some(place) => {
                let warm = place.is_warm_for(&need.affinity());
                let since = if warm { head.created_at.saturating_sub(bonus) } else { head.created_at };
                due.push((since, index, place));
            }
            None => hopeless.push(index),
        }
    }
    let chosen = due.into_iter().min_by_key(|(since, index, _)| (*since, *index));
    let choice = chosen.map(|(_, index, place)| Choice {
        head: lanes[index].0.clone(),
        need: Arc::clone(&lanes[index].1),
        occupied: place.occupy(),
        place,
    });
    for index in hopeless.into_iter().rev() {
        lanes.remove(index);
    }
    choice
}

/// The best of the places that have room and what the job needs.
fn place_for(jobs: &Arc<Jobs>, head: &Head, need: &Arc<Requirement>) -> Option<Arc<Place>> {
    let free = jobs.pool.places().iter().filter(|place| has_room(place));
    let mut able: Vec<Arc<Place>> = Vec::new();
    for place in free {
        match place.could_run(need) {
            Some(true) => able.push(Arc::clone(place)),
            Some(false) => {}
            None => ask(jobs, place, &head.lane.need, need),
        }
    }
    // Elsewhere only if there is an elsewhere, now or later.
    if let Some(avoid) = &head.avoid
        && jobs.pool.places().iter().any(|place| {
            place.name() != avoid && place.state().takes_work() && place.could_run(need) == Some(true)
        })
    {
        able.retain(|place| place.name() != avoid);
    }
    jobs.pool.rank(able, &need.affinity()).into_iter().next()
}

/// Whether anything more may be sent there now.
fn has_room(place: &Arc<Place>) -> bool {
    matches!(place.room(place.outstanding()), Room::Free(_))
}

/// Has an engine's lists read, without keeping the queue waiting.
fn ask(jobs: &Arc<Jobs>, place: &Arc<Place>, id: &str, need: &Arc<Requirement>) {
    let key = format!("{} {id}", place.name());
    if !lock(&jobs.memory.asking).insert(key.clone()) {
        return;
    }
    let (jobs, place, need) = (Arc::clone(jobs), Arc::clone(place), Arc::clone(need));
    tokio::spawn(async move {
        let known = place.lacks(&need).await.is_ok();
        if !known {
            // An engine that does not answer is asked again after a while, not in a loop.
            tokio::time::sleep(LOOK).await;
        }
        lock(&jobs.memory.asking).remove(&key);
        jobs.ears.queue.notify_one();
    });
}

/// Starts what was taken. A place that was kept free for a job that somebody else took is free again.
fn start(jobs: &Arc<Jobs>, mut choices: Vec<Choice>, taken: Vec<Job>) -> usize {
    let count = taken.len();
    jobs.taken_from_queue(count);
    for job in taken {
        let is_it = |choice: &Choice| {
            choice.head.lane.need == job.need
                && choice.head.lane.owner == job.owner
                && Some(choice.place.name()) == job.engine.as_deref()
        };
        let Some(index) = choices.iter().position(is_it) else {
            tracing::error!(job = %job.id, "a job was taken that nobody asked for");
            continue;
        };
        let choice = choices.swap_remove(index);
        jobs.memory.note_taken(&job.owner);
        let affinity = choice.need.affinity();
        choice.place.ran(&affinity.workflow, affinity.checkpoint.as_deref());
        launch(jobs, job, choice.place, Start::Fresh, choice.occupied);
    }
    count
}

/// Runs a job that is ours now.
pub(super) fn launch(jobs: &Arc<Jobs>, job: Job, place: Arc<Place>, start: Start, occupied: Occupied) {
    let control = jobs.take_in_hand(&job);
    let runner = Runner { jobs: Arc::clone(jobs), job, place, start, control, occupied };
    jobs.tasks.spawn(runner.run());
}
