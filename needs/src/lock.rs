//! `comfyport.lock`: what the workflows of a project need, pinned.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    list::is_sha256,
    model::ModelNeed,
    needs::Needs,
    pack::{PackNeed, plain},
};

/// The form that is read and written here.
const VERSION: u32 = 1;

const HEAD: &str = "\
# What the workflows of this project need, pinned: written by `comfyport lock`. Commit it.
";

/// Models and packs of all workflows of a project, each as exact as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectLock {
    pub(crate) version: u32,
    /// The ComfyUI that the workflows were seen to run on: a version such as `0.3.64`, or a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comfyui: Option<String>,
    /// Its Python, such as `3.12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Models by folder and file.
    #[serde(default, rename = "model", skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<LockedModel>,
    /// Packs by id.
    #[serde(default, rename = "pack", skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<LockedPack>,
}

/// A model, as exact as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModel {
    /// The models folder.
    pub folder: String,
    /// The file below it.
    pub file: String,
    /// Where it can be had, tried in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Its length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What its content hashes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// A node fetches it by itself when it first runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fetched_by_node: bool,
    /// Its licence, if it is known to restrict anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The workflows that need it.
    pub workflows: Vec<String>,
}

/// A node pack, as exact as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPack {
    /// Its id in the Comfy Registry, or the last part of its repository's address.
    pub id: String,
    /// Its repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Its version in the Comfy Registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The commit of its repository; there is no version then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What it asks of Python, one requirement each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// The Pythons it runs on, such as `>=3.10`, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The ComfyUIs it runs with, such as `>=0.3.50`, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comfyui: Option<String>,
    /// The classes it is needed for.
    pub classes: Vec<String>,
    /// The workflows that need it.
    pub workflows: Vec<String>,
}

/// How exactly a pack is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin<'l> {
    /// A version of the Comfy Registry.
    Version(&'l str),
    /// A commit of its repository.
    Commit(&'l str),
}

/// A lock that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLock {
    /// It is no TOML of this form.
    #[error("{0}")]
    Form(String),
    /// It was written by a newer comfyport.
    #[error(
        "it has version {0}, and this comfyport reads version {VERSION}: use the one that wrote it, or a newer one"
    )]
    Newer(u32),
    /// Something in it cannot be.
    #[error("{0}")]
    Content(String),
}

/// What a lock says otherwise than the workflows do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A model is needed and not locked.
    Model(String),
    /// A pack is needed and not locked.
    Pack(String),
    /// A model is locked and no longer needed.
    SpareModel(String),
    /// A pack is locked and no longer needed.
    SparePack(String),
    /// A workflow, its sidecar or the project's list asks for another content of a model.
    Content {
        /// The model.
        model: String,
        /// The hash that is asked for.
        asked: String,
        /// The hash that is locked.
        locked: String,
    },
    /// A sidecar asks for another version of a pack.
    Version {
        /// The pack.
        pack: String,
        /// What is asked for.
        asked: String,
        /// What is locked.
        locked: String,
    },
    /// A model is locked without all that it takes to fetch it.
    LooseModel {
        /// The model.
        model: String,
        /// What is missing: a hash, an address.
        lacks: &'static str,
    },
    /// A pack is locked without a version or commit.
    LoosePack(String),
}

impl Difference {
    /// Whether it is only that something is not known exactly yet.
    pub fn is_loose(&self) -> bool {
        matches!(self, Self::LooseModel { .. } | Self::LoosePack(_))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => write!(to, "model {model} is needed and not locked"),
            Self::Pack(pack) => write!(to, "node pack {pack} is needed and not locked"),
            Self::SpareModel(model) => write!(to, "model {model} is locked and no workflow needs it"),
            Self::SparePack(pack) => write!(to, "node pack {pack} is locked and no workflow needs it"),
            Self::Content { model, asked, locked } => {
                write!(to, "model {model} is to have sha256 {asked} and is locked with {locked}")
            }
            Self::Version { pack, asked, locked } => {
                write!(to, "node pack {pack} is to have version {asked} and is locked at {locked}")
            }
            Self::LooseModel { model, lacks } => write!(to, "model {model} is locked without {lacks}"),
            Self::LoosePack(pack) => write!(to, "node pack {pack} is locked without a version or commit"),
        }
    }
}

impl LockedModel {
    /// `folder/file`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.folder, self.file)
    }

    fn is(&self, need: &ModelNeed) -> bool {
        self.folder == need.folder && self.file == need.file
    }
}

impl LockedPack {
    /// How exactly it is known.
    pub fn pin(&self) -> Option<Pin<'_>> {
        let commit = self.commit.as_deref().map(Pin::Commit);
        commit.or_else(|| self.version.as_deref().map(Pin::Version))
    }

    fn is(&self, need: &PackNeed) -> bool {
        let repositories = self.repository.as_deref().zip(need.repository.as_deref());
        repositories.is_some_and(|(left, right)| plain(left) == plain(right))
            || self.id.eq_ignore_ascii_case(&need.id)
    }

    fn is_at(&self, version: &str) -> bool {
        let bare = version.trim_start_matches('v');
        self.version.as_deref().is_some_and(|locked| locked.trim_start_matches('v') == bare)
            // Commits may be shortened, either of them.
            || self.commit.as_deref().is_some_and(|locked| {
                version.len() >= 7 && (locked.starts_with(version) || version.starts_with(locked))
            })
    }
}

impl ProjectLock {
    /// Reads a lock.
    pub fn parse(text: &str) -> Result<Self, BadLock> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let form = |error: toml::de::Error| BadLock::Form(error.to_string());
        let head: Head = toml::from_str(text).map_err(form)?;
        if head.version > VERSION {
            return Err(BadLock::Newer(head.version));
        }
        let lock: Self = toml::from_str(text).map_err(form)?;
        for model in &lock.models {
            let bad = |what: &str| Err(BadLock::Content(format!("model {}: {what}", model.name())));
            if !is_below(&model.file) || !is_below(&model.folder) {
                return bad("its folder and file are no path below the models folder");
            }
            if !model.sha256.as_deref().is_none_or(is_sha256) {
                return bad("`sha256` is not 64 hexadecimal digits");
            }
        }
        for pack in &lock.packs {
            let bad = |what: &str| Err(BadLock::Content(format!("pack {}: {what}", pack.id)));
            if pack.id.is_empty() || pack.id.contains(['/', '\\']) || pack.id.starts_with('.') {
                return bad("its id is no name of a folder");
            }
            if pack.version.is_some() && pack.commit.is_some() {
                return bad("it has a `version` and a `commit`: one of them decides");
            }
            let is_commit = |text: &str| {
                (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            if !pack.commit.as_deref().is_none_or(is_commit) {
                return bad("`commit` is no commit");
            }
        }
        Ok(lock)
    }

    /// Its text: the same lock is always the same bytes.
    pub fn write(&self) -> String {
        let mut sorted = self.clone();
        sorted.version = VERSION;
        sorted.models.sort_by(|left, right| (&left.folder, &left.file).cmp(&(&right.folder, &right.file)));
        sorted.packs.sort_by_key(|pack| pack.id.to_lowercase());
        // A struct of strings, numbers and lists of them can always be written.
        HEAD.to_owned() + &toml::to_string(&sorted).unwrap_or_default()
    }

    /// The lock for these needs. What was exact stays, unless somebody asks for something else; what nobody needs any
    /// more goes; what is new is as exact as its need is.
    #[must_use]
    pub fn updated(&self, needs: &Needs) -> Self {
        let model = |need: &ModelNeed| {
            let known = self.models.iter().find(|locked| locked.is(need));
            // Another content is asked for: what was locked says nothing of it.
            let known = known.filter(|locked| {
                need.sha256.is_none() || locked.sha256.is_none() || locked.sha256 == need.sha256
            });
            let mut urls: Vec<String> = need.sources.iter().map(|source| source.url.clone()).collect();
            for url in known.iter().flat_map(|locked| &locked.urls) {
                if !urls.contains(url) {
                    urls.push(url.clone());
                }
            }
            LockedModel {
                folder: need.folder.clone(),
                file: need.file.clone(),
                urls,
                size: need.size.or_else(|| known?.size),
                sha256: need.sha256.clone().or_else(|| known?.sha256.clone()),
                fetched_by_node: need.fetched_by_node,
                licence: need.licence.as_ref().map(|licence| licence.name.clone()),
                workflows: need.workflows().into_iter().map(str::to_owned).collect(),
            }
        };
        let pack = |need: &PackNeed| {
            let known = self.packs.iter().find(|locked| locked.is(need));
            let known =
                known.filter(|locked| need.version.as_deref().is_none_or(|asked| locked.is_at(asked)));
            let asked = || need.version.as_deref();
            let is_commit =
                |text: &&str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_version =
                |text: &&str| text.trim_start_matches('v').split('.').all(|part| part.parse::<u64>().is_ok());
            let (version, commit) = match known.filter(|locked| locked.pin().is_some()) {
                Some(locked) => (locked.version.clone(), locked.commit.clone()),
                None => (
                    asked().filter(is_version).map(|text| text.trim_start_matches('v').to_owned()),
                    asked().filter(is_commit).map(str::to_owned),
                ),
            };
            LockedPack {
                // The registry may write it otherwise, and knows it by that alone.
                id: known.map_or_else(|| need.id.clone(), |locked| locked.id.clone()),
                repository: need.repository.clone().or_else(|| known?.repository.clone()),
                version,
                commit,
                requirements: known.map(|locked| locked.requirements.clone()).unwrap_or_default(),
                python: known.and_then(|locked| locked.python.clone()),
                comfyui: known.and_then(|locked| locked.comfyui.clone()),
                classes: need.classes.clone(),
                workflows: need.workflows.clone(),
            }
        };
        Self {
            version: VERSION,
            comfyui: self.comfyui.clone(),
            python: self.python.clone(),
            models: needs.models.iter().map(model).collect(),
            // What has to be decided is not pinned by accident.
            packs: needs.packs.iter().filter(|need| !need.is_ambiguous()).map(pack).collect(),
        }
    }

    /// What is otherwise than these needs.
    pub fn compare(&self, needs: &Needs) -> Vec<Difference> {
        let mut found = Vec::new();
        for need in &needs.models {
            let name = format!("{}/{}", need.folder, need.file);
            let Some(locked) = self.models.iter().find(|locked| locked.is(need)) else {
                found.push(Difference::Model(name));
                continue;
            };
            match (&need.sha256, &locked.sha256) {
                (Some(asked), Some(is)) if !asked.eq_ignore_ascii_case(is) => {
                    found.push(Difference::Content { model: name, asked: asked.clone(), locked: is.clone() });
                }
                _ if locked.fetched_by_node => {}
                (_, hash) => {
                    let lacks = match (hash.is_some(), !locked.urls.is_empty()) {
                        (true, true) => continue,
                        (false, true) => "a hash",
                        (true, false) => "an address",
                        (false, false) => "a hash or an address",
                    };
                    found.push(Difference::LooseModel { model: name, lacks });
                }
            }
        }
        for need in &needs.packs {
            let Some(locked) = self.packs.iter().find(|locked| locked.is(need)) else {
                found.push(Difference::Pack(need.id.clone()));
                continue;
            };
            let by_sidecar = need.evidence.starts_with("sidecar");
            match (&need.version, locked.pin()) {
                (_, None) => found.push(Difference::LoosePack(need.id.clone())),
                // What a workflow happened to be saved with binds nobody; what its sidecar says does.
                (Some(asked), Some(Pin::Version(is) | Pin::Commit(is)))
                    if by_sidecar && !locked.is_at(asked) =>
                {
                    let (pack, asked, locked) = (need.id.clone(), asked.clone(), is.to_owned());
                    found.push(Difference::Version { pack, asked, locked });
                }
                _ => {}
            }
        }
        for locked in &self.models {
            if !needs.models.iter().any(|need| locked.is(need)) {
                found.push(Difference::SpareModel(locked.name()));
            }
        }
        for locked in &self.packs {
            if !needs.packs.iter().any(|need| locked.is(need)) {
                found.push(Difference::SparePack(locked.id.clone()));
            }
        }
        found
    }
}

/// Whether a path stays below the folder it begins in, on every system.
pub(crate) fn is_below(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0', ':'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}
