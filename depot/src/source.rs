//! Where a model can be had.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::Sha256;

/// What stands for itself in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where a model can be had. Written as
///
/// - `https://huggingface.co/{repository}/resolve/{revision}/{path}` or `hf://{repository}[@{revision}]/{path}`,
/// - `https://civitai.com/api/download/models/{version}`, `https://civitai.com/models/{model}?modelVersionId={version}`,
///   `civitai:{version}`, `civitai:sha256:{digest}` or `urn:air:…:civitai:{model}@{version}`,
/// - any other `https://…` or `http://…` address,
/// - `s3://…`, `gs://…` or `az://…`,
/// - `comfyport+https://{server}`, another server of this kind.
///
/// Written out, it holds neither what follows a `?` in an address nor a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of a repository at Hugging Face.
    HuggingFace(HubFile),
    /// A file of a version of a model at CivitAI.
    CivitAi(CivitFile),
    /// An address of the web.
    Web(Address),
    /// An object in a bucket.
    Bucket(String),
    /// A server of this kind, which has it at `/models/{folder}/{file}`.
    Server(Address),
}

/// A file of a repository at Hugging Face.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// Such as `org/name`, or `datasets/org/name`.
    pub repository: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// The file, with `/` between folders.
    pub path: String,
}

/// A file at CivitAI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CivitFile {
    /// Of a version, with what was said to tell it from other files of the version (`type`, `format`, `size`, `fp`).
    Version {
        /// The number of the version.
        id: u64,
        /// Pairs such as `("fp", "fp16")`.
        pick: Vec<(String, String)>,
    },
    /// Whichever has this content.
    Hash(Sha256),
}

/// An address, shown without what follows a `?` and without a password: either may let others in.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// What was written is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    /// It is not one of the forms.
    #[error(
        "{0:?} is not a source of a model: there are https://…, http://…, hf://…, civitai:…, s3://…, gs://…, az://… \
         and comfyport+https://…"
    )]
    Form(String),
    /// It names no file of Hugging Face's.
    #[error(
        "{0:?} names no file: it must look like https://huggingface.co/org/name/resolve/main/file.safetensors"
    )]
    Hub(String),
    /// It names no version of CivitAI's.
    #[error(
        "{0:?} names no version: it must look like https://civitai.com/models/1?modelVersionId=2 or civitai:2"
    )]
    Civit(String),
}

impl Address {
    /// The whole address.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl From<Url> for Address {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

/// An address as others may see it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Addresses that cannot have either do not have them.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({self})")
    }
}

impl HubFile {
    /// Its path below the address of the hub.
    pub(crate) fn url(&self, endpoint: &Url) -> Option<Url> {
        let encode = |path: &str| {
            let parts = path.split('/').map(|part| utf8_percent_encode(part, PART).to_string());
            parts.collect::<Vec<_>>().join("/")
        };
        let base = endpoint.as_str().trim_end_matches('/');
        // A revision such as `refs/pr/1` is one part.
        let revision = utf8_percent_encode(&self.revision, PART);
        Url::parse(&format!("{base}/{}/resolve/{revision}/{}", encode(&self.repository), encode(&self.path)))
            .ok()
    }

    /// The page where its terms are accepted.
    pub(crate) fn page(&self, endpoint: &Url) -> String {
        format!("{}/{}", endpoint.as_str().trim_end_matches('/'), self.repository)
    }

    fn from_path(path: &str) -> Option<Self> {
        let path = percent_decode_str(path.trim_start_matches('/')).decode_utf8().ok()?;
        let parts: Vec<&str> = path.split('/').collect();
        // `resolve` gives the file, `blob` a page about it, `raw` what Git has, which is a pointer for large files.
        let at = parts.iter().position(|part| matches!(*part, "resolve" | "blob" | "raw"))?;
        let (repository, rest) = (parts.get(..at)?, parts.get(at + 1..)?);
        let (revision, file) = match rest {
            ["refs", "pr", number, file @ ..] => (format!("refs/pr/{number}"), file),
            [revision, file @ ..] => ((*revision).to_owned(), file),
            [] => return None,
        };
        Self { repository: repository.join("/"), revision, path: file.join("/") }.checked()
    }

    fn from_short(text: &str) -> Option<Self> {
        let length = if text.starts_with("datasets/") || text.starts_with("spaces/") { 3 } else { 2 };
        let mut parts = text.splitn(length + 1, '/');
        let repository: Vec<&str> = parts.by_ref().take(length).collect();
        let repository = repository.join("/");
        let (repository, revision) = repository.split_once('@').unwrap_or((&repository, "main"));
        let (repository, revision) = (repository.to_owned(), revision.to_owned());
        Self { repository, revision, path: parts.next()?.to_owned() }.checked()
    }

    pub(crate) fn checked(self) -> Option<Self> {
        let plain = |text: &str| {
            !text.is_empty()
                && !text.chars().any(char::is_control)
                && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
        };
        let fine = plain(&self.repository) && plain(&self.revision) && plain(&self.path);
        fine.then_some(self)
    }
}

impl FromStr for Source {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        // What is wrong is quoted without its secrets, as far as it can be told where they begin.
        let quoted =
            || text.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect::<String>();
        let form = || BadSource::Form(if text.contains('@') { "…".to_owned() } else { quoted() });
        if let Some(file) = text.strip_prefix("hf://") {
            return HubFile::from_short(file).map(Self::HuggingFace).ok_or_else(|| BadSource::Hub(quoted()));
        }
        if text.starts_with("civitai:") || text.starts_with("urn:air:") {
            return civit_short(text).map(Self::CivitAi).ok_or_else(|| BadSource::Civit(quoted()));
        }
        let (server, address) = match text.strip_prefix("comfyport+") {
            Some(address) => (true, address),
            None => (false, text),
        };
        let url = Url::parse(address).map_err(|_| form())?;
        match (url.scheme(), url.host_str()) {
            ("http" | "https", Some(_)) if server => Ok(Self::Server(Address(url))),
            _ if server => Err(form()),
            ("s3" | "gs" | "az", Some(_)) if url.query().is_none() && url.username().is_empty() => {
                Ok(Self::Bucket(text.to_owned()))
            }
            ("http" | "https", Some("huggingface.co" | "www.huggingface.co" | "hf.co")) => {
                HubFile::from_path(url.path()).map(Self::HuggingFace).ok_or_else(|| BadSource::Hub(quoted()))
            }
            ("http" | "https", Some("civitai.com" | "www.civitai.com" | "civitai.red")) => {
                civit_address(&url).map(Self::CivitAi).ok_or_else(|| BadSource::Civit(quoted()))
            }
            ("http" | "https", Some(_)) => Ok(Self::Web(Address(url))),
            _ => Err(form()),
        }
    }
}

fn civit_short(text: &str) -> Option<CivitFile> {
    let version = |id: &str| Some(CivitFile::Version { id: id.parse().ok()?, pick: Vec::new() });
    if let Some(digest) = text.strip_prefix("civitai:sha256:") {
        return Some(CivitFile::Hash(digest.parse().ok()?));
    }
    if let Some(id) = text.strip_prefix("civitai:") {
        return version(id);
    }
    let (_, place) = text.split_once(":civitai:")?;
    version(place.split_once('@')?.1)
}

fn civit_address(url: &Url) -> Option<CivitFile> {
    let parts: Vec<&str> = url.path_segments()?.collect();
    let asked =
        |key: &str| url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
    match parts.as_slice() {
        ["api", "download", "models", id] => {
            // A `token` among them is not kept: there is a setting for it.
            let pick = ["type", "format", "size", "fp"];
            let pick = pick.into_iter().filter_map(|key| Some((key.to_owned(), asked(key)?)));
            Some(CivitFile::Version { id: id.parse().ok()?, pick: pick.collect() })
        }
        ["models", ..] => {
            Some(CivitFile::Version { id: asked("modelVersionId")?.parse().ok()?, pick: Vec::new() })
        }
        ["api", "v1", "model-versions", "by-hash", digest] => Some(CivitFile::Hash(digest.parse().ok()?)),
        ["api", "v1", "model-versions", id] => {
            Some(CivitFile::Version { id: id.parse().ok()?, pick: Vec::new() })
        }
        _ => None,
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HuggingFace(HubFile { repository, revision, path }) => {
                write!(formatter, "hf://{repository}@{revision}/{path}")
            }
            Self::CivitAi(CivitFile::Version { id, .. }) => write!(formatter, "civitai:{id}"),
            Self::CivitAi(CivitFile::Hash(digest)) => write!(formatter, "civitai:sha256:{digest}"),
            Self::Web(address) => write!(formatter, "{address}"),
            Self::Bucket(address) => formatter.write_str(address),
            Self::Server(address) => write!(formatter, "comfyport+{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_shown_without_secrets() {
        for (written, shown) in [
            (
                "https://huggingface.co/o/n/resolve/main/a/b.safetensors?download=true",
                "hf://o/n@main/a/b.safetensors",
            ),
            ("https://huggingface.co/o/n/blob/main/b.safetensors", "hf://o/n@main/b.safetensors"),
            ("https://huggingface.co/o/n/resolve/refs%2Fpr%2F3/b.bin", "hf://o/n@refs/pr/3/b.bin"),
            ("https://huggingface.co/datasets/o/n/resolve/v1/b.bin", "hf://datasets/o/n@v1/b.bin"),
            ("https://huggingface.co/gpt2/resolve/main/b.bin", "hf://gpt2@main/b.bin"),
            ("hf://o/n/b.safetensors", "hf://o/n@main/b.safetensors"),
            ("hf://o/n@abc/a/b.safetensors", "hf://o/n@abc/a/b.safetensors"),
            ("hf://datasets/o/n@abc/b", "hf://datasets/o/n@abc/b"),
            ("https://civitai.com/api/download/models/7?type=Model&fp=fp16&token=sesame", "civitai:7"),
            ("https://civitai.com/models/1/some-name?modelVersionId=7", "civitai:7"),
            ("urn:air:sdxl:checkpoint:civitai:827184@2514310", "civitai:2514310"),
            ("civitai:9", "civitai:9"),
            ("https://u:sesame@a.example/x?sig=sesame#sesame", "https://a.example/x"),
            ("s3://box/a/b", "s3://box/a/b"),
            ("comfyport+https://gpu.example/", "comfyport+https://gpu.example/"),
        ] {
            let source: Source = written.parse().unwrap();
            assert_eq!(source.to_string(), shown);
            assert!(!format!("{source:?}").contains("sesame"), "{source:?}");
        }
        let picked: Source = "https://civitai.com/api/download/models/7?type=Model&fp=fp16".parse().unwrap();
        let Source::CivitAi(CivitFile::Version { pick, .. }) = picked else { panic!("{picked:?}") };
        assert_eq!(pick.len(), 2);
    }

    #[test]
    fn what_is_no_source_is_told_without_secrets() {
        for wrong in [
            "",
            "models/x.safetensors",
            "ftp://a/x",
            "file:///etc/passwd",
            "s3://box/a?sesame",
            "s3://u:sesame@box/a",
            "comfyport+s3://a",
            "comfyport+",
            "https://huggingface.co/o/n",
            "https://huggingface.co/o/n/resolve/main",
            "https://huggingface.co/o/n/resolve/main/..%2Fx",
            "hf://o/n",
            "hf://o/n/../x",
            "https://civitai.com/models/1?token=sesame",
            "https://civitai.com/api/download/models/x",
            "civitai:x",
            "urn:air:sdxl:checkpoint:other:1@2",
        ] {
            let said = wrong.parse::<Source>().unwrap_err().to_string();
            assert!(!said.contains("sesame"), "{said}");
        }
    }
}
