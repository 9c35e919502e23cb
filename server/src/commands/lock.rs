//! `comfyport lock`

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use comfyport_workflow::{Accepted, Diagnostic};

use self::arguments::{Lock, LockAction, LockFiles};
use super::{files, workflow_file::WorkflowFile};
use crate::say;

pub(crate) mod arguments;
mod check;
pub(crate) mod project;
mod resolve;

/// Does what is asked for.
pub(crate) fn run(arguments: &Lock) -> ExitCode {
    match &arguments.action {
        None => project::run(&arguments.project),
        Some(LockAction::Import(wanted)) => project::import(wanted),
        Some(LockAction::Export(wanted)) => project::export(wanted),
        Some(LockAction::Check(wanted)) => check::run(wanted),
        Some(LockAction::Accept(wanted)) => accept(wanted),
    }
}

/// Writes every lock anew and prints what that changes. Exits 0, or 1 if a workflow makes no endpoint.
fn accept(arguments: &LockFiles) -> ExitCode {
    let take = |file: &WorkflowFile, text: &mut String| {
        let found = match accepted(file) {
            Ok(accepted) => accepted,
            Err(diagnostics) => return Ok(tell(file, &diagnostics, text)),
        };
        let lock = found.lock.render();
        let what = match &file.lock_text {
            None => "locked",
            Some(old) if *old == lock => "unchanged",
            Some(_) if found.changes.is_empty() => "the API is the same; nodes or defaults noted",
            Some(_) => "the API changed",
        };
        let _ = writeln!(text, "{}: {what}", file.shown());
        for change in &found.changes {
            let _ = writeln!(text, "  {change}");
        }
        let path = file.file.with_extension("lock");
        files::replace(&path, lock.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(true)
    };
    each(arguments, take)
}

fn accepted(file: &WorkflowFile) -> Result<Accepted, Vec<Diagnostic>> {
    file.with_options(|options| comfyport_workflow::accept(&file.bytes, options))
}

fn tell(file: &WorkflowFile, diagnostics: &[Diagnostic], text: &mut String) -> bool {
    for found in diagnostics.iter().filter(|found| found.is_error()) {
        text.push_str(&found.render(file.shown()));
    }
    false
}

fn each(
    arguments: &LockFiles,
    action: impl Fn(&WorkflowFile, &mut String) -> Result<bool, String>,
) -> ExitCode {
    let (mut text, mut fine) = (String::new(), true);
    let files = match workflows(&arguments.files) {
        Ok(files) => files,
        Err(error) => return say::refuse(error),
    };
    for Found { file, .. } in files {
        let done = WorkflowFile::read(&file, arguments.object_info.as_deref())
            .and_then(|file| action(&file, &mut text));
        match done {
            Ok(kept) => fine &= kept,
            Err(error) => {
                say::data(&text);
                return say::refuse(error);
            }
        }
    }
    let said = say::data(&text);
    if fine { said } else { ExitCode::from(1) }
}

/// A file, and its path below the folder that was named.
struct Found {
    file: PathBuf,
    below: PathBuf,
}

/// The files that were named, and every workflow below the folders that were named, in order.
fn workflows(named: &[PathBuf]) -> Result<Vec<Found>, String> {
    let mut all = Vec::new();
    for path in named {
        if path.is_dir() {
            let found =
                files::workflows_below(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let below = |file: &PathBuf| file.strip_prefix(path).map(PathBuf::from).unwrap_or_default();
            all.extend(found.into_iter().map(|file| Found { below: below(&file), file }));
        } else {
            let below = path.file_name().map(PathBuf::from).unwrap_or_default();
            all.push(Found { file: path.clone(), below });
        }
    }
    Ok(all)
}
