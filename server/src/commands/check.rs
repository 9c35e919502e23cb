//! `comfyport check`

use std::{fmt::Write as _, path::Path, process::ExitCode};

use comfyport_workflow::{Diagnostic, Endpoint};
use serde::Serialize;

use super::workflow_file::WorkflowFile;
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
    let file = WorkflowFile::read(file, object_info)?;
    Ok(match file.endpoint() {
        Ok(endpoint) => Checked::Endpoint(Box::new(endpoint)),
        Err(diagnostics) => Checked::Unreadable(Unreadable {
            file: file.shown().to_owned(),
            path: file.path.clone(),
            title: file.path.clone(),
            params: [],
            outputs: [],
            models: [],
            node_packs: [],
            diagnostics,
        }),
    })
}
