//! Model files.

use comfyport_workflow::{LicenceKind, licence_of};
use serde::Serialize;

/// A model file that workflows need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelNeed {
    /// The models folder, `unknown` if that was not found out.
    pub folder: String,
    /// The file below it, with `/` between folders.
    pub file: String,
    /// Who needs it, in the order of workflows.
    pub uses: Vec<Use>,
    /// Where it can be had, what is said by somebody nearer first.
    pub sources: Vec<ModelSource>,
    /// What its content must hash to, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its length in bytes, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its licence, if it is known to restrict anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<Licence>,
    /// Whether a node fetches it by itself when it first runs.
    pub fetched_by_node: bool,
}

/// A node that needs a model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Use {
    /// The workflow's path.
    pub workflow: String,
    /// The node's id.
    pub node: String,
    /// The input that names the file.
    pub input: String,
}

/// Where a model can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelSource {
    /// The address.
    pub url: String,
    /// Who says so.
    pub evidence: Evidence,
}

/// Who says something, nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The workflow, or the sidecar beside it.
    Workflow,
    /// The project's `models.toml`.
    Project,
    /// ComfyUI-Manager's list, by file name and folder.
    Manager,
    /// The table of what packs fetch at first use.
    Hidden,
}

/// A licence that restricts what may be done with a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Licence {
    /// What it is called.
    pub name: String,
    /// How it restricts.
    pub kind: LicenceKind,
    /// What binds, in a few words.
    pub terms: String,
    /// Where it can be read.
    pub source: String,
    /// Whether the author of a workflow or of the project said that their use is covered.
    pub accepted: bool,
}

impl ModelNeed {
    /// A file in a folder that nobody needs yet.
    pub(crate) fn new(folder: &str, file: &str) -> Self {
        let licence = licence_of(file).map(|licence| Licence {
            name: licence.name.clone(),
            kind: licence.kind,
            terms: licence.terms.clone(),
            source: licence.source.clone(),
            accepted: false,
        });
        Self {
            folder: folder.to_owned(),
            file: file.to_owned(),
            uses: Vec::new(),
            sources: Vec::new(),
            sha256: None,
            size: None,
            licence,
            fetched_by_node: false,
        }
    }

    /// The name of the file without folders.
    pub fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }

    /// Workflows that need it.
    pub fn workflows(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.uses.iter().map(|one| one.workflow.as_str()).collect();
        names.dedup();
        names
    }

    /// Adds an address. What was said before by somebody nearer stays in front of it.
    pub(crate) fn add_source(&mut self, url: &str, evidence: Evidence) {
        if self.sources.iter().any(|source| source.url == url) {
            return;
        }
        let at = self.sources.partition_point(|source| source.evidence <= evidence);
        self.sources.insert(at, ModelSource { url: url.to_owned(), evidence });
    }
}
