//! Turns workflows into Rust.
//!
//! A build script calls [`build`]; tests and tools call [`generate`], which is pure: workflows in, files or
//! diagnostics out, the same bytes whatever the order, the place or the time.

mod build;
mod emit;
mod names;

use std::collections::BTreeMap;

use comfyport_workflow::{
    Accepted, Catalog, Diagnostic, Endpoint, Lock, Options, Sidecar,
    route::{self, Place},
};

pub use build::build;

/// One workflow file.
#[derive(Debug, Clone)]
pub struct Template {
    /// The path of the file without its ending, with `/` between folders. The route is the same unless there are
    /// versions: `portrait@2` is served at `portrait` and `v2/portrait`.
    pub path: String,
    /// The file as diagnostics name it: `path` with its ending.
    pub file: String,
    /// The exported workflow, or a file of ComfyUI's that holds one.
    pub bytes: Vec<u8>,
    /// The text of the sidecar file beside it.
    pub sidecar: Option<String>,
    /// The text of the lock file beside it.
    pub lock: Option<String>,
}

/// What was generated.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// Files by their path below the output folder, `endpoints.rs` first among them.
    pub files: BTreeMap<String, String>,
    /// Warnings and notes, with the file they are about.
    pub diagnostics: Vec<(String, Diagnostic)>,
}

/// Generates a module for each workflow and the list of all of them. Errors are all errors of all workflows.
pub fn generate(templates: &[Template], catalog: &Catalog) -> Result<Generated, Vec<(String, Diagnostic)>> {
    let mut templates: Vec<&Template> = templates.iter().collect();
    templates.sort_by(|left, right| left.path.cmp(&right.path));
    let mut diagnostics = route::check(templates.iter().map(|template| template.path.as_str()));
    let places = route::places(templates.iter().map(|template| template.path.as_str()));
    let mut endpoints = Vec::new();
    for template in templates {
        let file = &template.file;
        match infer(template, places.get(template.path.as_str()), catalog) {
            Ok(endpoint) => {
                diagnostics.extend(endpoint.diagnostics.iter().map(|found| (file.clone(), found.clone())));
                endpoints.push(endpoint);
            }
            Err(found) => diagnostics.extend(found.into_iter().map(|found| (file.clone(), found))),
        }
    }
    if diagnostics.iter().any(|(_, found)| found.is_error()) {
        return Err(diagnostics);
    }
    endpoints.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(Generated { files: emit::files(&endpoints), diagnostics })
}

fn infer(template: &Template, place: Option<&Place>, catalog: &Catalog) -> Result<Endpoint, Vec<Diagnostic>> {
    let infer = |options: &Options<'_>| comfyport_workflow::endpoint(&template.bytes, options);
    // One without a place is refused anyway.
    let Some(place) = place else { return template.with_options(&template.path, catalog, infer) };
    let mut endpoint = template.with_options(&place.path, catalog, infer)?;
    endpoint.version.clone_from(&place.version);
    Ok(endpoint)
}

impl Template {
    /// Takes the API that the workflow has now for its public one.
    pub fn accept(&self, catalog: &Catalog) -> Result<Accepted, Vec<Diagnostic>> {
        self.with_options(&self.path, catalog, |options| comfyport_workflow::accept(&self.bytes, options))
    }

    fn with_options<T>(
        &self,
        path: &str,
        catalog: &Catalog,
        action: impl FnOnce(&Options<'_>) -> Result<T, Vec<Diagnostic>>,
    ) -> Result<T, Vec<Diagnostic>> {
        let sidecar = self.sidecar.as_deref().map(Sidecar::parse).transpose()?;
        let lock = self.lock.as_deref().map(Lock::parse).transpose()?;
        action(&Options { file: &self.file, path, catalog, sidecar: sidecar.as_ref(), lock: lock.as_ref() })
    }
}
