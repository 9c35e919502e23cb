//! What is in `custom_nodes`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use comfyport_needs::VersionRange;
use serde::{Deserialize, Serialize};
use url::Url;

/// The largest file that is read to find out what a pack is, in bytes. `packed-refs` of large repositories are some
/// hundred thousand.
const LARGEST: u64 = 16 << 20;

/// What ends the name of a pack that is turned off.
const OFF: &str = ".disabled";

/// A pack that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Its name: that of its folder or file, without what turns it off.
    pub name: String,
    /// Where it is, below `custom_nodes`.
    pub folder: String,
    /// Whether ComfyUI loads it.
    pub enabled: bool,
    /// Whether it is a link to somewhere else.
    pub linked: bool,
    /// How it came there.
    pub origin: Origin,
    /// What it calls itself in its `pyproject.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<Project>,
}

/// How a pack came to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A clone of a repository.
    Git {
        /// What is checked out. `None` if that cannot be told from files.
        commit: Option<String>,
        /// The address of the remote `origin`, or of the first one.
        remote: Option<String>,
    },
    /// An archive of the Comfy Registry.
    Registry {
        /// Its id.
        id: String,
        /// Its version.
        version: String,
    },
    /// A single file.
    File,
    /// A folder of which nothing is known.
    Folder,
}

/// What a pack calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name, which is its id in the Comfy Registry.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// What it asks of Python.
    #[serde(default)]
    pub dependencies: Vec<String>,
}

impl Installed {
    /// What it is at, for people: a short commit, a version, or neither.
    pub fn at(&self) -> String {
        match &self.origin {
            Origin::Git { commit: Some(commit), .. } => commit.chars().take(12).collect(),
            Origin::Git { commit: None, .. } => "an unknown commit".to_owned(),
            Origin::Registry { version, .. } => version.clone(),
            Origin::File => "a single file".to_owned(),
            Origin::Folder => "no version".to_owned(),
        }
    }

    /// Its id in the Comfy Registry, if it says so.
    pub fn id(&self) -> Option<&str> {
        match &self.origin {
            Origin::Registry { id, .. } => Some(id),
            _ => self.project.as_ref().map(|project| project.name.as_str()),
        }
    }
}

/// Lists what is in `custom_nodes`, by name.
pub(crate) fn list(custom_nodes: &Path) -> io::Result<Vec<Installed>> {
    let mut found = Vec::new();
    gather(custom_nodes, "", &mut found)?;
    let aside = custom_nodes.join(OFF);
    if aside.is_dir() {
        gather(&aside, ".disabled/", &mut found)?;
    }
    found.sort_by(|left, right| (&left.name, &left.folder).cmp(&(&right.name, &right.folder)));
    Ok(found)
}

fn gather(folder: &Path, below: &str, found: &mut Vec<Installed>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A name that is no text is none that anything here could have given.
        let Ok(file) = entry.file_name().into_string() else { continue };
        if file.starts_with('.') || file == "__pycache__" {
            continue;
        }
        let path = entry.path();
        let bare = file.strip_suffix(OFF).unwrap_or(&file);
        let enabled = below.is_empty() && bare == file;
        let is_folder = path.is_dir();
        if !is_folder && !bare.ends_with(".py") {
            continue;
        }
        // `name@1_2_3` is what a Manager calls a version that it put aside.
        let bare = if below.is_empty() { bare } else { bare.split('@').next().unwrap_or(bare) };
        let project = if is_folder { project(&path) } else { None };
        found.push(Installed {
            name: bare.to_owned(),
            folder: format!("{below}{file}"),
            enabled,
            linked: entry.file_type()?.is_symlink(),
            origin: if is_folder { origin(&path, project.as_ref()) } else { Origin::File },
            project,
        });
    }
    Ok(())
}

/// How the pack in a folder came there.
pub(crate) fn origin(pack: &Path, project: Option<&Project>) -> Origin {
    if let Some(repository) = git_folder(pack) {
        let commit = head(&repository);
        let remote = read(&shared(&repository).join("config")).as_deref().and_then(remote);
        return Origin::Git { commit, remote };
    }
    match project {
        Some(Project { name, version: Some(version), .. }) if pack.join(".tracking").is_file() => {
            Origin::Registry { id: name.clone(), version: version.clone() }
        }
        _ => Origin::Folder,
    }
}

/// What the pack in a folder calls itself.
pub(crate) fn project(pack: &Path) -> Option<Project> {
    #[derive(Deserialize)]
    struct Document {
        project: Project,
    }
    toml::from_str::<Document>(&read(&pack.join("pyproject.toml"))?).ok().map(|document| document.project)
}

/// The Pythons and the ComfyUIs that a pack says it runs on, as far as that can be read.
pub(crate) fn ranges(pack: &Path) -> [Option<VersionRange>; 2] {
    let document = read(&pack.join("pyproject.toml")).and_then(|text| text.parse::<toml::Table>().ok());
    let range = |table: &str, key: &str| {
        let mut tables = table.split('.');
        let first = document.as_ref()?.get(tables.next()?)?;
        VersionRange::read(tables.try_fold(first, |value, name| value.get(name))?.get(key)?.as_str()?)
    };
    [range("project", "requires-python"), range("tool.comfy", "requires-comfyui")]
}

/// A text file, if it is one and not too large.
pub(crate) fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The folder that git keeps its things in, which may lie elsewhere.
fn git_folder(pack: &Path) -> Option<PathBuf> {
    let dot = pack.join(".git");
    if dot.is_dir() {
        return Some(dot);
    }
    let text = read(&dot)?;
    Some(pack.join(text.strip_prefix("gitdir:")?.trim()))
}

/// What the folder shares with other work trees of its repository: references and configuration.
fn shared(repository: &Path) -> PathBuf {
    match read(&repository.join("commondir")) {
        Some(text) => repository.join(text.trim()),
        None => repository.to_owned(),
    }
}

fn head(repository: &Path) -> Option<String> {
    let head = read(&repository.join("HEAD"))?;
    let head = head.trim();
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else {
        return is_commit(head).then(|| head.to_owned());
    };
    if name.split('/').any(|part| part == ".." || part.is_empty()) {
        return None;
    }
    let shared = shared(repository);
    let loose = read(&repository.join(name)).or_else(|| read(&shared.join(name)));
    if let Some(commit) = loose {
        let commit = commit.trim();
        return is_commit(commit).then(|| commit.to_owned());
    }
    let packed = read(&shared.join("packed-refs"))?;
    let line = packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' '));
    line.filter(|commit| is_commit(commit)).map(str::to_owned)
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The address of `origin`, or of the first remote, in a configuration of git.
fn remote(config: &str) -> Option<String> {
    let (mut section, mut first) = (None, None);
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.strip_prefix("[remote \"").and_then(|rest| rest.strip_suffix("\"]"));
            continue;
        }
        let (Some(name), Some((key, value))) = (section, line.split_once('=')) else { continue };
        if !key.trim().eq_ignore_ascii_case("url") {
            continue;
        }
        let value = without_secrets(value.trim().trim_matches('"'));
        if name == "origin" {
            return Some(value);
        }
        first = first.or(Some(value));
    }
    first
}

/// An address as it may be shown and written down.
fn without_secrets(address: &str) -> String {
    match Url::parse(address) {
        Ok(mut url)
            if matches!(url.scheme(), "http" | "https")
                && (!url.username().is_empty() || url.password().is_some()) =>
        {
            // Both can be taken from any address that has a host, as these have.
            let _ = url.set_username("").and_then(|()| url.set_password(None));
            url.to_string()
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "12f35647f0d510e03b45a47fb420fe1245a575df";

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_odd_about_versions_hides_no_pack() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(folder.path().join("pyproject.toml"), text).unwrap();
        write("tool = 3\n[project]\nname = \"a\"\nversion = \"1\"\nrequires-python = [3]\n");
        assert_eq!(project(folder.path()).unwrap().name, "a");
        assert_eq!(ranges(folder.path()), [None, None]);
        write(
            "[project]\nname = \"a\"\nrequires-python = \">=3.10\"\n[tool.comfy]\nrequires-comfyui = \">=0.3\"\n",
        );
        assert_eq!(ranges(folder.path()).map(|range| range.unwrap().to_string()), [">=3.10", ">=0.3"]);
    }

    #[test]
    fn packs_are_told_by_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        write(&at("loose/.git/HEAD"), "ref: refs/heads/main\n");
        write(&at("loose/.git/refs/heads/main"), &format!("{COMMIT}\n"));
        write(
            &at("loose/.git/config"),
            "[core]\n\turl = no\n[remote \"fork\"]\n\turl = https://f/f\n[remote \"origin\"]\n\turl = https://h/o/loose.git\n",
        );
        write(&at("packed.disabled/.git/HEAD"), "ref: refs/heads/a/b");
        write(
            &at("packed.disabled/.git/packed-refs"),
            &format!("# pack-refs\n{} refs/heads/b\n{COMMIT} refs/heads/a/b\n", "0".repeat(40)),
        );
        write(&at("tree/.git"), "gitdir: ../real/worktrees/tree\n");
        write(&at("real/worktrees/tree/HEAD"), COMMIT);
        write(&at("real/worktrees/tree/commondir"), "../..\n");
        write(&at("real/config"), "[remote \"up\"]\nurl = \"https://me:token@h/up\"\n");
        write(&at("kjnodes/pyproject.toml"), "[project]\nname = \"comfyui-kjnodes\"\nversion = \"1.1.9\"\n");
        write(&at("kjnodes/.tracking"), "pyproject.toml");
        write(&at(".disabled/was@1_0_0/pyproject.toml"), "[project]\nname = \"was\"\nversion = \"1.0.0\"\n");
        write(&at(".disabled/was@1_0_0/.tracking"), "");
        write(&at("evil/.git/HEAD"), "ref: ../../../loose/.git/refs/heads/main");
        write(&at("single.py"), "");
        write(&at("example.py.example"), "");
        write(&at("__pycache__/x.py"), "");
        let found = list(folder.path()).unwrap();
        let of = |name: &str| found.iter().find(|one| one.name == name).unwrap();
        let git = |remote: Option<&str>| Origin::Git {
            commit: Some(COMMIT.to_owned()),
            remote: remote.map(str::to_owned),
        };
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["evil", "kjnodes", "loose", "packed", "real", "single.py", "tree", "was"]);
        assert_eq!(of("loose").origin, git(Some("https://h/o/loose.git")));
        assert_eq!(of("packed").origin, git(None));
        assert_eq!(of("tree").origin, git(Some("https://h/up")));
        assert_eq!(of("evil").origin, Origin::Git { commit: None, remote: None });
        let registry = |id: &str, version: &str| Origin::Registry { id: id.into(), version: version.into() };
        assert_eq!(of("kjnodes").origin, registry("comfyui-kjnodes", "1.1.9"));
        assert_eq!(of("was").origin, registry("was", "1.0.0"));
        assert_eq!(of("was").folder, ".disabled/was@1_0_0");
        assert_eq!(of("real").origin, Origin::Folder);
        assert_eq!(of("single.py").origin, Origin::File);
        let off: Vec<&str> = found.iter().filter(|one| !one.enabled).map(|one| one.name.as_str()).collect();
        assert_eq!(off, ["packed", "was"]);
    }
}
