//! `comfyport check`

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use comfyport_workflow::{Catalog, Diagnostic, Endpoint, Options, Sidecar};
use serde::Serialize;

use crate::{
    cli::{Check, Format},
    say,
};

/// What machines read.
#[derive(Serialize)]
struct Report {
    endpoints: Vec<Checked>,
}

/// An endpoint, or what stood in its way.
#[derive(Serialize)]
#[serde(untagged)]
enum Checked {
    Endpoint(Box<Endpoint>),
    Unreadable(Unreadable),
}

/// A file without a graph, in the shape of an endpoint without content.
#[derive(Serialize)]
struct Unreadable {
    file: String,
    path: String,
    title: String,
    params: [(); 0],
    outputs: [(); 0],
    models: [(); 0],
    node_packs: [(); 0],
    diagnostics: Vec<Diagnostic>,
}

/// Exits 0 if every file makes an endpoint, 1 if one does not, 2 if one cannot be read.
pub(crate) fn run(arguments: &Check) -> ExitCode {
    let mut endpoints = Vec::new();
    for file in &arguments.files {
        match check(file, arguments.object_info.as_deref()) {
            Ok(checked) => endpoints.push(checked),
            Err(error) => return say::refuse(error),
        }
    }
    let faulty = endpoints.iter().any(|checked| match checked {
        Checked::Endpoint(endpoint) => !endpoint.is_usable(),
        Checked::Unreadable(_) => true,
    });
    let text = match arguments.format {
        Format::Text => readable(&endpoints),
        Format::Json => match serde_json::to_string_pretty(&Report { endpoints }) {
            Ok(text) => text + "\n",
            Err(error) => return say::refuse(error),
        },
    };
    let said = say::data(&text);
    if faulty { ExitCode::from(1) } else { said }
}

fn readable(endpoints: &[Checked]) -> String {
    let mut text = String::new();
    for (index, checked) in endpoints.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        match checked {
            Checked::Endpoint(endpoint) => text.push_str(&comfyport_workflow::report(endpoint)),
            Checked::Unreadable(unreadable) => {
                for diagnostic in &unreadable.diagnostics {
                    let _ = write!(text, "{}", diagnostic.render(&unreadable.file));
                }
            }
        }
    }
    text
}

fn check(file: &Path, object_info: Option<&Path>) -> Result<Checked, String> {
    let shown = file.display().to_string();
    let bytes = read(file)?;
    let path = route(file);
    let catalog = catalog(file, object_info)?;
    let unreadable = |diagnostics| {
        let title = path.clone();
        let (params, outputs, models, node_packs) = ([], [], [], []);
        Checked::Unreadable(Unreadable {
            file: shown.clone(),
            path: path.clone(),
            title,
            params,
            outputs,
            models,
            node_packs,
            diagnostics,
        })
    };
    let beside = file.with_extension("toml");
    let sidecar = if beside.is_file() {
        let text =
            std::fs::read_to_string(&beside).map_err(|error| format!("{}: {error}", beside.display()))?;
        match Sidecar::parse(&text) {
            Ok(sidecar) => Some(sidecar),
            Err(diagnostics) => return Ok(unreadable(diagnostics)),
        }
    } else {
        None
    };
    let options =
        Options { file: &shown, path: &path, catalog: &catalog, sidecar: sidecar.as_ref(), lock: None };
    Ok(match comfyport_workflow::endpoint(&bytes, &options) {
        Ok(endpoint) => Checked::Endpoint(Box::new(endpoint)),
        Err(diagnostics) => unreadable(diagnostics),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The route a file would have: its path below a `workflow_templates` folder, else its name.
fn route(file: &Path) -> String {
    let stem = file.with_extension("");
    let parts: Vec<String> = stem.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let root = parts.iter().rposition(|part| part == "workflow_templates");
    let below = root.map_or(parts.len().saturating_sub(1), |root| root + 1);
    parts.get(below..).unwrap_or_default().join("/")
}

/// The core catalog, extended by a file that was named, else by `object_info.json` in the folder of workflows.
fn catalog(file: &Path, object_info: Option<&Path>) -> Result<Catalog, String> {
    let mut catalog = Catalog::core().clone();
    let beside = || -> Option<PathBuf> {
        let folders = file.ancestors().skip(1).take(4);
        let own = folders.map(|folder| folder.join("object_info.json")).find(|path| path.is_file());
        own.filter(|path| path != file)
    };
    if let Some(path) = object_info.map(Path::to_owned).or_else(beside) {
        let (own, odd) = Catalog::from_object_info(&read(&path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        for diagnostic in odd {
            say::line(diagnostic.render(&path.display().to_string()).trim_end());
        }
        catalog.extend(own);
    }
    Ok(catalog)
}
