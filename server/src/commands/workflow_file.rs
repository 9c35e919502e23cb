//! A workflow file with what lies beside it.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use comfyport_workflow::{
    Catalog, Diagnostic, Endpoint, LARGEST_FILE, Lock, Options, Sidecar,
    route::{self, Version},
};

use crate::say;

/// A workflow, its sidecar and lock, and the node definitions that hold for it.
pub(super) struct WorkflowFile {
    /// The file as it was named.
    pub(super) file: PathBuf,
    /// The route it would have.
    pub(super) path: String,
    /// Which version it is, if files beside it or its own name say that there are several.
    version: Option<Version>,
    /// What is wrong with its place among the files beside it.
    misplaced: Vec<Diagnostic>,
    pub(super) bytes: Vec<u8>,
    /// The text of the lock as it is on disk.
    pub(super) lock_text: Option<String>,
    shown: String,
    sidecar: Option<String>,
    catalog: Catalog,
}

impl WorkflowFile {
    /// Below a `workflow_templates` folder, or in a folder of its own.
    pub(super) fn read(file: &Path, object_info: Option<&Path>) -> Result<Self, String> {
        Self::read_at(Place::of(file, &stem), file, object_info)
    }

    /// Below a folder of workflows, whatever it is called.
    pub(super) fn read_below(folder: &Path, file: &Path, object_info: Option<&Path>) -> Result<Self, String> {
        let below = |file: &Path| joined(file.with_extension("").strip_prefix(folder).unwrap_or(file));
        Self::read_at(Place::of(file, &below), file, object_info)
    }

    fn read_at(place: Place, file: &Path, object_info: Option<&Path>) -> Result<Self, String> {
        let Place { path, version, misplaced } = place;
        Ok(Self {
            file: file.to_owned(),
            path,
            version,
            misplaced,
            bytes: read(file)?,
            lock_text: beside(file, "lock")?,
            shown: file.display().to_string(),
            sidecar: beside(file, "toml")?,
            catalog: catalog(file, object_info)?,
        })
    }

    /// What is made of the workflow at its place.
    pub(super) fn endpoint(&self) -> Result<Endpoint, Vec<Diagnostic>> {
        self.infer(self.sidecar.as_deref())
    }

    /// What would be made of it with another sidecar file.
    pub(super) fn endpoint_with(&self, sidecar: &str) -> Result<Endpoint, Vec<Diagnostic>> {
        self.infer(Some(sidecar))
    }

    /// The text of the sidecar file, if there is one.
    pub(super) fn sidecar(&self) -> Option<&str> {
        self.sidecar.as_deref()
    }

    fn infer(&self, sidecar: Option<&str>) -> Result<Endpoint, Vec<Diagnostic>> {
        let infer = |options: &Options<'_>| comfyport_workflow::endpoint(&self.bytes, options);
        let mut endpoint = self.with_sidecar(sidecar, infer)?;
        endpoint.version.clone_from(&self.version);
        endpoint.diagnostics.extend(self.misplaced.iter().cloned());
        Ok(endpoint)
    }

    /// The file as people know it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Does something with the workflow and what its author decided.
    pub(super) fn with_options<T>(
        &self,
        action: impl FnOnce(&Options<'_>) -> Result<T, Vec<Diagnostic>>,
    ) -> Result<T, Vec<Diagnostic>> {
        self.with_sidecar(self.sidecar.as_deref(), action)
    }

    fn with_sidecar<T>(
        &self,
        sidecar: Option<&str>,
        action: impl FnOnce(&Options<'_>) -> Result<T, Vec<Diagnostic>>,
    ) -> Result<T, Vec<Diagnostic>> {
        let sidecar = sidecar.map(Sidecar::parse).transpose()?;
        let lock = self.lock_text.as_deref().map(Lock::parse).transpose()?;
        action(&Options {
            file: &self.shown,
            path: &self.path,
            catalog: &self.catalog,
            sidecar: sidecar.as_ref(),
            lock: lock.as_ref(),
        })
    }
}

/// What a file holds, which may also be a pipe that does not end.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let named = |error| format!("{}: {error}", file.display());
    let open = File::open(file).map_err(named)?;
    let too_large = || {
        format!(
            "{}: files of more than {} MiB are not read; export the workflow from ComfyUI instead: Workflow → Export (API)",
            file.display(),
            LARGEST_FILE >> 20
        )
    };
    if open.metadata().map_err(named)?.len() > LARGEST_FILE {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let read = open.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(named)?;
    if read as u64 > LARGEST_FILE { Err(too_large()) } else { Ok(bytes) }
}

/// The text of a file of the same name with another ending, if there is one.
fn beside(file: &Path, ending: &str) -> Result<Option<String>, String> {
    let path = file.with_extension(ending);
    if !path.is_file() {
        return Ok(None);
    }
    std::fs::read_to_string(&path).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where a file would be served.
struct Place {
    path: String,
    version: Option<Version>,
    misplaced: Vec<Diagnostic>,
}

impl Place {
    /// Among the versions of it that lie in its folder.
    fn of(file: &Path, stem: &dyn Fn(&Path) -> String) -> Self {
        let own = stem(file);
        let mut stems = versions_beside(file, &own, stem);
        stems.push(own.clone());
        stems.sort();
        stems.dedup();
        let stems = || stems.iter().map(String::as_str);
        let name = format!("{own}.json");
        // Whether others have its route is a matter of all files; the build looks at them.
        let is_own = |(file, found): &(String, Diagnostic)| match found.code {
            "two-versions" => true,
            "odd-version" => *file == name,
            _ => false,
        };
        let misplaced = route::check(stems()).into_iter().filter(is_own).map(|(_, found)| found).collect();
        let place = route::places(stems()).remove(own.as_str());
        let (path, version) = place.map_or((own, None), |place| (place.path, place.version));
        Self { path, version, misplaced }
    }
}

/// Workflows of the same folder and the same name but for the number of a version.
fn versions_beside(file: &Path, own: &str, stem: &dyn Fn(&Path) -> String) -> Vec<String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let workflow = |path: PathBuf| {
        let name = path.file_name()?;
        route::of_file(name.to_str()?)?;
        // Below the folder as the file names it: both are known by the same path then.
        Some(stem(&file.with_file_name(name)))
    };
    entries
        .filter_map(|entry| workflow(entry.path()))
        .filter(|stem| route::unnumbered(stem) == route::unnumbered(own))
        .collect()
}

/// The path of a file without its ending, below a `workflow_templates` folder, else its name.
fn stem(file: &Path) -> String {
    let stem = file.with_extension("");
    let parts: Vec<String> = stem.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let root = parts.iter().rposition(|part| part == "workflow_templates");
    let below = root.map_or(parts.len().saturating_sub(1), |root| root + 1);
    parts.get(below..).unwrap_or_default().join("/")
}

fn joined(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The core catalog, extended by a file that was named, else by `object_info.json` in the folder of workflows.
pub(super) fn catalog(file: &Path, object_info: Option<&Path>) -> Result<Catalog, String> {
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
