//! What is asked for.

use crate::{ModelName, Sha256, Source};

/// A model that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it goes.
    pub name: ModelName,
    /// Where it can be had, the best first.
    pub sources: Vec<Source>,
    /// How large it must be, in bytes.
    pub size: Option<u64>,
    /// What its content must hash to.
    pub sha256: Option<Sha256>,
    /// Who named the sources.
    pub trust: Trust,
}

/// Who named a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Somebody: only addresses that the guard approves of are asked.
    #[default]
    Anybody,
    /// The operator: the address itself may lie in a private network. Where it redirects to is judged nevertheless.
    Operator,
}
