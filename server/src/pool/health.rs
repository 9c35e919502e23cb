//! What is thought of each engine, from what happened to prompts there.
//!
//! An engine that answers proves nothing: its worker may be dead. So what counts is what became of prompts. Nothing here
//! waits or asks; the time is always given, so that every rule can be tried out by itself.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{Affinity, Note, Room, Settings, State, rank::Rank};

#[cfg(test)]
mod tests;

#[derive(Debug)]
struct Record {
    reachable: Option<bool>,
    is_drained: bool,
    is_probing: bool,
    ejected_until: Option<Instant>,
    ejections: u32,
    /// Ejections since the start.
    ejected: u64,
    blocked: Option<String>,
    /// Failures since the last success that cannot be laid at the workflow's door.
    failures: u32,
    away: VecDeque<Instant>,
    why: String,
    last_error: Option<(String, Instant)>,
    foreign: usize,
    ran_last: Option<Affinity>,
    runs: BTreeMap<String, Runs>,
    shown: (State, Instant),
}

/// How one workflow went on one engine.
#[derive(Debug, Clone, Copy)]
struct Runs {
    succeeded_last: bool,
    /// Seconds, recent runs counting most.
    average: Option<f64>,
}

/// How much the newest run counts in the average.
const NEWEST: f64 = 0.3;

/// Workflows remembered for each engine.
const MOST_WORKFLOWS: usize = 4096;

/// Everything that is thought of all engines.
#[derive(Debug)]
pub(super) struct Table {
    records: Vec<Record>,
    settings: Settings,
}

/// What `Table::show` tells of one engine.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) reason: Option<String>,
    pub(super) last_error: Option<(String, Instant)>,
}

impl Table {
    /// What ran there last.
    pub(super) fn ran_last(&self, index: usize) -> Option<Affinity> {
        self.records.get(index).and_then(|record| record.ran_last.clone())
    }

    pub(super) fn new(engines: usize, settings: Settings, now: Instant) -> Self {
        let record = || Record {
            reachable: None,
            is_drained: false,
            is_probing: false,
            ejected_until: None,
            ejections: 0,
            ejected: 0,
            blocked: None,
            failures: 0,
            away: VecDeque::new(),
            why: String::new(),
            last_error: None,
            foreign: 0,
            ran_last: None,
            runs: BTreeMap::new(),
            shown: (State::Unknown, now),
        };
        Self { records: (0..engines).map(|_| record()).collect(), settings }
    }

    /// Takes note of what happened.
    pub(super) fn note(&mut self, index: usize, note: &Note<'_>, now: Instant) {
        if !matches!(note, Note::Unreachable(_)) {
            self.reached(index);
        }
        match *note {
            Note::Submitted | Note::Progressed => {}
            Note::Succeeded { workflow, ran } => self.succeeded(index, workflow, ran),
            Note::WorkflowError { workflow } => self.failed(index, workflow, "its runs fail", now),
            Note::Rejected { workflow } => self.failed(index, workflow, "it refuses prompts", now),
            Note::OutOfMemory { workflow } => self.failed(index, workflow, "it runs out of memory", now),
            Note::Protocol(why) => {
                self.error(index, why, now);
                self.blame(index, why, now);
            }
            Note::Unreachable(why) => self.unreachable(index, why, now),
            Note::Lost => {
                self.error(index, "it forgot a prompt: it was restarted", now);
                self.went_away(index, now);
            }
            Note::Stalled => {
                self.error(index, "it answers and nothing moves", now);
                self.eject(index, "it answers and nothing moves", now);
            }
        }
    }

    /// The engine answered.
    pub(super) fn reached(&mut self, index: usize) {
        if let Some(record) = self.records.get_mut(index) {
            record.reachable = Some(true);
        }
    }

    pub(super) fn unreachable(&mut self, index: usize, why: &str, now: Instant) {
        self.error(index, why, now);
        let Some(record) = self.records.get_mut(index) else { return };
        if record.reachable != Some(false) {
            record.reachable = Some(false);
            self.went_away(index, now);
        }
    }

    /// Prompts of others that wait or run there.
    pub(super) fn count_foreign(&mut self, index: usize, foreign: usize) {
        if let Some(record) = self.records.get_mut(index) {
            record.foreign = foreign;
        }
    }

    /// A prompt there lets nothing else run, and why; or no longer.
    pub(super) fn block(&mut self, index: usize, why: Option<String>) {
        let Some(record) = self.records.get_mut(index) else { return };
        record.is_probing |= why.is_some();
        record.blocked = why;
    }

    pub(super) fn drain(&mut self, index: usize, drained: bool) {
        if let Some(record) = self.records.get_mut(index) {
            record.is_drained = drained;
        }
    }

    pub(super) fn ran(&mut self, index: usize, what: Affinity) {
        if let Some(record) = self.records.get_mut(index) {
            record.ran_last = Some(what);
        }
    }

    fn succeeded(&mut self, index: usize, workflow: &str, ran: Duration) {
        let Some(record) = self.records.get_mut(index) else { return };
        record.is_probing = false;
        (record.ejected_until, record.ejections, record.failures) = (None, 0, 0);
        let seconds = ran.as_secs_f64();
        let before = record.runs.get(workflow).and_then(|runs| runs.average);
        let average = before.map_or(seconds, |before| before + NEWEST * (seconds - before));
        record.remember(workflow, Runs { succeeded_last: true, average: Some(average) });
    }

    fn failed(&mut self, index: usize, workflow: &str, why: &str, now: Instant) {
        // What failed elsewhere too is the workflow's fault, or its caller's.
        let fails_elsewhere = self
            .others(index)
            .any(|(_, other)| other.runs.get(workflow).is_some_and(|runs| !runs.succeeded_last));
        let Some(record) = self.records.get_mut(index) else { return };
        let average = record.runs.get(workflow).and_then(|runs| runs.average);
        record.remember(workflow, Runs { succeeded_last: false, average });
        if !fails_elsewhere {
            self.blame(index, why, now);
        }
    }

    fn blame(&mut self, index: usize, why: &str, now: Instant) {
        let limit = self.settings.eject_after_failures;
        let Some(record) = self.records.get_mut(index) else { return };
        record.failures = record.failures.saturating_add(1);
        let failed_again = record.is_probing && record.ejections > 0;
        // Alone, an engine that fails is all there is, and what fails may be the requests.
        if (record.failures >= limit || failed_again) && self.is_another_serving(index, now) {
            self.eject(index, why, now);
        }
    }

    fn eject(&mut self, index: usize, why: &str, now: Instant) {
        let is_last = !self.is_another_serving(index, now);
        let (shortest, longest) = (self.settings.eject, self.settings.eject_max);
        let Some(record) = self.records.get_mut(index) else { return };
        record.is_probing = true;
        why.clone_into(&mut record.why);
        if is_last {
            return;
        }
        let growing = shortest.saturating_mul(2_u32.saturating_pow(record.ejections.min(30)));
        record.ejections = record.ejections.saturating_add(1);
        record.ejected_until = Some(now + growing.min(longest));
    }

    fn went_away(&mut self, index: usize, now: Instant) {
        let window = self.settings.flap_window;
        let Some(record) = self.records.get_mut(index) else { return };
        record.is_probing = true;
        if let Some((why, _)) = &record.last_error {
            record.why.clone_from(why);
        }
        record.away.push_back(now);
        while record.away.front().is_some_and(|at| now.saturating_duration_since(*at) > window) {
            record.away.pop_front();
        }
    }

    fn error(&mut self, index: usize, why: &str, now: Instant) {
        if let Some(record) = self.records.get_mut(index) {
            record.last_error = Some((why.to_owned(), now));
        }
    }

    fn others(&self, index: usize) -> impl Iterator<Item = (usize, &Record)> {
        self.records.iter().enumerate().filter(move |(other, _)| *other != index)
    }

    fn is_another_serving(&self, index: usize, now: Instant) -> bool {
        self.others(index).any(|(_, record)| record.is_serving(now))
    }

    /// What the engine may be used for now.
    pub(super) fn state(&self, index: usize, now: Instant) -> State {
        let Some(record) = self.records.get(index) else { return State::Unknown };
        if record.is_drained {
            return State::Drained;
        }
        if record.reachable == Some(false) {
            return State::Down;
        }
        if record.blocked.is_some() {
            return State::Ejected { until: None };
        }
        match record.ejected_until.filter(|until| *until > now) {
            // Better a doubtful engine than none.
            Some(until) if self.is_another_serving(index, now) => State::Ejected { until: Some(until) },
            Some(_) => State::Probing,
            None if record.is_probing => State::Probing,
            None if record.reachable.is_none() => State::Unknown,
            None => State::Up,
        }
    }

    /// The states that changed since this was asked last.
    pub(super) fn changes(&mut self, now: Instant) -> Vec<(usize, State)> {
        let states: Vec<State> = (0..self.records.len()).map(|index| self.state(index, now)).collect();
        let mut changes = Vec::new();
        for (index, (record, state)) in self.records.iter_mut().zip(states).enumerate() {
            if record.shown.0 != state {
                let is_new = !matches!(record.shown.0, State::Ejected { .. });
                record.ejected += u64::from(is_new && matches!(state, State::Ejected { .. }));
                record.shown = (state, now);
                changes.push((index, state));
            }
        }
        changes
    }

    /// How often it was ejected.
    pub(super) fn ejections(&self, index: usize) -> u64 {
        self.records.get(index).map_or(0, |record| record.ejected)
    }

    /// When a state changes next if nothing happens.
    pub(super) fn next_change(&self, index: usize, now: Instant) -> Option<Instant> {
        self.records.get(index)?.ejected_until.filter(|until| *until > now)
    }

    pub(super) fn show(&self, index: usize, now: Instant) -> Option<Shown> {
        let record = self.records.get(index)?;
        let state = self.state(index, now);
        let reason = match state {
            State::Unknown | State::Up => None,
            State::Drained => Some("an operator drained it".to_owned()),
            State::Down => record.last_error.as_ref().map(|(why, _)| why.clone()),
            State::Ejected { until: None } => record.blocked.clone(),
            State::Ejected { .. } | State::Probing => Some(record.why.clone()),
        };
        let last_error = record.last_error.clone();
        let reason = reason.filter(|reason| !reason.is_empty());
        Some(Shown { state, since: record.shown.1, reason, last_error })
    }

    /// How many more prompts may be sent there.
    pub(super) fn room(&self, index: usize, outstanding: usize, slots: usize, now: Instant) -> Room {
        let free = match self.state(index, now) {
            State::Up => slots.saturating_sub(outstanding),
            State::Unknown | State::Probing => 1_usize.saturating_sub(outstanding),
            state => {
                let why = self.show(index, now).and_then(|shown| shown.reason);
                return Room::No(why.unwrap_or_else(|| state.as_str().to_owned()));
            }
        };
        if free == 0 { Room::Full } else { Room::Free(free) }
    }

    /// Where a prompt goes first: by the least of these.
    pub(super) fn rank(
        &self,
        index: usize,
        ours: usize,
        weight: f64,
        wanted: &Affinity,
        now: Instant,
    ) -> Rank {
        let Some(record) = self.records.get(index) else { return Rank::default() };
        let is_flapping =
            record.away.iter().filter(|at| now.saturating_duration_since(**at) <= self.settings.flap_window);
        let is_flapping = is_flapping.count() > self.settings.flap_count as usize;
        let penalty = record.failures as usize + usize::from(is_flapping);
        let state = self.state(index, now);
        Rank {
            refused: !state.takes_work(),
            load: (ours + record.foreign + penalty) as f64 / weight.max(f64::MIN_POSITIVE),
            doubtful: state != State::Up,
            slowness: self.slowness(index, &wanted.workflow),
            strangeness: record.ran_last.as_ref().map_or(2, |last| {
                if last.workflow == wanted.workflow {
                    0
                } else if wanted.checkpoint.is_some() && last.checkpoint == wanted.checkpoint {
                    1
                } else {
                    2
                }
            }),
        }
    }

    /// How often the time of the fastest engine doubles into that of this one; 0 where nothing is known.
    fn slowness(&self, index: usize, workflow: &str) -> u32 {
        let average = |record: &Record| record.runs.get(workflow)?.average;
        let Some(own) = self.records.get(index).and_then(average) else { return 0 };
        let fastest = self.records.iter().filter_map(average).fold(own, f64::min);
        // Below a tenth of a second it is noise.
        let ratio = own.max(0.1) / fastest.max(0.1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 63")]
        let doublings = ratio.log2().clamp(0.0, 63.0) as u32;
        doublings
    }
}

impl Record {
    fn is_serving(&self, now: Instant) -> bool {
        let is_ejected = self.ejected_until.is_some_and(|until| until > now);
        !self.is_drained && self.reachable != Some(false) && self.blocked.is_none() && !is_ejected
    }

    fn remember(&mut self, workflow: &str, runs: Runs) {
        if self.runs.len() < MOST_WORKFLOWS || self.runs.contains_key(workflow) {
            self.runs.insert(workflow.to_owned(), runs);
        }
    }
}
