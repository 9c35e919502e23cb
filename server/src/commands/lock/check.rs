//! `comfyport lock check`

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use comfyport_workflow::{Change, Diagnostic, Lock};
use serde::Serialize;

use super::{
    super::{files, workflow_file::WorkflowFile},
    Found,
    arguments::{LockCheck, LockFiles},
};
use crate::{cli::Format, say};

/// What machines read.
#[derive(Serialize)]
struct Report {
    /// Whether callers of what was locked may break.
    breaking: bool,
    workflows: Vec<Verdict>,
}

/// How one workflow compares with its lock.
#[derive(Serialize)]
struct Verdict {
    file: String,
    status: Status,
    /// Whether callers of what was locked may break.
    breaking: bool,
    changes: Vec<Change>,
    /// What stands in the way of an endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// The API is the same.
    Kept,
    /// The API is the same, the lock is not: nodes or defaults moved.
    Noted,
    /// The API differs.
    Changed,
    /// There is no lock.
    Unlocked,
    /// No endpoint can be made of it.
    Unusable,
    /// It was not there.
    New,
    /// It is not there any more.
    Gone,
}

/// Exits 0 if every workflow has a lock that it keeps, 1 if not, 2 if a file cannot be read. Compared with other
/// locks, differences that break no caller are fine.
pub(crate) fn run(arguments: &LockCheck) -> ExitCode {
    let verdicts = match verdicts(arguments) {
        Ok(verdicts) => verdicts,
        Err(error) => return say::refuse(error),
    };
    let against = arguments.against.is_some();
    let fine = verdicts.iter().all(|verdict| match verdict.status {
        Status::Kept | Status::Noted => true,
        Status::Changed | Status::New => against && !verdict.breaking,
        Status::Unlocked | Status::Unusable | Status::Gone => false,
    });
    let text = match arguments.format {
        Format::Text => verdicts.iter().map(Verdict::readable).collect(),
        Format::Json => {
            let breaking = verdicts.iter().any(|verdict| verdict.breaking);
            match serde_json::to_string_pretty(&Report { breaking, workflows: verdicts }) {
                Ok(text) => text + "\n",
                Err(error) => return say::refuse(error),
            }
        }
    };
    let said = say::data(&text);
    if fine { said } else { ExitCode::from(1) }
}

fn verdicts(arguments: &LockCheck) -> Result<Vec<Verdict>, String> {
    let LockFiles { files: named, object_info } = &arguments.files;
    let mut verdicts = Vec::new();
    // What the project needs is no API.
    let mut met = BTreeSet::from([PathBuf::from(super::project::LOCK)]);
    for Found { file, below } in super::workflows(named)? {
        let file = WorkflowFile::read(&file, object_info.as_deref())?;
        verdicts.push(match &arguments.against {
            None => Verdict::of(&file),
            Some(folder) => Verdict::against(&file, &folder.join(&below).with_extension("lock"))?,
        });
        met.insert(below.with_extension("lock"));
    }
    // Whoever names a file does not ask for others.
    if let Some(folder) = arguments.against.as_ref().filter(|_| named.iter().all(|path| path.is_dir())) {
        let locks = files::below(folder, &|name| name.ends_with(".lock"))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let is_gone = |lock: &&PathBuf| lock.strip_prefix(folder).is_ok_and(|below| !met.contains(below));
        verdicts.extend(locks.iter().filter(is_gone).map(|lock| Verdict::gone(lock)));
    }
    Ok(verdicts)
}

impl Verdict {
    fn new(file: String, status: Status, changes: Vec<Change>) -> Self {
        let breaking = changes.iter().any(|change| change.breaking);
        Self { file, status, breaking, changes, diagnostics: Vec::new() }
    }

    fn unusable(file: &WorkflowFile, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.retain(Diagnostic::is_error);
        Self { diagnostics, ..Self::new(file.shown().to_owned(), Status::Unusable, Vec::new()) }
    }

    fn gone(lock: &Path) -> Self {
        Self { breaking: true, ..Self::new(lock.display().to_string(), Status::Gone, Vec::new()) }
    }

    /// Compared with the lock beside it.
    fn of(file: &WorkflowFile) -> Self {
        let found = match super::accepted(file) {
            Ok(accepted) => accepted,
            Err(diagnostics) => return Self::unusable(file, diagnostics),
        };
        let status = match &file.lock_text {
            None => Status::Unlocked,
            Some(_) if !found.changes.is_empty() => Status::Changed,
            Some(lock) if found.lock.render() == *lock => Status::Kept,
            Some(_) => Status::Noted,
        };
        Self::new(file.shown().to_owned(), status, found.changes)
    }

    /// Compared with a lock from elsewhere.
    fn against(file: &WorkflowFile, lock: &Path) -> Result<Self, String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", lock.display());
        let text = match fs::read_to_string(lock) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::new(file.shown().to_owned(), Status::New, Vec::new()));
            }
            Err(error) => return Err(named(&error)),
        };
        let former = Lock::parse(&text).map_err(|found| {
            let messages: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
            named(&messages.join("; "))
        })?;
        let compared =
            file.with_options(|options| comfyport_workflow::compare(&file.bytes, options, &former));
        Ok(match compared {
            Ok(changes) => {
                let status = if changes.is_empty() { Status::Kept } else { Status::Changed };
                Self::new(file.shown().to_owned(), status, changes)
            }
            Err(diagnostics) => Self::unusable(file, diagnostics),
        })
    }

    fn readable(&self) -> String {
        let file = &self.file;
        match self.status {
            Status::Kept => String::new(),
            Status::Noted => {
                format!("{file}: kept; nodes or defaults moved, `comfyport lock accept` notes it\n")
            }
            Status::Changed => self.changes.iter().map(|change| format!("{file}: {change}\n")).collect(),
            Status::Unlocked => format!("{file}: not locked; `comfyport lock accept` does\n"),
            Status::Unusable => self.diagnostics.iter().map(|found| found.render(file)).collect(),
            Status::New => format!("{file}: new (compatible)\n"),
            Status::Gone => format!("{file}: its workflow is gone (breaking)\n"),
        }
    }
}
