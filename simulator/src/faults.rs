//! Misbehaviour on request.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// A way to misbehave. Written in JSON as `{"kind": "oom"}`, `{"kind": "delay", "milliseconds": 200}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// Connections are reset as soon as they are made.
    Refuse,
    /// A request waits this long for its answer.
    Delay {
        /// How long.
        milliseconds: u64,
        /// Requests whose path contains this; `/prompt` if left out.
        #[serde(default = "prompt_path")]
        path: String,
    },
    /// A request is answered with status 500 and nothing is done.
    ErrorBefore {
        /// Requests whose path contains this; `/prompt` if left out.
        #[serde(default = "prompt_path")]
        path: String,
    },
    /// A request is carried out and then answered with status 500.
    ErrorAfter {
        /// Requests whose path contains this; `/prompt` if left out.
        #[serde(default = "prompt_path")]
        path: String,
    },
    /// A request is carried out and then answered with a page of HTML, as proxies do.
    Html {
        /// Requests whose path contains this; `/prompt` if left out.
        #[serde(default = "prompt_path")]
        path: String,
    },
    /// A file is cut off in the middle of its transfer.
    TruncatedOutput,
    /// A film has so much more at its end that players pass over.
    LongFilm {
        /// Bytes more: less than 4 GiB.
        bytes: u32,
    },
    /// All WebSockets are dropped in the middle of a prompt; the prompt goes on.
    DropSocket,
    /// The process is as if killed and restarted in the middle of a prompt: sockets closed, queue and history empty.
    Forget,
    /// The worker dies at the start of a prompt, which runs forever; prompts are still accepted.
    Zombie,
    /// A node runs out of memory.
    Oom,
    /// A node raises an exception, with a traceback that names paths.
    Exception,
    /// Output files are gone by the time they are asked for.
    MissingOutput,
    /// Neighbouring events of a prompt change places.
    OutOfOrder,
    /// Every event of a prompt is sent twice.
    DuplicateEvents,
    /// Progress has `NaN` in it.
    Nan,
    /// WebSockets hear nothing of a prompt but the length of the queue, or for a while nothing at all.
    SilentWebsocket,
    /// A node does not end, and does not listen to interrupts, until the faults are cleared.
    Stuck,
}

fn prompt_path() -> String {
    "/prompt".to_owned()
}

impl Fault {
    /// Whether it happens to a request rather than to a prompt, and to this request.
    fn concerns(&self, path: &str) -> bool {
        match self {
            Self::Delay { path: part, .. }
            | Self::ErrorBefore { path: part }
            | Self::ErrorAfter { path: part }
            | Self::Html { path: part } => path.contains(part.as_str()),
            Self::TruncatedOutput | Self::LongFilm { .. } => path.ends_with("/view"),
            _ => false,
        }
    }

    fn is_of_prompts(&self) -> bool {
        !matches!(
            self,
            Self::Refuse
                | Self::Delay { .. }
                | Self::ErrorBefore { .. }
                | Self::ErrorAfter { .. }
                | Self::Html { .. }
                | Self::TruncatedOutput
                | Self::LongFilm { .. }
        )
    }
}

#[derive(Debug, Default)]
struct Planned {
    next: VecDeque<Fault>,
    during: Vec<(Instant, Fault)>,
    /// Counts calls of `clear`, so that a stuck node can notice one.
    cleared: u64,
}

/// The faults that are planned. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    shared: Arc<(Mutex<Planned>, Condvar)>,
}

impl Faults {
    /// Acts out a fault once, at the next request or prompt that it can happen to.
    pub fn next(&self, fault: Fault) {
        self.with(|planned| planned.next.push_back(fault));
    }

    /// Acts out a fault at every occasion for a while.
    pub fn during(&self, fault: Fault, duration: Duration) {
        self.with(|planned| planned.during.push((Instant::now() + duration, fault)));
    }

    /// Forgets what is planned and frees stuck nodes.
    pub fn clear(&self) {
        self.with(|planned| *planned = Planned { cleared: planned.cleared + 1, ..Planned::default() });
        self.shared.1.notify_all();
    }

    /// The fault of a request, if one is due.
    pub(crate) fn of_request(&self, path: &str) -> Option<Fault> {
        self.take(|fault| fault.concerns(path))
    }

    /// The fault of a prompt, if one is due, and how often the faults had been cleared by then.
    pub(crate) fn of_prompt(&self) -> (Option<Fault>, u64) {
        (self.take(Fault::is_of_prompts), self.with(|planned| planned.cleared))
    }

    /// Whether connections are refused now.
    pub(crate) fn refuses(&self) -> bool {
        self.take(|fault| *fault == Fault::Refuse).is_some()
    }

    /// Whether WebSockets are silent now.
    pub(crate) fn silences(&self) -> bool {
        self.with(|planned| {
            let now = Instant::now();
            planned.during.iter().any(|(until, fault)| *until > now && *fault == Fault::SilentWebsocket)
        })
    }

    /// Waits until the faults are cleared once more than `before`, or `ended` says so.
    pub(crate) fn wait_until_cleared(&self, before: u64, ended: impl Fn() -> bool) {
        let (lock, condition) = &*self.shared;
        let mut planned = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while planned.cleared == before && !ended() {
            let waited = condition.wait_timeout(planned, Duration::from_millis(20));
            planned = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        self.with(|planned| {
            let now = Instant::now();
            planned.during.retain(|(until, _)| *until > now);
            if let Some((_, fault)) = planned.during.iter().find(|(_, fault)| wanted(fault)) {
                return Some(fault.clone());
            }
            let index = planned.next.iter().position(wanted)?;
            planned.next.remove(index)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Planned) -> T) -> T {
        change(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_waits_for_what_it_can_happen_to() {
        let faults = Faults::default();
        faults.next(Fault::Oom);
        faults.next(Fault::ErrorBefore { path: prompt_path() });
        assert_eq!(faults.of_request("/view"), None);
        assert_eq!(faults.of_request("/api/prompt"), Some(Fault::ErrorBefore { path: prompt_path() }));
        assert_eq!(faults.of_request("/api/prompt"), None);
        assert_eq!(faults.of_prompt(), (Some(Fault::Oom), 0));
        faults.during(Fault::Refuse, Duration::from_mins(1));
        assert!(faults.refuses() && faults.refuses());
        faults.clear();
        assert!(!faults.refuses());
    }

    #[test]
    fn faults_are_written_by_their_names() {
        let fault: Fault = serde_json::from_str(r#"{"kind":"delay","milliseconds":5}"#).unwrap();
        assert_eq!(fault, Fault::Delay { milliseconds: 5, path: prompt_path() });
        assert!(serde_json::from_str::<Fault>(r#"{"kind":"nonsense"}"#).is_err());
    }
}
