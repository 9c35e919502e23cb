//! What is going to be done, as a value: nothing has happened yet.

use std::fmt;

use comfyport_needs::{LockedPack, Pin, same_repository};
use serde::Serialize;

use crate::{
    installed::{Installed, Origin},
    source::{BadSource, Commit, Repository, Transports, is_folder_name, registry_id, registry_version},
};

/// What is going to be done, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// One step for each pack.
    pub steps: Vec<Step>,
}

/// What is going to be done about a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The pack, as the lock calls it.
    pub pack: String,
    /// Its folder below `custom_nodes`, or the one that it is going to have.
    pub folder: String,
    /// What is done.
    pub action: Action,
    /// The classes that ComfyUI has to know afterwards.
    pub classes: Vec<String>,
}

/// What is done about a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing: it is there as it should be.
    Keep {
        /// What it is at.
        at: String,
    },
    /// It is not there and is installed.
    Install(Source),
    /// It is there at something else.
    Update {
        /// What it is at.
        from: String,
        /// What it is going to be.
        to: Source,
    },
    /// It is moved out.
    Remove {
        /// What it is at.
        at: String,
    },
    /// Nothing, since somebody has to decide first.
    Conflict(String),
}

/// What a pack is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A commit of a repository.
    Git {
        /// The repository.
        repository: Repository,
        /// The commit.
        commit: Commit,
    },
    /// A version of the Comfy Registry.
    Registry {
        /// Its id.
        id: String,
        /// Its version.
        version: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git { repository, commit } => write!(to, "commit {commit} of {repository}"),
            Self::Registry { id, version } => write!(to, "version {version} of {id} in the Comfy Registry"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pack, folder, action, .. } = self;
        match action {
            Action::Keep { at } => write!(to, "keep      {pack} at {at}"),
            Action::Install(source) => write!(to, "install   {pack} into {folder}: {source}"),
            Action::Update { from, to: source } => write!(to, "update    {pack} from {from} to {source}"),
            Action::Remove { at } => write!(to, "remove    {pack} at {at}"),
            Action::Conflict(why) => write!(to, "conflict  {pack}: {why}"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(to, "{step}"))
    }
}

impl Plan {
    /// Whether there is anything to do.
    pub fn is_idle(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.action, Action::Keep { .. } | Action::Conflict(_)))
    }

    /// What somebody has to decide.
    pub fn conflicts(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step.action, Action::Conflict(_)))
    }

    /// What it takes for these packs to be there as they are locked.
    pub(crate) fn install(installed: &[Installed], locked: &[LockedPack], transports: Transports) -> Self {
        let mut plan = Self::default();
        for pack in locked {
            let step = step(installed, pack, transports);
            let taken = plan.steps.iter().find(|other| {
                other.folder.eq_ignore_ascii_case(&step.folder)
                    && !matches!(other.action, Action::Conflict(_))
            });
            let step = match (taken, &step.action) {
                (Some(other), Action::Install(_) | Action::Update { .. } | Action::Keep { .. }) => {
                    let why = format!("{} is to be in the folder {} as well", other.pack, step.folder);
                    Step { action: Action::Conflict(why), ..step }
                }
                _ => step,
            };
            plan.steps.push(step);
        }
        plan
    }

    /// What it takes for packs of these names to be gone.
    pub(crate) fn remove(installed: &[Installed], names: &[String]) -> Self {
        let step = |name: &String| {
            let found: Vec<&Installed> = installed.iter().filter(|one| is_called(one, name)).collect();
            let (folder, action) = match *found {
                [one] => (one.folder.clone(), Action::Remove { at: one.at() }),
                [] => (name.clone(), Action::Conflict("there is no such pack".to_owned())),
                _ => (
                    name.clone(),
                    Action::Conflict(format!("it is there more than once: {}", folders(&found))),
                ),
            };
            Step { pack: name.clone(), folder, action, classes: Vec::new() }
        };
        let mut plan = Self::default();
        for step in names.iter().map(step) {
            if !plan.steps.iter().any(|other| other.folder == step.folder) {
                plan.steps.push(step);
            }
        }
        plan
    }
}

/// Whether somebody who says `name` means this one: its folder, its name, or its id in the registry.
pub(crate) fn is_called(installed: &Installed, name: &str) -> bool {
    let id = installed.id().is_some_and(|id| id.eq_ignore_ascii_case(name));
    installed.folder == name || installed.name.eq_ignore_ascii_case(name) || id
}

/// Where a locked pack is taken from.
pub(crate) fn source(pack: &LockedPack, transports: Transports) -> Result<Source, String> {
    let said = |error: BadSource| error.to_string();
    match pack.pin() {
        Some(Pin::Commit(commit)) => {
            let repository =
                pack.repository.as_deref().ok_or("it is locked at a commit without a repository")?;
            let repository = Repository::parse(repository, transports).map_err(said)?;
            Ok(Source::Git { repository, commit: Commit::parse(commit).map_err(said)? })
        }
        Some(Pin::Version(version)) => Ok(Source::Registry {
            id: registry_id(&pack.id).map_err(said)?.to_owned(),
            version: registry_version(version).map_err(said)?.to_owned(),
        }),
        None => {
            Err("it is locked without a version or commit: name one in a sidecar and lock again".to_owned())
        }
    }
}

fn step(installed: &[Installed], pack: &LockedPack, transports: Transports) -> Step {
    let make = |folder: &str, action| Step {
        pack: pack.id.clone(),
        folder: folder.to_owned(),
        action,
        classes: pack.classes.clone(),
    };
    let source = match source(pack, transports) {
        Ok(source) => source,
        Err(why) => return make(&pack.id, Action::Conflict(why)),
    };
    let found: Vec<&Installed> = installed.iter().filter(|one| is_it(one, pack)).collect();
    let enabled: Vec<&Installed> = found.iter().copied().filter(|one| one.enabled).collect();
    match (enabled.as_slice(), found.as_slice()) {
        ([one], _) => make(&one.folder, compare(one, source)),
        ([], []) => {
            let folder = match &source {
                Source::Git { repository, .. } => repository.name(),
                Source::Registry { id, .. } => is_folder_name(id).then_some(id.as_str()),
            };
            let Some(folder) = folder else {
                return make(
                    &pack.id,
                    Action::Conflict("no folder can be named after its repository".to_owned()),
                );
            };
            let other = installed.iter().find(|one| one.folder.eq_ignore_ascii_case(folder));
            let action = other.map_or(Action::Install(source.clone()), |other| {
                Action::Conflict(format!(
                    "its folder {} holds something else ({}): remove that first",
                    other.folder,
                    whence(other)
                ))
            });
            make(folder, action)
        }
        ([], off) => {
            let why =
                format!("it is turned off ({}): turn it on in ComfyUI-Manager, or remove it", folders(off));
            make(&pack.id, Action::Conflict(why))
        }
        (many, _) => {
            let why = format!("it is there more than once ({}): remove what should not be", folders(many));
            make(&pack.id, Action::Conflict(why))
        }
    }
}

fn is_it(installed: &Installed, pack: &LockedPack) -> bool {
    if let (Origin::Git { remote: Some(remote), .. }, Some(repository)) =
        (&installed.origin, &pack.repository)
    {
        // A fork calls itself what it was forked from.
        if same_repository(remote, repository) {
            return true;
        }
    }
    installed.id().is_some_and(|id| id.eq_ignore_ascii_case(&pack.id))
}

fn compare(installed: &Installed, source: Source) -> Action {
    let from = installed.at();
    let update = |to: Source| {
        if installed.linked {
            let why = format!("it is at {from}, and a link to somewhere else: change it there");
            return Action::Conflict(why);
        }
        Action::Update { from: from.clone(), to }
    };
    let other_kind = || {
        Action::Conflict(format!(
            "it is there as {}, and locked as {source}: remove it first",
            whence(installed)
        ))
    };
    match (&installed.origin, &source) {
        (Origin::Git { commit, remote }, Source::Git { repository, commit: asked }) => {
            let same = remote.as_deref().is_some_and(|remote| same_repository(remote, repository.as_str()));
            if !same {
                return other_kind();
            }
            match commit {
                Some(commit) if asked.is(commit) => Action::Keep { at: from },
                _ => update(source),
            }
        }
        (Origin::Registry { version, .. }, Source::Registry { version: asked, .. }) => {
            if version == asked {
                Action::Keep { at: from }
            } else {
                update(source)
            }
        }
        _ => other_kind(),
    }
}

/// What something that is installed is, for people.
fn whence(installed: &Installed) -> String {
    match &installed.origin {
        Origin::Git { remote: Some(remote), .. } => format!("a clone of {remote}"),
        Origin::Git { remote: None, .. } => "a clone of no remote".to_owned(),
        Origin::Registry { id, version } => format!("version {version} of {id} in the Comfy Registry"),
        Origin::File => "a single file".to_owned(),
        Origin::Folder => "a folder of unknown origin".to_owned(),
    }
}

fn folders(installed: &[&Installed]) -> String {
    let folders: Vec<&str> = installed.iter().map(|one| one.folder.as_str()).collect();
    folders.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installed::Project;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn locked(id: &str, repository: &str, pin: &str) -> LockedPack {
        let is_commit = pin.len() == 40;
        LockedPack {
            id: id.to_owned(),
            repository: Some(repository.to_owned()),
            version: (!is_commit && !pin.is_empty()).then(|| pin.to_owned()),
            commit: is_commit.then(|| pin.to_owned()),
            ..LockedPack::default()
        }
    }

    fn there(folder: &str, origin: Origin) -> Installed {
        let name = folder.trim_start_matches(".disabled/").trim_end_matches(".disabled").to_owned();
        let enabled = name == folder;
        Installed { name, folder: folder.to_owned(), enabled, linked: false, origin, project: None }
    }

    fn clone_of(remote: &str, commit: &str) -> Origin {
        Origin::Git { commit: Some(commit.to_owned()), remote: Some(remote.to_owned()) }
    }

    fn version(id: &str, version: &str) -> Origin {
        Origin::Registry { id: id.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn what_is_there_decides() {
        let mut fork = there("fork", clone_of("https://h/me/fork", ONE));
        fork.project = Some(Project { name: "forked".to_owned(), version: None, dependencies: Vec::new() });
        let mut link = there("link", clone_of("https://h/o/link", ONE));
        link.linked = true;
        let installed = [
            there("same", clone_of("git://H/o/same.git", ONE)),
            there("older", clone_of("https://h/o/older", ONE)),
            there("kj", version("kj", "1.0.0")),
            there("was", version("was", "1.0.0")),
            there("off.disabled", clone_of("https://h/o/off", ONE)),
            there("twice", clone_of("https://h/o/twice", ONE)),
            there("twice-copy", clone_of("https://h/o/twice", TWO)),
            there("Taken", Origin::Folder),
            fork,
            link,
        ];
        let plan = Plan::install(
            &installed,
            &[
                locked("same", "https://h/o/same", ONE),
                locked("older", "https://h/o/older", TWO),
                locked("new", "https://h/o/new.git", ONE),
                locked("kj", "https://h/o/kj", "1.0.0"),
                locked("was", "https://h/o/was", "1.1.0"),
                locked("reg", "https://h/o/other-name", "2.0.0"),
                locked("off", "https://h/o/off", ONE),
                locked("twice", "https://h/o/twice", ONE),
                locked("taken", "https://h/o/taken", ONE),
                locked("forked", "https://h/o/forked", ONE),
                locked("link", "https://h/o/link", TWO),
                locked("was", "https://h/o/was", TWO),
                locked("loose", "https://h/o/loose", ""),
                locked("local", "file:///srv/x", ONE),
                locked("again", "https://h/p/new", ONE),
            ],
            Transports::default(),
        );
        let expected = "\
keep      same at 111111111111
update    older from 111111111111 to commit 222222222222 of https://h/o/older
install   new into new: commit 111111111111 of https://h/o/new.git
keep      kj at 1.0.0
update    was from 1.0.0 to version 1.1.0 of was in the Comfy Registry
install   reg into reg: version 2.0.0 of reg in the Comfy Registry
conflict  off: it is turned off (off.disabled): turn it on in ComfyUI-Manager, or remove it
conflict  twice: it is there more than once (twice, twice-copy): remove what should not be
conflict  taken: its folder Taken holds something else (a folder of unknown origin): remove that first
conflict  forked: it is there as a clone of https://h/me/fork, and locked as commit 111111111111 of https://h/o/forked: remove it first
conflict  link: it is at 111111111111, and a link to somewhere else: change it there
conflict  was: it is there as version 1.0.0 of was in the Comfy Registry, and locked as commit 222222222222 of https://h/o/was: remove it first
conflict  loose: it is locked without a version or commit: name one in a sidecar and lock again
conflict  local: its repository is reached by file://, which has to be allowed by the operator
conflict  again: new is to be in the folder new as well
";
        assert_eq!(plan.to_string(), expected);
        assert!(!plan.is_idle());
        assert_eq!(plan.conflicts().count(), 9);
        let names = ["kj", "off", "nobody", "KJ"].map(str::to_owned);
        let expected =
            "remove    kj at 1.0.0\nremove    off at 111111111111\nconflict  nobody: there is no such pack\n";
        assert_eq!(Plan::remove(&installed, &names).to_string(), expected);
    }
}
