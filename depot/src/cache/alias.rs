//! What an address had, of which nothing else is known.

use serde::{Deserialize, Serialize};

use super::{Cache, key, read_json, write_json};
use crate::{PullError, Sha256};

/// What an address had when it was asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub(crate) sha256: Sha256,
    /// By which the host can tell whether it still has the same.
    pub(crate) etag: String,
}

impl Cache {
    pub(crate) fn alias(&self, address: &str) -> Option<Alias> {
        read_json(&self.root.join("names").join(key(address)).with_extension("json"))
    }

    pub(crate) fn remember(&self, address: &str, alias: &Alias) -> Result<(), PullError> {
        let path = self.root.join("names").join(key(address)).with_extension("json");
        write_json(&path, alias).map_err(PullError::io(path))
    }
}
