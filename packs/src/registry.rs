//! The Comfy Registry.

use comfyport_fetch::{Approved, FetchError, Fetcher};
use serde::Deserialize;
use tokio::io::AsyncWrite;
use url::Url;

use crate::source::{BadSource, Repository, Transports, registry_id, registry_version};

/// The largest answer about a pack that is read, in bytes.
const LARGEST_ANSWER: u64 = 4 << 20;

/// The Comfy Registry, or a server that speaks like it.
#[derive(Debug, Clone)]
pub struct Registry {
    base: Url,
    fetcher: Fetcher,
    largest: u64,
}

/// A version of a pack.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) download: String,
    pub(crate) deprecated: bool,
    /// What it asks of Python, as the registry read it.
    pub(crate) dependencies: Vec<String>,
    /// The ComfyUIs it runs with, as its author wrote it.
    pub(crate) comfyui: Option<String>,
    /// Whether it could only be had by what counts as an installation.
    pub(crate) counted: bool,
}

/// A pack that the registry knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPack {
    /// Its id.
    pub id: String,
    /// Its repository, if it is one.
    pub repository: Option<String>,
    /// Its newest version, if it has any.
    pub newest: Option<String>,
}

/// Why the registry gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It could not be asked, or an archive could not be fetched.
    #[error("the Comfy Registry: {0}")]
    Fetch(#[from] FetchError),
    /// There is no such pack, or no such version of it.
    #[error("the Comfy Registry has no {0}: check id and version, or pin a commit of its repository")]
    Unknown(String),
    /// It answers something else than it should.
    #[error("the Comfy Registry answered what is not understood: {0}")]
    Answer(String),
    /// A version that was withdrawn.
    #[error("version {version} of {id} is {status} in the Comfy Registry: pin another one")]
    Withdrawn {
        /// The pack.
        id: String,
        /// The version.
        version: String,
        /// What the registry says of it.
        status: String,
    },
    /// A version without an archive.
    #[error("the Comfy Registry names no archive for {0}")]
    NoArchive(String),
    /// What was asked for cannot be asked for.
    #[error(transparent)]
    Source(#[from] BadSource),
}

#[derive(Deserialize)]
struct Said {
    version: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, rename = "downloadUrl")]
    download: Option<String>,
    #[serde(default)]
    deprecated: Option<bool>,
    #[serde(default)]
    dependencies: Option<Vec<String>>,
    #[serde(default, rename = "supported_comfyui_version")]
    comfyui: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    id: String,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    latest_version: Option<Latest>,
}

#[derive(Deserialize)]
struct Latest {
    version: String,
}

impl Registry {
    /// The one at `base`, such as `https://api.comfy.org`. Archives are fetched from wherever it says, as far as
    /// `fetcher` goes there, and hold `largest` bytes at most.
    pub fn new(base: Url, fetcher: Fetcher, largest: u64) -> Self {
        Self { base, fetcher, largest }
    }

    /// A version. The registry counts no installation, unless nothing else says where the archive is.
    pub(crate) async fn release(&self, id: &str, version: &str) -> Result<Release, RegistryError> {
        let (id, version) = (registry_id(id)?, registry_version(version)?);
        let name = format!("{id} {version}");
        let found: Said = self.ask(&["nodes", id, "versions", version], None, &name).await?;
        usable(id, &found)?;
        let mut counted = false;
        let mut download = found.download.filter(|url| !url.is_empty());
        if download.is_none() {
            let asked = Some(("version", version));
            let install: Said = self.ask(&["nodes", id, "install"], asked, &name).await?;
            usable(id, &install)?;
            if install.version != version {
                return Err(RegistryError::Answer(format!("version {} for {name}", install.version)));
            }
            (download, counted) = (install.download.filter(|url| !url.is_empty()), true);
        }
        if found.version != version {
            return Err(RegistryError::Answer(format!("version {} for {name}", found.version)));
        }
        Ok(Release {
            id: id.to_owned(),
            version: version.to_owned(),
            download: download.ok_or(RegistryError::NoArchive(name))?,
            deprecated: found.deprecated == Some(true),
            dependencies: found.dependencies.unwrap_or_default(),
            comfyui: found.comfyui,
            counted,
        })
    }

    /// The newest version of a pack.
    pub(crate) async fn newest(&self, id: &str) -> Result<String, RegistryError> {
        let pack = self.pack(id).await?.ok_or_else(|| RegistryError::Unknown(id.to_owned()))?;
        pack.newest.ok_or_else(|| RegistryError::Unknown(format!("version of {id}")))
    }

    /// A pack; `None` if there is no such id.
    pub(crate) async fn pack(&self, id: &str) -> Result<Option<KnownPack>, RegistryError> {
        let id = registry_id(id)?;
        self.known(&["nodes", id], id).await
    }

    /// The pack that has a class; `None` if it is unknown, or one of ComfyUI itself.
    pub(crate) async fn with_class(&self, class: &str) -> Result<Option<KnownPack>, RegistryError> {
        // These would be steps of a path.
        if matches!(class, "" | "." | "..") {
            return Ok(None);
        }
        self.known(&["comfy-nodes", class, "node"], class).await
    }

    async fn known(&self, segments: &[&str], name: &str) -> Result<Option<KnownPack>, RegistryError> {
        let node: Node = match self.ask(segments, None, name).await {
            Err(RegistryError::Unknown(_)) => return Ok(None),
            other => other?,
        };
        let repository = node.repository.filter(|one| Repository::parse(one, Transports::ANY).is_ok());
        let newest = node.latest_version.map(|latest| registry_version(&latest.version).map(str::to_owned));
        Ok(Some(KnownPack { id: registry_id(&node.id)?.to_owned(), repository, newest: newest.transpose()? }))
    }

    /// Fetches the archive of a version.
    pub(crate) async fn download(
        &self,
        release: &Release,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), RegistryError> {
        let address = self.fetcher.judge(&release.download)?;
        self.fetcher.open(&address, self.largest, &[]).await?.save(to).await?;
        Ok(())
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        segments: &[&str],
        query: Option<(&str, &str)>,
        name: &str,
    ) -> Result<T, RegistryError> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if let Some((key, value)) = query {
            url.query_pairs_mut().append_pair(key, value);
        }
        let answer = self.fetcher.open(&Approved::by_operator(url), LARGEST_ANSWER, &[]).await;
        let answer = answer.map_err(|error| match error {
            FetchError::Status(404) => RegistryError::Unknown(name.to_owned()),
            other => other.into(),
        })?;
        let mut body = Vec::new();
        answer.save(&mut body).await?;
        serde_json::from_slice(&body).map_err(|error| RegistryError::Answer(error.to_string()))
    }
}

fn usable(id: &str, found: &Said) -> Result<(), RegistryError> {
    let status = found.status.as_deref().unwrap_or_default();
    let status = status.strip_prefix("NodeVersionStatus").unwrap_or(status);
    if matches!(status, "Banned" | "Flagged" | "Deleted") {
        let (id, version, status) = (id.to_owned(), found.version.clone(), status.to_lowercase());
        return Err(RegistryError::Withdrawn { id, version, status });
    }
    Ok(())
}
