//! Text that is never shown.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Text that is never shown. Written as it is, or as `{ env = "NAME" }` or `{ file = "/path" }`, which is read along with
/// the configuration.
#[derive(Clone, Deserialize)]
#[serde(try_from = "SecretForm")]
pub struct Secret(String);

/// How a secret is written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a secret is text, { env = \"NAME\" } or { file = \"/path\" }")]
enum SecretForm {
    Text(String),
    Elsewhere(Elsewhere),
}

/// Where else a secret is.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Elsewhere {
    Env(String),
    File(PathBuf),
}

impl TryFrom<SecretForm> for Secret {
    type Error = String;

    fn try_from(form: SecretForm) -> Result<Self, String> {
        match form {
            SecretForm::Text(text) => Ok(Self(text)),
            SecretForm::Elsewhere(Elsewhere::Env(name)) => match std::env::var(&name) {
                Ok(text) => Ok(Self(text)),
                Err(_) => {
                    Err(format!("a secret is to be in the environment variable `{name}`, which is not set"))
                }
            },
            SecretForm::Elsewhere(Elsewhere::File(path)) => match std::fs::read_to_string(&path) {
                // Editors and `echo` end lines; no secret ends with one.
                Ok(text) => Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => Err(format!("a secret is to be in {}: {error}", path.display())),
            },
        }
    }
}

impl Secret {
    /// As it was said.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("****")
    }
}
