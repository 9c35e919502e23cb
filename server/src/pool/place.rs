//! One engine with what is remembered about it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    Affinity, Note, Room, Settings, Shared, State, Uploaded,
    prompts::{Prompts, Seen},
};
use crate::{
    engine::{Engine, EngineError, Health},
    readiness::{Ages, Missing, Readiness, Requirement},
};

/// How long an engine may take to tell its queue. A busy ComfyUI takes a second or two; one that was stopped takes for
/// ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an operator wants a place to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceSettings {
    /// How much work it takes beside others: a place of weight 2 is as busy with two prompts as one of weight 1 with
    /// one. Above 0.
    pub weight: f64,
    /// Words by which operators group places.
    pub tags: Vec<String>,
    /// Prompts of ours that may be there at the same time, the running one included. At least 1.
    pub concurrency: usize,
    /// How long a prompt of somebody else may run before nothing more is sent to wait behind it. `None` for ever.
    pub stall_after: Option<Duration>,
}

impl Default for PlaceSettings {
    fn default() -> Self {
        Self { weight: 1.0, tags: Vec::new(), concurrency: 2, stall_after: None }
    }
}

/// An engine with what is remembered about it.
#[derive(Debug)]
pub struct Place {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Its lists.
    pub readiness: Readiness,
    /// The input files it has.
    pub(crate) uploaded: Uploaded,
    pub(super) settings: PlaceSettings,
    pub(super) prompts: Prompts,
    /// Told when the watcher has something to do.
    pub(super) wake: tokio::sync::Notify,
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    about: Mutex<Option<Health>>,
    outstanding: AtomicUsize,
}

impl Place {
    /// Nothing is asked of the engine yet.
    pub fn new(engine: Arc<dyn Engine>, settings: PlaceSettings, ages: Ages) -> Self {
        Self {
            readiness: Readiness::new(Arc::clone(&engine), ages),
            engine,
            uploaded: Uploaded::default(),
            settings,
            prompts: Prompts::default(),
            wake: tokio::sync::Notify::new(),
            shared: Arc::new(Shared::new(1, Settings::default())),
            index: 0,
            about: Mutex::default(),
            outstanding: AtomicUsize::new(0),
        }
    }

    /// The engine's name.
    pub fn name(&self) -> &str {
        self.engine.name()
    }

    /// Prompts of ours that may be there at the same time.
    pub fn slots(&self) -> usize {
        self.settings.concurrency
    }

    /// How much work it takes beside others.
    pub fn weight(&self) -> f64 {
        self.settings.weight
    }

    /// Words by which operators group places.
    pub fn tags(&self) -> &[String] {
        &self.settings.tags
    }

    /// What the engine lacks of what is needed. Its lists are read again if they are old, or if something is missing
    /// and they are not brand new.
    pub async fn lacks(&self, need: &Requirement) -> Result<Missing, EngineError> {
        self.readiness.missing(need).await
    }

    /// Whether the engine has what is needed, as far as is remembered. Nothing is asked; `None` if something that
    /// decides it is not known, which [`Place::lacks`] finds out.
    pub fn could_run(&self, need: &Requirement) -> Option<bool> {
        self.readiness.remembered(need)
    }

    /// What the engine may be used for now.
    pub fn state(&self) -> State {
        self.shared.table().state(self.index, Instant::now())
    }

    /// How many more prompts may be sent there when so many of ours are there or on their way.
    pub fn room(&self, outstanding: usize) -> Room {
        self.shared.table().room(self.index, outstanding, self.settings.concurrency, Instant::now())
    }

    /// Takes note of what happened to a prompt there. The dispatcher tells everything; what is thought of the engine
    /// follows from it.
    pub fn note(&self, note: Note<'_>) {
        let now = Instant::now();
        if matches!(note, Note::Progressed | Note::Submitted) {
            self.prompts.moved(now);
        }
        // It comes many times a second and says nothing else.
        if note == Note::Progressed {
            return;
        }
        // What comes back after a restart may be another installation.
        if note == Note::Lost {
            self.readiness.forget();
            self.uploaded.forget();
        }
        self.shared.change(|table| table.note(self.index, &note, now));
        self.wake.notify_one();
    }

    /// Remembers what ran there, so that its like is sent there again.
    pub fn ran(&self, workflow: &str, checkpoint: Option<&str>) {
        let what = Affinity { workflow: workflow.to_owned(), checkpoint: checkpoint.map(str::to_owned) };
        self.shared.change(|table| table.ran(self.index, what));
    }

    /// Whether the engine ran this last, so that it still has it at hand.
    pub fn is_warm_for(&self, wanted: &Affinity) -> bool {
        self.shared.table().ran_last(self.index).is_some_and(|last| last.workflow == wanted.workflow)
    }

    /// Stops or resumes sending work there because somebody else was told to.
    pub fn set_drained(&self, drained: bool) {
        if drained != (self.state() == State::Drained) {
            self.shared.change(|table| table.drain(self.index, drained));
            self.wake.notify_one();
        }
    }

    /// Work of ours that is with the engine or on its way there.
    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Counts one piece of work as outstanding until the answer is dropped.
    pub fn occupy(self: &Arc<Self>) -> Occupied {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        Occupied { place: Arc::clone(self), ids: Mutex::default() }
    }

    /// A prompt of ours must not go on: its attempt was fenced, or its caller left. It is cancelled as soon as the
    /// engine can be told, and the engine counts as blocked if it goes on for long all the same. Prompts of others are
    /// left alone.
    pub fn orphan(&self, prompt_id: Uuid) {
        self.prompts.orphan(prompt_id, Instant::now());
        self.wake.notify_one();
    }

    /// Stops or resumes sending work there. What runs goes on.
    pub fn drain(&self, drained: bool) {
        self.shared.change(|table| table.drain(self.index, drained));
        self.wake.notify_one();
    }

    /// Looks at its queue now, and makes of the answer what there is to make.
    pub async fn look(&self) {
        let asked_at = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, self.engine.queue()).await.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(EngineError::Unreachable(format!("it did not tell its queue within {seconds} s")))
        });
        let now = Instant::now();
        match answer {
            Ok(queue) => {
                let grace = self.shared.settings.interrupt_grace;
                let seen = self.prompts.saw(queue, asked_at, now, grace, self.settings.stall_after);
                let was_down = self.state() == State::Down;
                if was_down {
                    self.readiness.forget();
                }
                self.shared.change(|table| {
                    table.reached(self.index);
                    table.count_foreign(self.index, seen.foreign);
                    table.block(self.index, seen.blocked.clone());
                });
            }
            Err(error) => {
                self.prompts.missed();
                let why = error.to_string();
                self.shared.change(|table| match error {
                    EngineError::Unreachable(_) => table.unreachable(self.index, &why, now),
                    _ => table.note(self.index, &Note::Protocol(&why), now),
                });
            }
        }
    }

    /// Looks at its queue unless somebody did so within this time.
    pub async fn look_unless_within(&self, recent: Duration) {
        if self.prompts.looked_at().is_none_or(|at| at.elapsed() > recent) {
            self.look().await;
        }
    }

    /// Asks for its version and memory.
    pub(super) async fn ask_about_itself(&self) {
        if let Ok(about) = self.engine.health().await {
            *self.about.lock().unwrap_or_else(PoisonError::into_inner) = Some(about);
        }
    }

    /// What it said about itself last.
    pub(super) fn about(&self) -> Option<Health> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was seen in its queue last.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.prompts.seen()
    }
}

/// A piece of work that is with an engine or on its way there.
#[derive(Debug)]
pub struct Occupied {
    place: Arc<Place>,
    ids: Mutex<Vec<Uuid>>,
}

impl Occupied {
    /// The id of a prompt that is part of it: it is ours, not somebody else's. To be told before it is sent.
    pub fn prompt(&self, prompt_id: Uuid) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(prompt_id);
        self.place.prompts.own(prompt_id);
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.place.outstanding.fetch_sub(1, Ordering::Relaxed);
        for id in self.ids.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.place.prompts.disown(id);
        }
        self.place.shared.changed();
    }
}
