//! The Python of ComfyUI, and what packs ask of it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt, io,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{
    installed,
    tool::{Tool, ToolError},
};

/// Packages that hold each other at exactly one version, often one of a certain graphics card: a pack that replaces one
/// of them breaks all others.
const HELD: [&str; 9] = [
    "torch",
    "torchvision",
    "torchaudio",
    "torchsde",
    "triton",
    "xformers",
    "numpy",
    "comfyui-frontend-package",
    "comfyui-manager",
];

/// Begins the names of packages that are held as well: the libraries that torch was built for.
const HELD_FAMILY: &str = "nvidia-";

/// What is installed, the first of each name, since that is the one that is imported.
const LIST: &str = r#"
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import importlib.metadata, json, re
found = {}
for one in importlib.metadata.distributions():
    name = one.metadata["Name"]
    if not name:
        continue
    direct = one.read_text("direct_url.json")
    found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), {
        "version": one.version, "url": json.loads(direct).get("url") if direct else None})
print(json.dumps(found))
"#;

/// What requirements of packs are installed with.
#[derive(Debug, Clone)]
pub struct Python {
    program: PathBuf,
    uv: Option<PathBuf>,
    options: Vec<String>,
    limit: Duration,
}

/// Packages of a Python, by their normal names.
pub type Packages = BTreeMap<String, Package>;

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its version.
    pub version: String,
    /// Where it came from, if it is from no index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A package that became another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// What was there.
    pub before: Option<Package>,
    /// What is there.
    pub after: Option<Package>,
}

impl fmt::Display for PackageChange {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version =
            |package: &Option<Package>| package.as_ref().map_or("-", |package| &package.version).to_owned();
        write!(to, "{} {} → {}", self.name, version(&self.before), version(&self.after))
    }
}

/// Why requirements were not installed.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// The program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// It was tried without effect, and failed.
    #[error("its requirements do not fit what ComfyUI needs, and nothing was changed: {said}{}", what_stays(.held))]
    Unfit {
        /// The last of what was said.
        said: String,
        /// What may not be replaced, as far as it was spoken of.
        held: Vec<String>,
    },
    /// Nothing can be installed with it.
    #[error("the Python of ComfyUI has no `pip`: put `uv` on the PATH, or run `python -m ensurepip` with it")]
    NoPip,
    /// What it says of itself cannot be read.
    #[error("the Python of ComfyUI does not say what is installed: {0}")]
    Silent(String),
    /// Something cannot be written.
    #[error("a list of constraints cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// What a pack asks of Python, line by line as it is written; comments are left out.
pub(crate) fn requirements(pack: &Path) -> Vec<String> {
    match installed::read(&pack.join("requirements.txt")) {
        Some(text) => lines(&text),
        None => installed::project(pack).map(|project| project.dependencies).unwrap_or_default(),
    }
}

fn lines(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}');
    let bare = |line: &str| line.split(" #").next().unwrap_or(line).trim().to_owned();
    text.lines().map(bare).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What changed between two times.
pub(crate) fn difference(before: &Packages, after: &Packages) -> Vec<PackageChange> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let change = |name: &String| {
        let (before, after) = (before.get(name).cloned(), after.get(name).cloned());
        (before != after).then(|| PackageChange { name: name.clone(), before, after })
    };
    names.into_iter().filter_map(change).collect()
}

impl Python {
    /// A Python. Packages are installed by `uv`, if it is given, or else by the Python's own `pip`; each run of them
    /// takes at most `limit`.
    pub fn new(program: PathBuf, uv: Option<PathBuf>, limit: Duration) -> Self {
        Self { program, uv, options: Vec::new(), limit }
    }

    /// With options for whatever is installed, such as `--index-url` of a mirror. `uv` and `pip` both have to know them.
    #[must_use]
    pub fn with_options(self, options: Vec<String>) -> Self {
        Self { options, ..self }
    }

    /// Looks for `uv` on the `PATH`.
    pub async fn find_uv() -> Option<PathBuf> {
        let uv = PathBuf::from("uv");
        let asked = Tool::new(&uv, "uv", Duration::from_secs(10)).args(["--version"]).succeed().await;
        asked.is_ok().then_some(uv)
    }

    /// What is installed.
    pub async fn packages(&self) -> Result<Packages, PythonError> {
        let said = self.python("python", &["-c", LIST]).succeed().await?;
        serde_json::from_str(&said.stdout).map_err(|error| PythonError::Silent(error.to_string()))
    }

    /// Tries what a pack in `folder` asks for, without effect. `base` is the folder of ComfyUI.
    pub(crate) async fn rehearse(
        &self,
        folder: &Path,
        base: &Path,
        now: &Packages,
    ) -> Result<(), PythonError> {
        self.require(folder, base, now, true).await
    }

    /// Installs what a pack in `folder` asks for.
    pub(crate) async fn install(
        &self,
        folder: &Path,
        base: &Path,
        now: &Packages,
    ) -> Result<(), PythonError> {
        self.require(folder, base, now, true).await?;
        self.require(folder, base, now, false).await
    }

    /// Runs a script of a pack in its folder.
    pub(crate) async fn run(&self, script: &str, folder: &Path) -> Result<(), ToolError> {
        self.python(script, &[script]).within(folder).succeed().await.map(drop)
    }

    /// Takes changes back, as far as nobody has changed the same again. It answers what could not be.
    pub(crate) async fn revert(&self, changes: &[PackageChange]) -> Vec<String> {
        let mut failed = Vec::new();
        let now = match self.packages().await {
            Ok(now) => now,
            Err(error) => return vec![error.to_string()],
        };
        let ours = |change: &&PackageChange| now.get(&change.name) == change.after.as_ref();
        let (mut back, mut out) = (Vec::new(), Vec::new());
        for change in changes.iter().filter(ours) {
            match &change.before {
                Some(Package { version, url: None }) => back.push(format!("{}=={version}", change.name)),
                Some(Package { url: Some(url), .. }) => {
                    failed
                        .push(format!("{change}: it came from {url}, and has to be installed again by hand"));
                }
                None => out.push(change.name.clone()),
            }
        }
        let runs = [(&["install", "--no-deps"][..], back), (&["uninstall"][..], out)];
        for (verb, names) in runs {
            if names.is_empty() {
                continue;
            }
            let mut args: Vec<&str> = verb.to_vec();
            if self.uv.is_none() && verb == ["uninstall"] {
                args.push("--yes");
            }
            if verb != ["uninstall"] {
                args.extend(self.options.iter().map(String::as_str));
            }
            args.extend(names.iter().map(String::as_str));
            if let Err(error) = self.installer(&args).succeed().await {
                failed.push(format!("{}: {error}", names.join(", ")));
            }
        }
        failed
    }

    async fn require(
        &self,
        folder: &Path,
        base: &Path,
        now: &Packages,
        rehearsal: bool,
    ) -> Result<(), PythonError> {
        let constraints = constraints(base, now);
        let constraints_file = file(&constraints)?;
        let written = folder.join("requirements.txt");
        // What is named in `pyproject.toml` alone is written down the same way.
        let listed = file(&requirements(folder))?;
        let asked = if written.is_file() { written.as_path() } else { listed.path() };
        let mut args: Vec<&OsStr> = vec!["install".as_ref(), "-r".as_ref(), asked.as_os_str()];
        args.extend(["-c".as_ref(), constraints_file.path().as_os_str()]);
        args.extend(self.options.iter().map(OsStr::new));
        if rehearsal {
            args.push("--dry-run".as_ref());
        }
        let done = self.installer(&args).within(folder).finish().await?;
        if done.is_success() {
            return Ok(());
        }
        let said = done.told();
        if said.contains("No module named pip") {
            return Err(PythonError::NoPip);
        }
        // A pip of 2022 knows no rehearsal.
        if rehearsal && said.contains("no such option: --dry-run") {
            return Ok(());
        }
        if rehearsal {
            let asked = requirements(folder).join("\n") + &done.stdout + &done.stderr;
            let is_spoken_of = |constraint: &String| speaks_of(&asked, constraint);
            let held = constraints.into_iter().filter(is_spoken_of).collect();
            return Err(PythonError::Unfit { said, held });
        }
        Err(ToolError::Failed { tool: self.called().to_owned(), said }.into())
    }

    fn called(&self) -> &'static str {
        if self.uv.is_some() { "uv pip" } else { "pip" }
    }

    fn installer<A: AsRef<OsStr>>(&self, args: &[A]) -> Tool {
        let (verb, rest) = args.split_at(args.len().min(1));
        match &self.uv {
            Some(uv) => Tool::new(uv, self.called(), self.limit)
                .args(["pip"])
                .args(verb)
                .args(["--python".as_ref(), self.program.as_os_str()])
                .args(rest),
            None => self
                .python(self.called(), &["-m", "pip"])
                .args(verb)
                .args(["--disable-pip-version-check", "--no-input"])
                .args(rest),
        }
    }

    fn python(&self, name: &str, args: &[&str]) -> Tool {
        Tool::new(&self.program, name, self.limit)
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONIOENCODING", "utf-8")
            .without("PYTHONHOME")
            .without("PYTHONPATH")
            .args(args)
    }
}

/// What may not be replaced, exactly; and what ComfyUI itself asks for, as it asks for it.
fn constraints(base: &Path, now: &Packages) -> Vec<String> {
    let is_held = |name: &str| HELD.contains(&name) || name.starts_with(HELD_FAMILY);
    let mut constraints: Vec<String> = now
        .iter()
        .filter(|(name, _)| is_held(name))
        .map(|(name, package)| format!("{name}=={}", package.version))
        .collect();
    for line in requirements(base) {
        // Only names with versions can be constraints.
        let end = line.find(|one: char| !(one.is_ascii_alphanumeric() || "-_.".contains(one)));
        let (name, rest) = line.split_at(end.unwrap_or(line.len()));
        let name = normal(name);
        if !name.is_empty()
            && !name.starts_with('-')
            && !is_held(&name)
            && rest.trim_start().starts_with(['=', '<', '>', '~', '!'])
        {
            constraints.push(line.clone());
        }
    }
    constraints
}

/// Whether a text has the name of a constraint in it, as a word.
fn speaks_of(text: &str, constraint: &str) -> bool {
    let is_part = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
    let name = normal(constraint.split(|one| !is_part(one)).next().unwrap_or_default());
    text.split(|one| !is_part(one)).any(|word| normal(word) == name)
}

fn what_stays(constraints: &[String]) -> String {
    if constraints.is_empty() {
        return String::new();
    }
    format!("\nComfyUI has, and keeps: {}", constraints.join(", "))
}

/// The normal form of a package's name: small letters, and one dash between them.
fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    let dash = if name.starts_with('-') { "-" } else { "" };
    dash.to_owned() + &parts.collect::<Vec<_>>().join("-").to_lowercase()
}

fn file(lines: &[String]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("comfyport-").suffix(".txt").tempfile()?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comfyui_needs_is_held() {
        let base = tempfile::tempdir().unwrap();
        let asked = "\u{feff}# core\ntorch\nnumpy>=1.25.0\ntransformers>=4.50.3 # for clip\nPillow\n-r other.txt\n\
                     av[x]>=14\nSQLAlchemy>=2.0; python_version > '3.8'\n";
        std::fs::write(base.path().join("requirements.txt"), asked).unwrap();
        let package = |version: &str| Package { version: version.to_owned(), url: None };
        let now =
            [("torch", "2.9.0+cpu"), ("numpy", "2.1.0"), ("nvidia-cublas", "1"), ("transformers", "4.51")];
        let now = now.map(|(name, version)| (name.to_owned(), package(version))).into();
        let held = [
            "numpy==2.1.0",
            "nvidia-cublas==1",
            "torch==2.9.0+cpu",
            "transformers>=4.50.3",
            "SQLAlchemy>=2.0; python_version > '3.8'",
        ];
        assert_eq!(constraints(base.path(), &now), held);
    }

    #[test]
    fn changes_are_told() {
        let package = |version: &str| Package { version: version.to_owned(), url: None };
        let of = |all: &[(&str, &str)]| -> Packages {
            all.iter().map(|(name, version)| ((*name).to_owned(), package(version))).collect()
        };
        let changes = difference(
            &of(&[("a", "1"), ("b", "1"), ("c", "1")]),
            &of(&[("a", "1"), ("b", "2"), ("d", "1")]),
        );
        let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["b 1 → 2", "c 1 → -", "d - → 1"]);
    }
}
