//! API keys: how they look, and what they allow.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::endpoints::is_among;

/// What keys begin with, so that they are recognised where they should not be.
const PREFIX: &str = "cfp_";

/// Bytes of the public part and of the secret one.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// The longest text that is looked at.
const LONGEST: usize = 256;

/// What a caller may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at workflows and at one's own jobs and their outputs
    Read,
    /// Run workflows; cancel and repeat one's own jobs
    Run,
    /// Fetch model files from this server, where it gives them out
    Models,
    /// Everything, of everybody: engines, webhooks, metrics, usage
    Admin,
}

impl Scope {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Models => "models",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Read, Self::Run, Self::Models, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(())
    }
}

/// What somebody may do, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What.
    pub scopes: Vec<Scope>,
    /// These workflows alone; `image/*` is everything below `image/`. All if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<String>,
    /// Requests in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// Jobs that wait or run at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_jobs: Option<u32>,
}

impl Grant {
    /// Everything.
    pub fn all() -> Self {
        Self { scopes: vec![Scope::Admin], workflows: Vec::new(), per_minute: None, active_jobs: None }
    }

    /// Whether it includes a scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }

    /// Whether it includes a workflow.
    pub fn covers(&self, path: &str) -> bool {
        self.workflows.is_empty() || self.workflows.iter().any(|pattern| is_among(path, pattern))
    }

    /// Whether it is bound to some workflows.
    pub fn is_bound(&self) -> bool {
        !self.workflows.is_empty()
    }
}

/// A fresh key. It is shown once; what is kept is its digest.
pub struct Fresh {
    /// Its public part.
    pub id: String,
    /// All of it.
    pub text: String,
    /// Of all of it.
    pub digest: String,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fresh").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Fresh {
    /// Makes one of the machine's randomness.
    pub fn make() -> Result<Self, Unspecified> {
        let mut bytes = [0; ID_BYTES + SECRET_BYTES];
        SystemRandom::new().fill(&mut bytes)?;
        let (id, secret) = bytes.split_at(ID_BYTES);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        Ok(Self { digest: digest(&text), id, text })
    }
}

/// What is kept of a key. Keys are random and long, so that nothing slower is needed.
pub fn digest(text: &str) -> String {
    crate::artifacts::hex(&Sha256::digest(text))
}

/// The public part of what looks like a key.
pub fn id_of(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(PREFIX).filter(|_| text.len() <= LONGEST)?;
    rest.split_once('_').map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_recognised_and_no_two_are_alike() {
        let (one, other) = (Fresh::make().unwrap(), Fresh::make().unwrap());
        assert_ne!(one.text, other.text);
        assert_eq!(id_of(&one.text), Some(one.id.as_str()));
        assert_eq!(one.digest, digest(&one.text));
        assert!(!format!("{one:?}").contains(&one.text));
        for text in ["", "cfp_", "cfp_abc", "sk-abc_def", &format!("cfp_a_{}", "x".repeat(300))] {
            assert_eq!(id_of(text), None, "{text}");
        }
    }

    #[test]
    fn grants_cover_what_they_name() {
        let of = |workflows: &[&str]| Grant {
            workflows: workflows.iter().map(|&one| one.to_owned()).collect(),
            ..Grant::all()
        };
        assert!(of(&[]).covers("image/resize"));
        assert!(of(&["image/*"]).covers("image/resize"));
        assert!(!of(&["image/*"]).covers("images"));
        assert!(!of(&["image/resize"]).covers("image/resize@2"));
        let reader = Grant { scopes: vec![Scope::Read], ..Grant::all() };
        assert!(reader.has(Scope::Read) && !reader.has(Scope::Run) && Grant::all().has(Scope::Run));
    }
}
