//! Rules of `[supplies]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What this server does about models and node packs; the default file documents its keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the default file documents every key")]
pub struct Supplies {
    pub give: bool,
    pub pull: bool,
    pub install: bool,
    pub install_missing: InstallMissing,
    pub elsewhere: bool,
    pub lock: PathBuf,
    pub parallel: u32,
    pub max_job_bytes: u64,
    pub max_day_bytes: u64,
}

/// What becomes of a job that needs what no engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstallMissing {
    /// It is refused.
    Never,
    /// It waits until its models were fetched.
    Models,
    /// The same, and node packs are installed.
    All,
}

impl Supplies {
    /// Whether anything is done with folders of engines.
    pub fn are_used(&self) -> bool {
        self.give || self.pull || self.install || self.install_missing != InstallMissing::Never
    }

    /// `shared` is whether other servers may use the store.
    pub(super) fn check(&self, shared: bool) -> Result<(), String> {
        if self.elsewhere && !shared {
            return Err(
                "`supplies.elsewhere` is for servers that share a store: set `store.url`, or leave it out"
                    .to_owned(),
            );
        }
        let positive = [
            ("parallel", u64::from(self.parallel)),
            ("max_job_bytes", self.max_job_bytes),
            ("max_day_bytes", self.max_day_bytes),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("`supplies.{key}` must be at least 1")),
            None => Ok(()),
        }
    }
}
