//! `comfyport lock`

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use comfyport_workflow::{Accepted, Diagnostic};

use super::{files, workflow_file::WorkflowFile};
use crate::{cli::LockFiles, say};

/// Exits 0 if every workflow has a lock that it keeps, 1 if not, 2 if a file cannot be read.
pub(crate) fn check(arguments: &LockFiles) -> ExitCode {
    let look = |file: &WorkflowFile, text: &mut String| {
        let found = match accepted(file) {
            Ok(accepted) => accepted,
            Err(diagnostics) => return Ok(tell(file, &diagnostics, text)),
        };
        let Some(lock) = &file.lock_text else {
            let _ = writeln!(text, "{}: not locked; `comfyport lock accept` does", file.shown());
            return Ok(false);
        };
        for change in &found.changes {
            let _ = writeln!(text, "{}: {change}", file.shown());
        }
        if found.changes.is_empty() && found.lock.render() != *lock {
            let _ = writeln!(
                text,
                "{}: kept; nodes or defaults moved, `comfyport lock accept` notes it",
                file.shown()
            );
        }
        Ok(found.changes.is_empty())
    };
    each(arguments, look)
}

/// Writes every lock anew and prints what that changes. Exits 0, or 1 if a workflow makes no endpoint.
pub(crate) fn accept(arguments: &LockFiles) -> ExitCode {
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
    for file in files {
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

/// The files that were named, and every workflow below the folders that were named, in order.
fn workflows(named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    for path in named {
        if path.is_dir() {
            let found = files::workflows_below(path);
            all.extend(found.map_err(|error| format!("{}: {error}", path.display()))?);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}
