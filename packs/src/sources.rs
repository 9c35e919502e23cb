//! Where packs come from, asked what there is. Nothing is installed.

use std::{fs, io};

use comfyport_needs::{LockedPack, Pin, VersionRange, same_repository};

use crate::{
    git::{Git, GitError},
    installed::{Installed, Origin, ranges},
    plan::{Action, Step, is_called},
    python::requirements,
    registry::{KnownPack, Registry, RegistryError},
    source::{BadSource, Commit, Repository},
};

/// What says what a pack asks for; of requirements, the first that is there.
const FILES: [&str; 2] = ["requirements.txt", "pyproject.toml"];

/// What a pack asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asks {
    /// Packages of Python, one requirement each.
    pub requirements: Vec<String>,
    /// The Pythons it runs on.
    pub python: Option<VersionRange>,
    /// The ComfyUIs it runs with.
    pub comfyui: Option<VersionRange>,
}

/// Repositories and the registry.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What repositories are asked with.
    pub git: Git,
    /// The registry; `None`: it is not asked.
    pub registry: Option<Registry>,
}

/// Why a source does not say what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// What is locked is none that could be asked for.
    #[error(transparent)]
    Bad(#[from] BadSource),
    /// Nobody knows where it is.
    #[error(
        "the Comfy Registry does not know it, and its repository is not known: name one in a sidecar file"
    )]
    Nowhere,
    /// No room for what is looked at.
    #[error("a folder to look at it cannot be made: {0}")]
    Io(#[from] io::Error),
}

impl Sources {
    /// A pack without a pin, pinned at what is newest: the version of the registry, if that has the same pack, or else
    /// the commit of its repository.
    pub async fn pin(&self, pack: &LockedPack) -> Result<LockedPack, SourceError> {
        let known = self.in_registry(pack).await?;
        if let Some(KnownPack { id, repository, newest: Some(newest) }) = known {
            let repository = pack.repository.clone().or(repository);
            return Ok(LockedPack { id, repository, version: Some(newest), commit: None, ..pack.clone() });
        }
        let address = pack.repository.as_deref().ok_or(SourceError::Nowhere)?;
        let repository = Repository::parse(address, self.git.transports)?;
        let within = tempfile::tempdir()?;
        let commit = self.git.newest(&repository, within.path()).await?;
        Ok(LockedPack { commit: Some(commit.as_str().to_owned()), version: None, ..pack.clone() })
    }

    /// What a pinned pack asks for: of a version, what the registry says; of a commit, what its files say.
    pub async fn asks(&self, pack: &LockedPack) -> Result<Asks, SourceError> {
        match (pack.pin(), &self.registry) {
            (Some(Pin::Version(version)), Some(registry)) => {
                let release = registry.release(&pack.id, version).await?;
                // The registry does not say which Python.
                let comfyui = release.comfyui.as_deref().and_then(VersionRange::read);
                Ok(Asks { requirements: release.dependencies, python: None, comfyui })
            }
            (Some(Pin::Commit(commit)), _) => {
                let address = pack.repository.as_deref().ok_or(SourceError::Nowhere)?;
                let repository = Repository::parse(address, self.git.transports)?;
                let within = tempfile::tempdir()?;
                let commit = Commit::parse(commit)?;
                let look = tempfile::tempdir()?;
                for file in FILES {
                    if let Some(text) = self.git.read(&repository, &commit, file, within.path()).await? {
                        fs::write(look.path().join(file), text)?;
                    }
                }
                let [python, comfyui] = ranges(look.path());
                Ok(Asks { requirements: requirements(look.path()), python, comfyui })
            }
            _ => Ok(Asks::default()),
        }
    }

    /// The pack that has a class, as the registry says.
    pub async fn with_class(&self, class: &str) -> Result<Option<KnownPack>, SourceError> {
        match &self.registry {
            Some(registry) => Ok(registry.with_class(class).await?),
            None => Ok(None),
        }
    }

    /// The repository of a pack of the registry, if that is known.
    pub async fn repository(&self, id: &str) -> Option<String> {
        self.registry.as_ref()?.pack(id).await.ok()??.repository
    }

    /// How a pack would be locked at its newest.
    pub async fn newest(&self, installed: &Installed) -> Result<LockedPack, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let pack = LockedPack { id: installed.name.clone(), ..LockedPack::default() };
        match &installed.origin {
            Origin::Registry { id, .. } => {
                let registry = self.registry.as_ref().ok_or("no registry is known")?;
                let version = registry.newest(id).await.map_err(|error| said(&error))?;
                Ok(LockedPack { id: id.clone(), version: Some(version), ..pack })
            }
            Origin::Git { remote: Some(remote), .. } => {
                let repository =
                    Repository::parse(remote, self.git.transports).map_err(|error| said(&error))?;
                let within = tempfile::tempdir().map_err(|error| said(&error))?;
                let commit =
                    self.git.newest(&repository, within.path()).await.map_err(|error| said(&error))?;
                let (repository, commit) = (Some(remote.clone()), Some(commit.as_str().to_owned()));
                Ok(LockedPack { repository, commit, ..pack })
            }
            _ => Err(format!("it is {}, of which nothing newer can be known", installed.at())),
        }
    }

    /// How packs of these names, or all that can be, would be locked at their newest; and steps for those that cannot.
    /// Packs that are turned off stay as they are.
    pub(crate) async fn newest_of(
        &self,
        installed: &[Installed],
        names: &[String],
    ) -> (Vec<LockedPack>, Vec<Step>) {
        let meant = |one: &&Installed| {
            let can_be = matches!(one.origin, Origin::Registry { .. } | Origin::Git { remote: Some(_), .. });
            one.enabled
                && if names.is_empty() { can_be } else { names.iter().any(|name| is_called(one, name)) }
        };
        let refuse = |pack: &str, folder: &str, why: String| Step {
            pack: pack.to_owned(),
            folder: folder.to_owned(),
            action: Action::Conflict(why),
            classes: Vec::new(),
        };
        let (mut newest, mut refused) = (Vec::new(), Vec::new());
        for one in installed.iter().filter(meant) {
            match self.newest(one).await {
                Ok(pack) => newest.push(pack),
                Err(why) => refused.push(refuse(&one.name, &one.folder, why)),
            }
        }
        for name in names {
            if !installed.iter().any(|one| one.enabled && is_called(one, name)) {
                refused.push(refuse(name, name, "there is no such pack that is turned on".to_owned()));
            }
        }
        (newest, refused)
    }

    /// What the registry says of a pack, if it means the same one.
    async fn in_registry(&self, pack: &LockedPack) -> Result<Option<KnownPack>, SourceError> {
        let Some(registry) = &self.registry else { return Ok(None) };
        let lower = pack.id.to_lowercase();
        for id in [&pack.id, &lower] {
            let known = match registry.pack(id).await {
                // A repository may be called what no pack of the registry is.
                Err(RegistryError::Source(_)) => continue,
                other => other?,
            };
            let same = |known: &KnownPack| match (&pack.repository, &known.repository) {
                (Some(ours), Some(theirs)) => same_repository(ours, theirs),
                _ => true,
            };
            if let Some(known) = known.filter(same) {
                return Ok(Some(known));
            }
            if *id == lower {
                break;
            }
        }
        Ok(None)
    }
}
