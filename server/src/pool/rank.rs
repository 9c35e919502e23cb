//! In which order a prompt tries engines.

use std::cmp::Ordering;

/// The order of candidates, in the order of these fields.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rank {
    /// Takes nothing at all.
    pub(super) refused: bool,
    /// Prompts there, ours and those of others, with one more for each recent failure and for flapping; by weight.
    pub(super) load: f64,
    /// Not known to be well.
    pub(super) doubtful: bool,
    /// How often the time of the fastest doubles into its own.
    pub(super) slowness: u32,
    /// 0 if it ran the same workflow last, 1 if the same checkpoint, else 2.
    pub(super) strangeness: u8,
}

impl Rank {
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        (self.refused.cmp(&other.refused))
            .then(self.load.total_cmp(&other.load))
            .then(self.doubtful.cmp(&other.doubtful))
            .then(self.slowness.cmp(&other.slowness))
            .then(self.strangeness.cmp(&other.strangeness))
    }
}
