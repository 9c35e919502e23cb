//! How often something is tried again, and after which pauses.

use std::time::Duration;

/// How often something is tried again, and after which pauses.
///
/// The pause after the `n`th failure in a row is drawn from the upper half of `first · 2ⁿ⁻¹`, at most `longest`. Whatever
/// brings bytes ends the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How many failures in a row there may be. 5 unless told.
    pub failures: u32,
    /// The first pause. 1 s unless told.
    pub first: Duration,
    /// The longest pause. 30 s unless told.
    pub longest: Duration,
    /// The longest pause that a host may ask for; 5 min unless told. It is not obeyed by halves: when it is longer, the
    /// model fails, and the user is told how long it is.
    pub obeyed: Duration,
    /// How long a connection may bring nothing at all. 30 s unless told.
    pub silence: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            failures: 5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            obeyed: Duration::from_mins(5),
            silence: Duration::from_secs(30),
        }
    }
}

impl Retries {
    /// The pause after so many failures in a row.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.longest).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let retries = Retries::default();
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (4, 8), (6, 30), (u32::MAX, 30)] {
            let pause = retries.pause(failures).as_secs_f64();
            assert!(pause <= f64::from(longest) && pause >= f64::from(longest) / 2.0, "{failures}: {pause}");
        }
    }
}
