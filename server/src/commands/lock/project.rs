//! `comfyport lock`, without another word: what the workflows of a project need, pinned in `comfyport.lock`.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use comfyport_needs::{
    Difference, LockedModel, LockedPack, ModelList, Needs, ProjectLock,
    manager::ManagerModels,
    same_repository,
    snapshot::{self, LeftOut},
};
use comfyport_workflow::route;
use serde_json::{Value, json};

use super::{
    Found,
    arguments::{LockExport, LockImport, LockProject, SnapshotKind},
    resolve::{Resolved, Resolver, Suggestion},
    workflows,
};
use crate::{
    cli::Format,
    commands::{files, remote::printable, workflow_file::WorkflowFile},
    say,
};

/// The lock of a project, in its folder of workflows.
pub(crate) const LOCK: &str = route::PROJECT_LOCK;

/// What a project knows of models, beside it.
const LIST: &str = route::PROJECT_MODELS;

/// Writes the lock, or says what it would change. Exits 0; 1 if a workflow makes no endpoint, or `--check` finds
/// something.
pub(crate) fn run(arguments: &LockProject) -> ExitCode {
    match locked(arguments) {
        Ok((report, fine)) => {
            let said = say::data(&report);
            if fine { said } else { ExitCode::from(1) }
        }
        Err(error) => say::refuse(error),
    }
}

/// What was found, before and after.
struct Outcome {
    path: PathBuf,
    needs: Needs,
    lock: ProjectLock,
    /// What the lock on disk said otherwise.
    changes: Vec<Difference>,
    /// What is not known exactly.
    loose: Vec<Difference>,
    /// Workflows that make no endpoint.
    faulty: Vec<String>,
    /// What came of asking others.
    resolved: Option<Resolved>,
}

fn locked(arguments: &LockProject) -> Result<(String, bool), String> {
    let place = Project::open(&arguments.folder)?;
    let (mut needs, faulty) = place.needs(arguments.object_info.as_deref())?;
    if let Some(file) = &arguments.manager_models {
        let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let list = ManagerModels::parse(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        needs.learn_manager(&list);
    }
    let before = place.lock()?;
    needs.learn_lock(&before);
    let resolver = if arguments.resolve { Some(Resolver::open(arguments)?) } else { None };
    if let Some(resolver) = &resolver {
        resolver.learn(&mut needs);
    }
    if arguments.take_likely {
        for pack in &mut needs.packs {
            pack.take();
        }
    }
    let changes: Vec<Difference> =
        before.compare(&needs).into_iter().filter(|difference| !difference.is_loose()).collect();
    let mut lock = before.updated(&needs);
    if let Some(version) = &arguments.comfyui {
        lock.comfyui = Some(version.clone());
    }
    let resolved = resolver.map(|resolver| resolver.resolve(&needs, &mut lock));
    let loose: Vec<Difference> = lock.compare(&needs).into_iter().filter(Difference::is_loose).collect();
    let undecided = needs.packs.iter().any(comfyport_needs::PackNeed::is_ambiguous);
    let fine = if arguments.check {
        changes.is_empty() && faulty.is_empty() && !(arguments.strict && (undecided || !loose.is_empty()))
    } else {
        if faulty.is_empty() {
            place.write(&lock)?;
        }
        faulty.is_empty()
    };
    let outcome = Outcome { path: place.file(LOCK), needs, lock, changes, loose, faulty, resolved };
    let report = match arguments.format {
        Format::Text => outcome.text(arguments.check),
        Format::Json => format!("{:#}\n", outcome.json()),
    };
    Ok((report, fine))
}

/// A folder of workflows with what lies beside them.
pub(crate) struct Project {
    folder: PathBuf,
    found: Vec<Found>,
}

impl Project {
    /// The project of a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        if !folder.is_dir() {
            return Err(format!("{} is no folder of workflows", folder.display()));
        }
        let found = workflows(&[folder.to_path_buf()])?;
        for (reserved, what) in [(LOCK, "the lock of the project"), (LIST, "its list of models")] {
            let taken = Path::new(reserved).with_extension("");
            if found.iter().any(|file| file.below.with_extension("") == taken) {
                let name = taken.display();
                return Err(format!(
                    "a workflow is called `{name}`, and {reserved} beside it would be {what}: rename it"
                ));
            }
        }
        Ok(Self { folder: folder.to_owned(), found })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What its workflows need, with what its list knows of models; and files that make no endpoint.
    pub(crate) fn needs(&self, object_info: Option<&Path>) -> Result<(Needs, Vec<String>), String> {
        let (mut endpoints, mut faulty) = (Vec::new(), Vec::new());
        for Found { file, .. } in &self.found {
            let read = WorkflowFile::read_below(&self.folder, file, object_info)?;
            match read.endpoint() {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(_) => faulty.push(read.shown().to_owned()),
            }
        }
        let mut needs = Needs::of(&endpoints);
        if let Some(text) = read_if_there(&self.file(LIST))? {
            let list =
                ModelList::parse(&text).map_err(|error| format!("{}: {error}", self.file(LIST).display()))?;
            needs.learn_list(&list);
        }
        Ok((needs, faulty))
    }

    /// Its lock; an empty one if there is none.
    pub(crate) fn lock(&self) -> Result<ProjectLock, String> {
        let path = self.file(LOCK);
        let Some(text) = read_if_there(&path)? else { return Ok(ProjectLock::default()) };
        ProjectLock::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn write(&self, lock: &ProjectLock) -> Result<(), String> {
        let path = self.file(LOCK);
        files::replace(&path, lock.write().as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

impl Outcome {
    fn text(&self, is_check: bool) -> String {
        let mut text = String::new();
        for file in &self.faulty {
            let _ = writeln!(text, "error: {file} makes no endpoint: `comfyport check {file}` says why");
        }
        let (models, packs) = (self.lock.models.len(), self.lock.packs.len());
        let path = self.path.display();
        let what = match (is_check, self.changes.is_empty(), self.faulty.is_empty()) {
            (true, true, _) => "is what the workflows need",
            (true, false, _) => "is not what the workflows need; `comfyport lock` writes it anew",
            (false, _, false) => "was left as it is",
            (false, true, true) => "unchanged",
            (false, false, true) => "written",
        };
        let _ = writeln!(text, "{path}: {what}: {models} models, {packs} node packs");
        for change in &self.changes {
            let _ = writeln!(text, "  {change}");
        }
        self.tell_resolved(&mut text);
        for loose in &self.loose {
            let help = match loose {
                Difference::LooseModel { lacks: "a hash", .. } => "`sha256` in models.toml",
                Difference::LooseModel { .. } => "say where it comes from in models.toml",
                _ => "give `version` in a sidecar file, [node_packs.<id>]; `--resolve` pins the newest",
            };
            let _ = writeln!(text, "warning: {loose}: {help}");
        }
        for pack in self.needs.packs.iter().filter(|pack| pack.is_ambiguous()) {
            let taken = pack.repository.as_deref().unwrap_or(&pack.id);
            let _ = writeln!(
                text,
                "undecided: {} of {}: {taken}, or",
                pack.doubtful.join(", "),
                pack.workflows.join(", ")
            );
            for other in &pack.candidates {
                let _ = writeln!(text, "  {other}");
            }
            let _ = writeln!(
                text,
                "  help: name one in a sidecar file, [node_packs.<id>] with `repository` and `classes`; `--take-likely` takes the first"
            );
        }
        for (class, workflows) in &self.needs.unresolved {
            let names: Vec<&str> = workflows.iter().map(String::as_str).collect();
            let _ = writeln!(text, "warning: no node pack is known for `{class}` of {}", names.join(", "));
        }
        for model in &self.needs.models {
            if let Some(licence) = model.licence.as_ref().filter(|licence| !licence.accepted) {
                let _ = writeln!(
                    text,
                    "warning: {} is under the {}: {}; if your use is covered, `licence_accepted = true` in models.toml or a sidecar file",
                    model.file, licence.name, licence.terms
                );
            }
        }
        text
    }

    fn tell_resolved(&self, text: &mut String) {
        let Some(resolved) = &self.resolved else { return };
        for found in &resolved.found {
            let _ = writeln!(text, "  {}", printable(found));
        }
        for failure in &resolved.failures {
            let _ = writeln!(text, "warning: {}", printable(failure));
        }
        for Suggestion { what, file, lines } in &resolved.suggestions {
            let _ = writeln!(text, "suggestion: {what}\n  if it is, in {file}:");
            for line in lines.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }

    fn json(&self) -> Value {
        let said =
            |differences: &[Difference]| differences.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "lock": self.path.display().to_string(),
            "needs": self.needs,
            "changes": said(&self.changes),
            "loose": said(&self.loose),
            "faulty": self.faulty,
            "resolved": self.resolved,
        })
    }
}

/// Takes what a snapshot of others pins over into the lock.
pub(crate) fn import(arguments: &LockImport) -> ExitCode {
    match imported(arguments) {
        Ok(text) => say::data(&text),
        Err(error) => say::refuse(error),
    }
}

fn imported(arguments: &LockImport) -> Result<String, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", arguments.snapshot.display());
    let bytes = fs::read(&arguments.snapshot).map_err(|error| named(&error))?;
    let (theirs, left) = snapshot::read(&bytes).map_err(|error| named(&error))?;
    let project = Project::open(&arguments.folder)?;
    let (needs, _) = project.needs(None)?;
    let mut lock = project.lock()?.updated(&needs);
    lock.comfyui = theirs.comfyui.clone().or(lock.comfyui);
    lock.python = theirs.python.clone().or(lock.python);
    let mut text = String::new();
    for pack in &mut lock.packs {
        let is_it = |one: &&LockedPack| {
            let repositories = one.repository.as_deref().zip(pack.repository.as_deref());
            one.id.eq_ignore_ascii_case(&pack.id)
                || repositories.is_some_and(|(one, other)| same_repository(one, other))
        };
        if let Some(found) = theirs.packs.iter().find(is_it).filter(|found| found.pin().is_some()) {
            pack.version.clone_from(&found.version);
            pack.commit.clone_from(&found.commit);
            let pin = found.version.as_deref().or(found.commit.as_deref()).unwrap_or_default();
            let _ = writeln!(text, "node pack {} at {pin}", pack.id);
        }
    }
    for model in &mut lock.models {
        let is_it = |one: &&LockedModel| one.folder == model.folder && one.file == model.file;
        if let Some(found) = theirs.models.iter().find(is_it) {
            model.sha256.clone_from(&found.sha256);
            model.size = found.size;
            model.urls.extend(
                found.urls.iter().filter(|url| !model.urls.contains(url)).cloned().collect::<Vec<_>>(),
            );
            let _ = writeln!(text, "model {}", model.name());
        }
    }
    project.write(&lock)?;
    let LeftOut { files, disabled, models } = left;
    for (what, names) in
        [("packs of one file", files), ("turned off", disabled), ("models without path or hash", models)]
    {
        if !names.is_empty() {
            say::line(format_args!("left out, {what}: {}", names.join(", ")));
        }
    }
    if text.is_empty() {
        text.push_str("nothing in it is needed by a workflow\n");
    }
    Ok(text)
}

/// Prints the lock in a form of others.
pub(crate) fn export(arguments: &LockExport) -> ExitCode {
    let lock = Project::open(&arguments.folder).and_then(|project| project.lock());
    match lock {
        Ok(lock) => say::data(&match arguments.kind {
            SnapshotKind::Manager => snapshot::write_manager(&lock),
            SnapshotKind::ComfyPack => snapshot::write_comfy_pack(&lock),
        }),
        Err(error) => say::refuse(error),
    }
}
