//! The same content more than once.

use std::collections::BTreeMap;

use super::{Model, Shelf};
use crate::{ModelName, PullError, Sha256};

/// Content that takes its place on the disk more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// What it hashes to.
    pub sha256: Sha256,
    /// In bytes, once.
    pub size: u64,
    /// Where it is. Names that share one place on the disk are named once.
    pub names: Vec<ModelName>,
}

impl Duplicate {
    /// How many bytes would be free if it were there once.
    pub fn wasted(&self) -> u64 {
        self.size.saturating_mul(self.names.len().saturating_sub(1) as u64)
    }
}

impl Shelf {
    /// Content that is there more than once, in the order of names. Only files of the same size are read.
    pub fn duplicates(&mut self) -> Result<Vec<Duplicate>, PullError> {
        let mut by_size: BTreeMap<u64, Vec<Model>> = BTreeMap::new();
        for model in self.list()? {
            let models = by_size.entry(model.size).or_default();
            if model.size > 0 && models.iter().all(|other| other.inode != model.inode) {
                models.push(model);
            }
        }
        let mut found = Vec::new();
        for (size, models) in by_size.into_iter().filter(|(_, models)| models.len() > 1) {
            let mut by_digest: BTreeMap<Sha256, Vec<ModelName>> = BTreeMap::new();
            for model in models {
                by_digest.entry(self.index.digest(&model, false)?).or_default().push(model.name);
            }
            let several = by_digest.into_iter().filter(|(_, names)| names.len() > 1);
            found.extend(several.map(|(sha256, names)| Duplicate { sha256, size, names }));
        }
        found.sort_by(|one, other| one.names.cmp(&other.names));
        self.index.save()?;
        Ok(found)
    }
}
