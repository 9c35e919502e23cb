//! Rules of `[warm_up]`.

use serde::{Deserialize, Serialize};

/// Which workflows are run when the server starts; the default file documents its keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the default file documents every key")]
pub struct WarmUp {
    pub enabled: bool,
    pub workflows: Vec<String>,
    pub timeout_s: u64,
    pub limit_s: u64,
}

impl WarmUp {
    pub(super) fn check(&self) -> Result<(), String> {
        match [("timeout_s", self.timeout_s), ("limit_s", self.limit_s)].iter().find(|(_, value)| *value == 0)
        {
            Some((key, _)) => Err(format!("`warm_up.{key}` must be at least 1")),
            None => Ok(()),
        }
    }
}
