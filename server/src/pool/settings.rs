//! The numbers by which engines are judged.

use std::time::Duration;

/// The numbers by which engines are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Between two looks at the queue of an engine that has work of ours or is not well.
    pub poll: Duration,
    /// Between two looks at one that is idle and well, and at what it says about itself.
    pub idle_poll: Duration,
    /// How long an engine is first ejected; it doubles each time.
    pub eject: Duration,
    /// How long it is ejected at most.
    pub eject_max: Duration,
    /// Failures in a row that eject it.
    pub eject_after_failures: u32,
    /// More absences than these within `flap_window` make an engine one that flaps.
    pub flap_count: u32,
    /// See `flap_count`.
    pub flap_window: Duration,
    /// How long a prompt may ignore that it was cancelled before its engine counts as blocked.
    pub interrupt_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(2),
            idle_poll: Duration::from_secs(30),
            eject: Duration::from_secs(10),
            eject_max: Duration::from_mins(10),
            eject_after_failures: 3,
            flap_count: 3,
            flap_window: Duration::from_mins(10),
            interrupt_grace: Duration::from_secs(10),
        }
    }
}
