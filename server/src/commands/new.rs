//! `comfyport new`

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{cli::New, say};

/// The files of a project, by their path below it.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("new/project/Cargo.toml.in")),
    ("build.rs", include_str!("new/project/build.rs.in")),
    ("src/workflows.rs", include_str!("new/project/workflows.rs.in")),
    ("src/main.rs", include_str!("new/project/main.rs.in")),
    (".gitignore", include_str!("new/project/gitignore.in")),
    ("README.md", include_str!("new/project/README.md.in")),
    ("workflow_templates/txt2img.json", include_str!("new/project/txt2img.json")),
    ("workflow_templates/txt2img.toml", include_str!("new/project/txt2img.toml")),
];

/// Names that cargo keeps for its own folders beside the binary.
const TAKEN: &[&str] = &["build", "deps", "examples", "incremental"];

/// Longest name of a project.
const LONGEST_NAME: usize = 64;

/// Exits 0, or 2 if the project cannot be made.
pub(crate) fn run(arguments: &New) -> ExitCode {
    let made = name(&arguments.folder).and_then(|name| {
        let dependencies = match &arguments.path {
            Some(path) => Dependencies::in_checkout(path)?,
            None => Dependencies::published(),
        };
        make(&arguments.folder, &name, &dependencies)
    });
    match made {
        Ok(()) => {
            let folder = arguments.folder.display();
            say::line(format_args!("made {folder} with an example workflow. Next:\n"));
            say::line(format_args!("  cd {folder}\n  cargo run -- serve --simulate"));
            ExitCode::SUCCESS
        }
        Err(error) => say::refuse(error),
    }
}

/// The name of a project: the last part of its path, if cargo takes it for a package and a binary.
fn name(folder: &Path) -> Result<String, String> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
        && name.len() <= LONGEST_NAME;
    if !is_plain {
        return Err(format!(
            "`{}` is no name for a project: use lower-case letters, digits, `-` and `_`, a letter first, at most \
             {LONGEST_NAME} of them",
            comfyport_workflow::printable(&name)
        ));
    }
    if TAKEN.contains(&&*name) || name.starts_with("comfyport") {
        return Err(format!("`{name}` is taken by cargo or comfyport; choose another, such as `my-{name}`"));
    }
    Ok(name.into_owned())
}

/// Where a project gets comfyport from.
struct Dependencies {
    endpoint: String,
    server: String,
    codegen: String,
    /// The versions of everything else that the checkout was tested with.
    lock: Option<PathBuf>,
}

impl Dependencies {
    /// The release that this binary is.
    fn published() -> Self {
        let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
        Self { endpoint: version.clone(), server: version.clone(), codegen: version, lock: None }
    }

    fn in_checkout(path: &Path) -> Result<Self, String> {
        let unfit = |why: String| {
            format!("`--path {}`: {why}; give the folder of comfyport's sources", path.display())
        };
        let root = path.canonicalize().map_err(|error| unfit(error.to_string()))?;
        let member = |name: &str| {
            let member = root.join(name);
            if !member.join("Cargo.toml").is_file() {
                return Err(unfit(format!("there is no {name}/Cargo.toml in it")));
            }
            let text = member.to_str().ok_or_else(|| unfit("it is not UTF-8".to_owned()))?;
            Ok(format!("{{ path = {} }}", toml::Value::from(text)))
        };
        let lock = Some(root.join("Cargo.lock")).filter(|lock| lock.is_file());
        Ok(Self {
            endpoint: member("endpoint")?,
            server: member("server")?,
            codegen: member("codegen")?,
            lock,
        })
    }
}

fn make(folder: &Path, name: &str, dependencies: &Dependencies) -> Result<(), String> {
    let named = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(format!(
                    "{} is there already and not empty; choose another name",
                    folder.display()
                ));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(named(folder, error)),
    }
    for (file, template) in FILES {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| named(parent, error))?;
        fs::write(&path, filled(template, name, dependencies)).map_err(|error| named(&path, error))?;
    }
    if let Some(lock) = &dependencies.lock {
        fs::copy(lock, folder.join("Cargo.lock")).map_err(|error| named(lock, error))?;
    }
    Ok(())
}

fn filled(template: &str, name: &str, dependencies: &Dependencies) -> String {
    let values = [
        ("{{name}}", name),
        ("{{rust}}", env!("CARGO_PKG_RUST_VERSION")),
        ("{{repository}}", env!("CARGO_PKG_REPOSITORY")),
        ("{{endpoint}}", &dependencies.endpoint),
        ("{{server}}", &dependencies.server),
        ("{{codegen}}", &dependencies.codegen),
    ];
    values.into_iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cargo_takes() {
        for fine in ["my-api", "a", "some/where/flux_2"] {
            assert!(name(Path::new(fine)).is_ok(), "{fine}");
        }
        for odd in ["", "..", "My-Api", "4x", "a b", "é", "a\"b", "deps", "comfyport-server", &"a".repeat(65)]
        {
            assert!(name(Path::new(odd)).is_err(), "{odd}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for (file, template) in FILES {
            assert!(!filled(template, "a", &Dependencies::published()).contains("{{"), "{file}");
        }
    }
}
