//! Who asks: what handlers know of him.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use super::key::{Grant, Scope};
use crate::problem::{Code, Problem};

/// Whoever sent the request that is being answered.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose jobs his jobs are; empty where callers are not told apart.
    pub owner: String,
    /// The id of his key, whom his token names, or what else he is known by; empty where nobody needs to be known.
    pub subject: String,
    /// What he may do.
    pub grant: Arc<Grant>,
    /// Whether he sees the jobs of his owner alone.
    pub confined: bool,
    /// Where he is, as far as that can be believed.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// Somebody without a key, where keys are needed and the path is public.
    pub(super) fn stranger(address: Option<IpAddr>) -> Self {
        let grant = Arc::new(Grant { scopes: vec![Scope::Read], ..Grant::all() });
        Self { owner: String::new(), subject: "public".to_owned(), grant, confined: true, address }
    }

    /// Whether he is nobody, where others have to say who they are.
    pub fn is_stranger(&self) -> bool {
        self.confined && self.owner.is_empty()
    }

    /// Whether he may know of something of this owner.
    pub fn sees(&self, owner: &str) -> bool {
        !self.confined || self.owner == owner
    }

    /// The owner whose things he sees; nothing if he sees everybody's.
    pub fn confined_to(&self) -> Option<String> {
        self.confined.then(|| self.owner.clone())
    }

    /// Refuses a workflow that his key is not for.
    #[expect(clippy::result_large_err, reason = "once a request, on its way out")]
    pub fn may_run(&self, path: &str) -> Result<(), Problem> {
        if self.grant.covers(path) {
            return Ok(());
        }
        let detail = format!("you may not run `{path}`, but {}", self.grant.workflows.join(", "));
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Refuses what needs more than the key allows.
    #[expect(clippy::result_large_err, reason = "once a request, on its way out")]
    pub(crate) fn must_have(&self, scope: Scope) -> Result<(), Problem> {
        if self.grant.has(scope) {
            return Ok(());
        }
        let detail = format!("this needs a key or token with the scope `{}`", scope.as_str());
        Err(Problem::new(Code::Forbidden, detail))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every route that asks for it stands behind the guard.
        let missing = || Problem::new(Code::Internal, "it was not looked who asks");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}
