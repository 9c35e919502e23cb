//! What happens while models are fetched.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{ModelName, PullError, pull::Pulled};

/// Bytes are told of at most this often.
const BEAT: Duration = Duration::from_millis(100);

/// Over how long the speed is taken.
const WINDOW: Duration = Duration::from_secs(5);

/// Something that happens to one of the models that were asked for.
#[derive(Debug)]
pub struct Event<'e> {
    /// Which of them, counted from 0 in the order in which they were asked for.
    pub item: usize,
    /// Its name.
    pub name: &'e ModelName,
    /// What happens.
    pub step: Step<'e>,
}

/// What happens to a model.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'e> {
    /// Its turn comes, and a source is asked for it.
    Asking {
        /// The source, without secrets.
        source: String,
    },
    /// Somebody else fetches it into the same cache: that is waited for.
    Waiting,
    /// What a former try left is read again.
    Rereading {
        /// In bytes.
        bytes: u64,
    },
    /// Bytes arrive.
    Bytes(Progress),
    /// It did not work, and is tried again.
    Again {
        /// What happened.
        why: String,
        /// After which pause.
        pause: Duration,
    },
    /// All bytes are there; they are checked and put in their place.
    Checking,
    /// It is there.
    Done(&'e Pulled),
    /// It is not.
    Failed(&'e PullError),
}

/// How far a model is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What is there, in bytes.
    pub done: u64,
    /// What there will be, in bytes, if that is known.
    pub total: Option<u64>,
    /// Bytes a second, over the last seconds.
    pub speed: f64,
    /// How long it will take at this speed.
    pub left: Option<Duration>,
}

/// Where events go. It is called from several threads and must not block.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(Event<'_>) + Send + Sync>);

impl Listener {
    /// Calls a function.
    pub fn new(tell: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells nobody.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn tell(&self, event: Event<'_>) {
        (self.0)(event);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}

/// Measures the speed of one model.
#[derive(Debug)]
pub(crate) struct Meter {
    told: Option<Instant>,
    /// When so many bytes were there: where the window began, and where the next one will.
    window: [(Instant, u64); 2],
}

impl Meter {
    pub(crate) fn new(done: u64) -> Self {
        Self { told: None, window: [(Instant::now(), done); 2] }
    }

    /// How far it is, unless that was told a moment ago.
    pub(crate) fn measure(&mut self, done: u64, total: Option<u64>) -> Option<Progress> {
        let now = Instant::now();
        let complete = total == Some(done);
        if !complete && self.told.is_some_and(|told| now - told < BEAT) {
            return None;
        }
        self.told = Some(now);
        let [since, next] = self.window;
        if now - next.0 >= WINDOW {
            self.window = [next, (now, done)];
        }
        let seconds = (now - since.0).as_secs_f64();
        let speed = if seconds > 0.0 { done.saturating_sub(since.1) as f64 / seconds } else { 0.0 };
        let left = total.map(|total| total.saturating_sub(done) as f64 / speed);
        let left = left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Some(Progress { done, total, speed, left })
    }
}
