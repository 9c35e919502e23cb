//! The front door for build scripts.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a build script speaks to cargo and to people"
)]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use comfyport_workflow::{
    Catalog, LARGEST_FILE, Severity,
    route::{self, OBJECT_INFO},
};

use crate::{Generated, Template, generate};

/// Generates code for every workflow below a folder into `OUT_DIR`, and tells cargo what to watch.
///
/// The folder is that of the environment variable `COMFYPORT_WORKFLOWS` where it is set, `folder` otherwise; relative
/// paths are relative to the crate that is built. `src/lib.rs` of that crate includes `OUT_DIR/endpoints.rs`.
///
/// Problems are printed like a compiler's, those of all files together; errors end the process with status 1. It is
/// meant to be the only line of a build script's `main`.
pub fn build(folder: impl AsRef<Path>) {
    println!("cargo::rerun-if-env-changed=COMFYPORT_WORKFLOWS");
    println!("cargo::rerun-if-env-changed=COMFYPORT_LOCK");
    let base = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let chosen = std::env::var_os("COMFYPORT_WORKFLOWS").filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = base.join(chosen.unwrap_or_else(|| folder.as_ref().to_owned()));
    // People read it in messages: without `..`, if it is there at all.
    let folder = folder.canonicalize().unwrap_or(folder);
    let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from) else {
        return fail("`OUT_DIR` is not set: this is for build scripts");
    };
    // With all that is in it.
    println!("cargo::rerun-if-changed={}", folder.display());
    match run(&folder, &out) {
        Ok(()) => {}
        Err(message) => fail(&message),
    }
}

#[expect(
    clippy::exit,
    reason = "cargo shows a build script's own words only if it fails, and a panic would bury them"
)]
fn fail(message: &str) {
    eprintln!("{message}");
    std::process::exit(1)
}

fn run(folder: &Path, out: &Path) -> Result<(), String> {
    let named = |path: &Path, error: io::Error| format!("error: {}: {error}", path.display());
    let mut files = BTreeMap::new();
    walk(folder, folder, &mut files).map_err(|(path, error)| named(&path, error))?;
    let mut catalog = Catalog::core().clone();
    if let Some(path) = files.remove(OBJECT_INFO) {
        let bytes = fs::read(&path).map_err(|error| named(&path, error))?;
        let (own, odd) = Catalog::from_object_info(&bytes)
            .map_err(|error| format!("error: {}: {error}", path.display()))?;
        for found in odd {
            println!("cargo::warning={}: {}", OBJECT_INFO, one_line(&found.message));
        }
        catalog.extend(own);
    }
    let mut templates = Vec::new();
    let (workflows, twins) = route::of_files(files.keys().map(String::as_str));
    for (route, name) in workflows {
        let Some(path) = files.get(name) else { continue };
        let bytes = read(path).map_err(|error| named(path, error))?;
        let beside = |ending: &str| {
            let path = files.get(&format!("{route}.{ending}"));
            path.map(|path| fs::read_to_string(path).map_err(|error| named(path, error))).transpose()
        };
        let (sidecar, lock) = (beside("toml")?, beside("lock")?);
        templates.push(Template { path: route.to_owned(), file: name.to_owned(), bytes, sidecar, lock });
    }
    lonely(&files);
    if std::env::var_os("COMFYPORT_LOCK").is_some_and(|wish| wish == "accept") {
        accept(folder, &mut templates, &catalog).map_err(|(path, error)| named(&path, error))?;
    }
    match generate(&templates, &catalog) {
        Ok(generated) if twins.is_empty() => {
            write(&generated, out).map_err(|(path, error)| named(&path, error))
        }
        generated => {
            let found: Vec<_> = twins.into_iter().chain(generated.err().into_iter().flatten()).collect();
            let mut text = String::new();
            for (file, found) in found.iter().filter(|(_, found)| found.is_error()) {
                text.push_str(&found.render(&folder.join(file).display().to_string()));
                text.push('\n');
            }
            let errors = found.iter().filter(|(_, found)| found.is_error()).count();
            let noun = if errors == 1 { "error" } else { "errors" };
            Err(format!("\n{text}{errors} {noun} in {}", folder.display()))
        }
    }
}

/// What a workflow file holds. Its length is asked first: it may be a film of hours.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > LARGEST_FILE {
        let most = LARGEST_FILE >> 20;
        let message =
            format!("files of more than {most} MiB are not read; export the workflow from ComfyUI instead");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    fs::read(path)
}

/// A sidecar or a lock without its workflow is probably misspelt.
fn lonely(files: &BTreeMap<String, PathBuf>) {
    let (workflows, _) = route::of_files(files.keys().map(String::as_str));
    for name in files.keys() {
        if let Some(stem) = route::of_companion(name).filter(|stem| !workflows.contains_key(stem)) {
            println!("cargo::warning={name}: there is no {stem}.json beside it");
        }
    }
}

/// Writes the locks anew. A workflow that makes no endpoint keeps its own, and fails the build as it would anyway.
fn accept(folder: &Path, templates: &mut [Template], catalog: &Catalog) -> Result<(), (PathBuf, io::Error)> {
    for template in templates {
        let Ok(accepted) = template.accept(catalog) else { continue };
        for change in &accepted.changes {
            println!("cargo::warning={}: accepted, {}", template.path, one_line(&change.to_string()));
        }
        let (path, text) = (folder.join(format!("{}.lock", template.path)), accepted.lock.render());
        replace(&path, &text).map_err(|error| (path, error))?;
        template.lock = Some(text);
    }
    Ok(())
}

/// Every workflow and sidecar by its path below the folder, with `/` between folders. Links that lead out of the
/// folder are not followed.
fn walk(
    root: &Path,
    folder: &Path,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        let Ok(real) = path.canonicalize() else {
            println!("cargo::warning={} leads nowhere and is left out", path.display());
            continue;
        };
        if !real.starts_with(root.canonicalize().map_err(at(root))?) {
            println!("cargo::warning={} leads out of the folder and is left out", path.display());
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if real.is_dir() {
            if !path.is_symlink() {
                walk(root, &path, files)?;
            }
        } else if name == OBJECT_INFO
            || route::of_file(&name).is_some()
            || name.ends_with(".toml")
            || name.ends_with(".lock")
        {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// Writes what changed, through a file beside it. What is left over from workflows that are gone is not included
/// anywhere.
fn write(generated: &Generated, out: &Path) -> Result<(), (PathBuf, io::Error)> {
    for (file, found) in &generated.diagnostics {
        if found.severity == Severity::Warning {
            let node = found.node.as_deref().map(|node| format!(", node {node}")).unwrap_or_default();
            println!("cargo::warning={file}{}: {}", one_line(&node), one_line(&found.message));
        }
    }
    for (name, text) in &generated.files {
        let path = out.join(name);
        let at = |error| (path.clone(), error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at)?;
        }
        replace(&path, text).map_err(at)?;
    }
    Ok(())
}

/// Writes a file whole, or not at all; one that says the same already is left alone.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

fn one_line(text: &str) -> String {
    comfyport_workflow::printable(text).replace('\n', " ")
}
