//! Files from CivitAI.

use comfyport_fetch::Approved;
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    Host, Located, Ways,
    web::{Asked, refused},
};
use crate::{PullError, Sha256, Source, Wanted, source::CivitFile, trouble::Trouble};

/// What is said of a version of a model is never longer.
const LONGEST: usize = 8 << 20;

/// A version of a model, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    id: u64,
    #[serde(default)]
    model_id: Option<u64>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    availability: Option<String>,
    #[serde(default)]
    usage_control: Option<String>,
    #[serde(default)]
    early_access_ends_at: Option<String>,
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    metadata: Option<FileMetadata>,
    #[serde(default)]
    pickle_scan_result: Option<String>,
    #[serde(default)]
    virus_scan_result: Option<String>,
    #[serde(default)]
    hashes: Option<Hashes>,
    #[serde(default)]
    download_url: Option<String>,
    #[serde(default)]
    primary: bool,
}

#[derive(Debug, Default, Deserialize)]
struct FileMetadata {
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    size: Option<String>,
    #[serde(default)]
    fp: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Hashes {
    /// Of some files it is not told.
    #[serde(default, rename = "SHA256")]
    sha256: Option<String>,
}

impl File {
    fn sha256(&self) -> Option<Sha256> {
        self.hashes.as_ref()?.sha256.as_ref()?.parse().ok()
    }

    /// Whether it is what somebody picked by `type`, `format`, `size` and `fp`.
    fn is(&self, key: &str, value: &str) -> bool {
        let metadata = self.metadata.as_ref();
        let has = match key {
            "type" => self.kind.as_ref(),
            "format" => metadata.and_then(|metadata| metadata.format.as_ref()),
            "size" => metadata.and_then(|metadata| metadata.size.as_ref()),
            "fp" => metadata.and_then(|metadata| metadata.fp.as_ref()),
            _ => None,
        };
        has.is_some_and(|has| has.eq_ignore_ascii_case(value))
    }
}

/// A file that CivitAI knows by its content: a suggestion for whoever looks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file as a source.
    pub source: Source,
    /// The number of the version.
    pub id: u64,
    /// The number of the model.
    pub model: Option<u64>,
    /// What the version is called.
    pub version: String,
    /// What the file is called.
    pub file: String,
}

impl Ways {
    /// Asks CivitAI who has this content. `None` if it does not know.
    pub(crate) async fn look_up(&self, sha256: &Sha256) -> Result<Option<Found>, Trouble> {
        let place = format!("civitai:sha256:{sha256}");
        let version: Version = match self.ask(&place, &format!("by-hash/{sha256}")).await {
            Err(Trouble::Fatal(PullError::NotFound { .. })) => return Ok(None),
            other => other?,
        };
        let file = version.files.iter().find(|file| file.sha256() == Some(*sha256));
        Ok(file.map(|file| Found {
            source: Source::CivitAi(CivitFile::Hash(*sha256)),
            id: version.id,
            model: version.model_id,
            version: version.name.clone(),
            file: file.name.clone(),
        }))
    }

    /// Asks what is said of a version, picks the file that is wanted, and refuses what cannot or should not be had.
    pub(super) async fn locate_at_civitai(
        &self,
        wanted: &Wanted,
        source: &Source,
        asked: &CivitFile,
    ) -> Result<Located, Trouble> {
        let place = source.to_string();
        let what = match asked {
            CivitFile::Version { id, .. } => id.to_string(),
            CivitFile::Hash(digest) => format!("by-hash/{digest}"),
        };
        let version: Version = self.ask(&place, &what).await?;
        let usage = version.usage_control.as_deref().unwrap_or("Download");
        if usage != "Download" {
            return Err(PullError::NotDownloadable { place, usage: usage.to_owned() }.into());
        }
        let file = pick(&version, wanted, asked).ok_or_else(|| PullError::NoFile {
            place: place.clone(),
            has: version.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        for (scan, result) in [("pickle", &file.pickle_scan_result), ("virus", &file.virus_scan_result)] {
            let result = result.as_deref().unwrap_or("nothing");
            if result != "Success" {
                return Err(PullError::Scan { place, scan, result: result.to_owned() }.into());
            }
        }
        if is_early(&version, self.civitai.token.is_some()) {
            return Err(PullError::EarlyAccess { place, until: version.early_access_ends_at }.into());
        }
        let start = Approved::by_operator(self.download(&place, &version, file)?);
        let sha256 = file.sha256();
        Ok(Located { sha256, ..Located::web(place, start, Host::CivitAi) })
    }

    /// The address of a file, which must be one of the hub's own.
    fn download(&self, place: &str, version: &Version, file: &File) -> Result<Url, PullError> {
        let endpoint = &self.civitai.endpoint;
        let odd = |what: &str| PullError::Odd { place: place.to_owned(), what: what.to_owned() };
        let path = match &file.download_url {
            // Mirrors repeat the address that the original has: the host is the one that is configured.
            Some(address) => {
                let url = endpoint.join(address).map_err(|_| odd("the address of its file is none"))?;
                let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
                format!("{}{query}", url.path())
            }
            None => format!("/api/download/models/{}", version.id),
        };
        if !path.starts_with("/api/download/") {
            return Err(odd("the address of its file is not one of downloads"));
        }
        endpoint.join(&path).map_err(|_| odd("the address of its file is none"))
    }

    async fn ask<T: DeserializeOwned>(&self, place: &str, what: &str) -> Result<T, Trouble> {
        let odd =
            |what: &str| Trouble::Fatal(PullError::Odd { place: place.to_owned(), what: what.to_owned() });
        let url = self.civitai.endpoint.join(&format!("/api/v1/model-versions/{what}"));
        let start = Approved::by_operator(url.map_err(|_| odd("it has no address"))?);
        let host = Host::CivitAi;
        let (mut answer, elsewhere, token) =
            self.follow(place, &start, &host, &Method::GET, &HeaderMap::new(), false).await?;
        if answer.status() != StatusCode::OK {
            let asked = Asked { place, host: &host, token, elsewhere };
            return Err(refused(answer.status(), answer.headers(), &asked));
        }
        let mut text = Vec::new();
        let broken = |_| Trouble::Passing("the connection broke off".to_owned());
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            text.extend_from_slice(&piece);
            if text.len() > LONGEST {
                return Err(odd("it says more of the version than is read"));
            }
        }
        serde_json::from_slice(&text).map_err(|_| odd("it does not say of the version what it should"))
    }
}

/// The file that is wanted: by its content, else by what was said of it, else by its name, else the main one.
fn pick<'v>(version: &'v Version, wanted: &Wanted, asked: &CivitFile) -> Option<&'v File> {
    let files = || version.files.iter();
    let digest = match asked {
        CivitFile::Hash(digest) => Some(*digest),
        CivitFile::Version { .. } => wanted.sha256,
    };
    if let Some(digest) = digest {
        if let Some(file) = files().find(|file| file.sha256() == Some(digest)) {
            return Some(file);
        }
        // One whose hash is not told may be it.
        if files().all(|file| file.sha256().is_some()) {
            return None;
        }
    }
    if let CivitFile::Version { pick, .. } = asked
        && !pick.is_empty()
    {
        return files().find(|file| pick.iter().all(|(key, value)| file.is(key, value)));
    }
    let name = wanted.name.file().rsplit('/').next()?;
    let named = files().find(|file| file.name == name);
    named.or_else(|| files().find(|file| file.primary)).or_else(|| files().next())
}

/// Whether those alone can have it who paid. With a token, the download says so.
fn is_early(version: &Version, token: bool) -> bool {
    let end = version.early_access_ends_at.as_ref().and_then(|end| end.parse::<jiff::Timestamp>().ok());
    let told = end.map(|end| end > jiff::Timestamp::now());
    !token && told.unwrap_or(version.availability.as_deref() == Some("EarlyAccess"))
}
