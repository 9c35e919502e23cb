//! What may be thought of an engine, and what it may be thought for.

use std::time::{Duration, Instant};

/// What an engine may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was not heard of yet: one prompt at a time.
    Unknown,
    /// All is well.
    Up,
    /// It was away, forgot its queue or was ejected: one prompt at a time until one succeeds.
    Probing,
    /// It does not answer.
    Down,
    /// It answers, and what is sent there does not come to a good end.
    Ejected {
        /// When it is tried again; `None` for as long as a prompt there blocks it.
        until: Option<Instant>,
    },
    /// An operator wants nothing more to be sent there.
    Drained,
}

impl State {
    /// All names in JSON.
    pub const NAMES: [&str; 6] = ["unknown", "up", "probing", "down", "ejected", "drained"];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Probing => "probing",
            Self::Down => "down",
            Self::Ejected { .. } => "ejected",
            Self::Drained => "drained",
        }
    }

    /// Whether anything may be sent there.
    pub fn takes_work(self) -> bool {
        matches!(self, Self::Unknown | Self::Up | Self::Probing)
    }
}

/// What happened to a prompt, or to the attempt to send one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Note<'n> {
    /// The engine took it.
    Submitted,
    /// It came further: an event of it arrived.
    Progressed,
    /// It ended well.
    Succeeded {
        /// The endpoint's path.
        workflow: &'n str,
        /// From its start to its end.
        ran: Duration,
    },
    /// A node failed.
    WorkflowError {
        /// The endpoint's path.
        workflow: &'n str,
    },
    /// The engine refused it before running it.
    Rejected {
        /// The endpoint's path.
        workflow: &'n str,
    },
    /// Memory ran out.
    OutOfMemory {
        /// The endpoint's path.
        workflow: &'n str,
    },
    /// The engine answered nonsense.
    Protocol(&'n str),
    /// The engine could not be reached.
    Unreachable(&'n str),
    /// The engine does not know it any more: it was restarted.
    Lost,
    /// The engine answers and nothing moves.
    Stalled,
}

/// How many more prompts may be sent to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// So many, at least one.
    Free(usize),
    /// None until one of ours ends.
    Full,
    /// None, and why.
    No(String),
}

/// The endpoint and the model that ran last: what the engine still has at hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affinity {
    /// The endpoint's path.
    pub workflow: String,
    /// Its checkpoint or diffusion model.
    pub checkpoint: Option<String>,
}
