//! How far an errand is, for those who watch it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use comfyport_depot::{Event, Step};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// One thing that is fetched or installed.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// What it is called.
    pub name: String,
    /// `waiting`, `asking`, `fetching`, `checking`, `done`, `failed`, or what else is being done.
    pub state: &'static str,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_bytes: Option<u64>,
    /// In bytes, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// More about its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(skip)]
    speed: f64,
    /// What was there before this try.
    #[serde(skip)]
    before: u64,
}

/// How far an errand is.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    /// Of all of it, as far as that can be said.
    pub percent: Option<f64>,
    /// What is there, in bytes.
    pub done_bytes: u64,
    /// What there will be, in bytes, if that is known of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Of all together.
    pub bytes_per_s: u64,
    /// Seconds until the end, if it goes on like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<u64>,
    /// Each of them.
    pub items: Vec<Item>,
}

/// Where it is written down how far an errand is.
#[derive(Debug)]
pub struct Board {
    items: Mutex<Vec<Item>>,
    /// How many bytes may be fetched.
    allowance: u64,
    /// Cancelled when more would be fetched.
    pub spent: CancellationToken,
}

impl Board {
    /// For things of these names, that may need so many bytes.
    pub fn new(names: impl IntoIterator<Item = String>, allowance: u64) -> Self {
        let item = |name| Item {
            name,
            state: "waiting",
            done_bytes: None,
            total_bytes: None,
            note: None,
            speed: 0.0,
            before: 0,
        };
        let items = Mutex::new(names.into_iter().map(item).collect());
        Self { items, allowance, spent: CancellationToken::new() }
    }

    fn items(&self) -> MutexGuard<'_, Vec<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened to a model that is fetched.
    pub fn hear(&self, event: Event<'_>) {
        let mut items = self.items();
        let Some(item) = items.get_mut(event.item) else { return };
        item.note = None;
        match event.step {
            Step::Asking { source } => (item.state, item.note) = ("asking", Some(source)),
            Step::Waiting => item.state = "waiting for somebody else who fetches it",
            Step::Rereading { bytes } => {
                (item.state, item.before, item.done_bytes) = ("rereading", bytes, Some(bytes));
            }
            Step::Bytes(progress) => {
                item.state = "fetching";
                item.before = item.before.min(progress.done);
                (item.done_bytes, item.total_bytes) = (Some(progress.done), progress.total);
                item.speed = progress.speed;
            }
            Step::Again { why, pause } => {
                (item.state, item.note) = ("pausing", Some(format!("{why}; again in {} s", pause.as_secs())));
                item.speed = 0.0;
            }
            Step::Checking => (item.state, item.speed) = ("checking", 0.0),
            Step::Done(pulled) => {
                (item.state, item.speed) = ("done", 0.0);
                (item.done_bytes, item.total_bytes) = (Some(pulled.size), Some(pulled.size));
                if !matches!(pulled.how, comfyport_depot::How::Fetched { .. }) {
                    item.before = pulled.size;
                }
            }
            Step::Failed(error) => {
                (item.state, item.note) = ("failed", Some(error.to_string()));
                item.speed = 0.0;
            }
            _ => {}
        }
        // Said before it is fetched, where the host says how much it is.
        let needed: u64 = items
            .iter()
            .map(|item| item.total_bytes.or(item.done_bytes).unwrap_or(0).saturating_sub(item.before))
            .sum();
        if needed > self.allowance {
            self.spent.cancel();
        }
    }

    /// What is being done with all of them now.
    pub fn all(&self, state: &'static str) {
        self.items().iter_mut().for_each(|item| item.state = state);
    }

    /// How many bytes were fetched so far.
    pub fn fetched(&self) -> u64 {
        self.items().iter().map(|item| item.done_bytes.unwrap_or(0).saturating_sub(item.before)).sum()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let items = self.items().clone();
        let done_bytes = items.iter().filter_map(|item| item.done_bytes).sum();
        let over = |item: &&Item| matches!(item.state, "done" | "failed");
        // What has ended needs nothing more, whatever it would have been.
        let totals: Option<u64> = items
            .iter()
            .map(|item| if over(&item) { Some(item.done_bytes.unwrap_or(0)) } else { item.total_bytes })
            .sum();
        let speed: f64 = items.iter().map(|item| item.speed).sum();
        let percent = match totals {
            Some(total) if total > 0 => Some(done_bytes as f64 / total as f64 * 100.0),
            _ => None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let eta_s = totals
            .filter(|_| speed > 0.0)
            .map(|total| (total.saturating_sub(done_bytes) as f64 / speed).ceil() as u64);
        Progress {
            percent: percent.map(|percent| (percent.min(100.0) * 10.0).round() / 10.0),
            done_bytes,
            total_bytes: totals,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
            bytes_per_s: speed as u64,
            eta_s,
            items,
        }
    }
}
