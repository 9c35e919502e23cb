//! Node packs.

use serde::Serialize;

/// A node pack that workflows need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackNeed {
    /// Its id in the Comfy Registry, or the last part of its repository's address.
    pub id: String,
    /// Its repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The version or commit that was asked for, or that a workflow was saved with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The classes it is needed for.
    pub classes: Vec<String>,
    /// The workflows that need it.
    pub workflows: Vec<String>,
    /// Those of the classes that other packs have, too: for them this pack is a guess, and somebody has to decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<String>,
    /// Repositories of these others, likely ones first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// How it was found.
    pub evidence: String,
}

impl PackNeed {
    /// Takes it for the right one, whoever else has its classes.
    pub fn take(&mut self) {
        if self.is_ambiguous() {
            self.doubtful.clear();
            self.settle();
            self.evidence.push_str(", taken");
        }
    }

    /// It is this one, whatever else was likely.
    pub(crate) fn decide(&mut self, id: String, repository: String, evidence: String) {
        self.id = id;
        self.repository = Some(repository);
        self.evidence = evidence;
        self.doubtful.clear();
        self.settle();
    }

    /// Forgets the others where there is no doubt.
    pub(crate) fn settle(&mut self) {
        if self.doubtful.is_empty() {
            self.candidates.clear();
        }
    }

    /// Whether somebody has to decide which pack it is.
    pub fn is_ambiguous(&self) -> bool {
        !self.doubtful.is_empty()
    }
}

/// Whether two addresses are those of one repository: case, scheme, a trailing slash and `.git` do not matter.
pub fn same_repository(left: &str, right: &str) -> bool {
    plain(left) == plain(right)
}

/// A repository's address as it is compared.
pub(crate) fn plain(repository: &str) -> String {
    let repository = repository.trim().trim_end_matches('/');
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    let repository = repository.split_once("://").map_or(repository, |(_, rest)| rest);
    repository.to_ascii_lowercase()
}
