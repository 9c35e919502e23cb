//! The endpoints that are served: those compiled in, and those of a folder, which change while the server runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use comfyport_endpoint::{Endpoint, Held, Text};
use comfyport_workflow::Diagnostic;

use crate::{openapi::Document, versions::Versions};

/// All endpoints, as of now.
#[derive(Debug)]
pub struct Endpoints {
    compiled: &'static [&'static Endpoint],
    now: RwLock<Arc<Snapshot>>,
}

/// All endpoints of one moment. Whoever holds it is not disturbed by what changes meanwhile.
#[derive(Debug)]
pub struct Snapshot {
    entries: Vec<Entry>,
    by_path: BTreeMap<Text, usize>,
    /// Which versions of workflows there are.
    pub versions: Versions,
    /// Their OpenAPI document, built when first asked for.
    pub document: Document,
}

/// Whether a path is meant by a pattern: itself, or the beginning of paths and `*`, as `image/*`.
pub(crate) fn is_among(path: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == pattern,
    }
}

/// A workflow, served or not.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The route without its leading slash.
    pub path: Text,
    /// What is served at this path; nothing if the workflow never made an endpoint.
    pub endpoint: Option<Held<Endpoint>>,
    /// The file it was read from while the server ran; nothing of it is compiled.
    pub file: Option<File>,
}

/// The state of a workflow's file.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path below the folder, with `/` between folders.
    pub name: String,
    /// Whether it makes an endpoint as it is now. If not, what is served was made from an earlier state of it.
    pub usable: bool,
    /// What is wrong or odd with it.
    pub diagnostics: Vec<Diagnostic>,
}

impl Endpoints {
    /// Those compiled in, and nothing else yet.
    pub fn new(compiled: &'static [&'static Endpoint]) -> Self {
        Self { compiled, now: RwLock::new(Arc::new(Snapshot::new(compiled, &[]))) }
    }

    /// Those of this moment.
    pub fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those compiled in.
    pub fn compiled(&self) -> &'static [&'static Endpoint] {
        self.compiled
    }

    /// Serves these beside those compiled in. Requests and runs under way keep what they started with.
    pub fn replace(&self, dynamic: &[Entry]) {
        let next = Arc::new(Snapshot::new(self.compiled, dynamic));
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl Snapshot {
    fn new(compiled: &'static [&'static Endpoint], dynamic: &[Entry]) -> Self {
        let compiled = compiled.iter().map(|endpoint| Entry {
            path: endpoint.path.clone(),
            endpoint: Some(Held::Static(*endpoint)),
            file: None,
        });
        let mut entries: Vec<Entry> = compiled.chain(dynamic.iter().cloned()).collect();
        // A stable order: what is compiled stays before a file of the same path.
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        let mut by_path = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.endpoint.is_some()) {
            by_path.entry(entry.path.clone()).or_insert(index);
        }
        let versions = Versions::of(entries.iter().filter_map(|entry| entry.endpoint.as_deref()));
        let document = Document::new(entries.iter().filter_map(|entry| entry.endpoint.clone()).collect());
        Self { entries, by_path, versions, document }
    }

    /// All workflows in the order of their paths, those that are not served included.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is served at a path. Where there are versions, the path without a number leads to the newest.
    pub fn find(&self, path: &str) -> Option<&Entry> {
        let exact = self.by_path.get(path);
        let index = exact.or_else(|| self.by_path.get(self.versions.newest(path)?.as_str()))?;
        self.entries.get(*index)
    }

    /// All endpoints in the order of their paths.
    pub fn served(&self) -> impl Iterator<Item = &Held<Endpoint>> {
        self.by_path.values().filter_map(|index| self.entries[*index].endpoint.as_ref())
    }
}
