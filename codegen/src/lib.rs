//! Turns workflows into Rust.
//!
//! A build script calls [`build`]; tests and tools call [`generate`], which is pure: workflows in, files or
//! diagnostics out, the same bytes whatever the order, the place or the time.

mod build;
mod emit;
mod names;

use std::collections::BTreeMap;

use comfyport_workflow::{Catalog, Diagnostic, Endpoint, Options, Sidecar, route};

pub use build::build;

/// One workflow file.
#[derive(Debug, Clone)]
pub struct Template {
    /// The route without its leading slash: the path of the file without its ending.
    pub path: String,
    /// The exported workflow.
    pub json: Vec<u8>,
    /// The text of the sidecar file beside it.
    pub sidecar: Option<String>,
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
    let mut endpoints = Vec::new();
    for template in templates {
        let file = format!("{}.json", template.path);
        match infer(template, &file, catalog) {
            Ok(mut endpoint) => {
                comfyport_workflow::settle(&mut endpoint);
                diagnostics.extend(endpoint.diagnostics.iter().map(|found| (file.clone(), found.clone())));
                endpoints.push(endpoint);
            }
            Err(found) => diagnostics.extend(found.into_iter().map(|found| (file.clone(), found))),
        }
    }
    if diagnostics.iter().any(|(_, found)| found.is_error()) {
        return Err(diagnostics);
    }
    Ok(Generated { files: emit::files(&endpoints), diagnostics })
}

fn infer(template: &Template, file: &str, catalog: &Catalog) -> Result<Endpoint, Vec<Diagnostic>> {
    let sidecar = template.sidecar.as_deref().map(Sidecar::parse).transpose()?;
    let options = Options { file, path: &template.path, catalog, sidecar: sidecar.as_ref(), lock: None };
    comfyport_workflow::endpoint(&template.json, &options)
}
