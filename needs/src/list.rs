//! `models.toml`: what a project knows of models, beside its workflows.

use serde::Deserialize;

use crate::needs::UNKNOWN;

/// The project's own list of models.
///
/// ```
/// # let list = comfyport_needs::ModelList::parse(r#"
/// [[model]]
/// file = "dreamshaper_8.safetensors"
/// folder = "checkpoints"                    # optional: any folder
/// urls = ["https://civitai.com/api/download/models/128713"]
/// sha256 = "879db523c30d3b9017143d56705015e15a2cb5628762c11d086fed9538abd7fd"
/// size = 2132625894                         # bytes
/// licence_accepted = true
/// # "#).unwrap();
/// # assert!(list.find("checkpoints", "dreamshaper_8.safetensors").is_some());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelList {
    #[serde(default, rename = "model")]
    models: Vec<ListedModel>,
}

/// What a project knows of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedModel {
    /// The file, with the folders that workflows name it with, or without.
    pub file: String,
    /// The models folder; any if it is left out.
    pub folder: Option<String>,
    /// Where it can be had, tried in order.
    #[serde(default)]
    pub urls: Vec<String>,
    /// What its content hashes to, in 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Whether the project's use is covered by its licence.
    #[serde(default)]
    pub licence_accepted: bool,
}

/// A list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// It is no TOML of this form.
    #[error("{0}")]
    Form(String),
    /// A hash is none.
    #[error("`sha256` of `{0}` is not 64 hexadecimal digits")]
    Hash(String),
    /// A file is named twice for one folder.
    #[error("`{0}` is listed twice; give each its `folder`, or one of them all `urls`")]
    Twice(String),
    /// An address cannot be fetched from.
    #[error("`{url}` of `{file}` is none of https://, http://, s3://, gs:// and az://")]
    Address {
        /// The file.
        file: String,
        /// The address.
        url: String,
    },
}

/// What models are fetched from.
const SCHEMES: [&str; 5] = ["https://", "http://", "s3://", "gs://", "az://"];

impl ModelList {
    /// Reads a list.
    pub fn parse(text: &str) -> Result<Self, BadList> {
        let mut list: Self = toml::from_str(text).map_err(|error| BadList::Form(error.to_string()))?;
        for (index, model) in list.models.iter().enumerate() {
            if !model.sha256.as_deref().is_none_or(is_sha256) {
                return Err(BadList::Hash(model.file.clone()));
            }
            if let Some(url) =
                model.urls.iter().find(|url| !SCHEMES.iter().any(|scheme| url.starts_with(scheme)))
            {
                return Err(BadList::Address { file: model.file.clone(), url: url.clone() });
            }
            let is_same = |other: &ListedModel| other.file == model.file && other.folder == model.folder;
            if list.models.iter().skip(index + 1).any(is_same) {
                return Err(BadList::Twice(model.file.clone()));
            }
        }
        for model in &mut list.models {
            model.file = model.file.replace('\\', "/");
            model.sha256 = model.sha256.take().map(|hash| hash.to_ascii_lowercase());
        }
        Ok(list)
    }

    /// What is said of a file: of the whole path rather than of its name, of its folder rather than of any.
    pub fn find(&self, folder: &str, file: &str) -> Option<&ListedModel> {
        let name = file.rsplit('/').next().unwrap_or(file);
        let fits = |model: &&ListedModel| {
            let in_folder = folder == UNKNOWN || model.folder.as_deref().is_none_or(|one| one == folder);
            in_folder && (model.file == file || model.file == name)
        };
        let nearness = |model: &&ListedModel| (model.file == file, model.folder.is_some());
        self.models.iter().filter(fits).max_by_key(nearness)
    }
}

pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearest_is_found() {
        let list = ModelList::parse(
            r#"
            [[model]]
            file = "model.safetensors"
            urls = ["https://a.example/any"]
            [[model]]
            file = "model.safetensors"
            folder = "vae"
            urls = ["https://a.example/vae"]
            [[model]]
            file = "xl/model.safetensors"
            urls = ["https://a.example/xl"]
            "#,
        )
        .unwrap();
        for (folder, file, expected) in [
            ("loras", "model.safetensors", "any"),
            ("vae", "model.safetensors", "vae"),
            ("vae", "sub/model.safetensors", "vae"),
            ("loras", "xl/model.safetensors", "xl"),
        ] {
            let found = list.find(folder, file).unwrap();
            assert!(found.urls[0].ends_with(expected), "{folder}/{file}: {found:?}");
        }
        assert!(list.find("vae", "other.safetensors").is_none());
    }

    #[test]
    fn faults_are_named() {
        let one = |rest: &str| ModelList::parse(&format!("[[model]]\nfile = \"a\"\n{rest}")).unwrap_err();
        assert_eq!(one("sha256 = \"abc\""), BadList::Hash("a".to_owned()));
        assert_eq!(one("[[model]]\nfile = \"a\""), BadList::Twice("a".to_owned()));
        assert!(matches!(one("urls = [\"file:///etc/passwd\"]"), BadList::Address { .. }));
        assert!(one("url = \"https://a\"").to_string().contains("url"), "{}", one("url = 1"));
    }
}
