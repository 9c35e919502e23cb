//! What a caller asks for, and the name he gives it.

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::{
    access::Caller,
    artifacts::hex,
    jobs::{Asked, Idempotent},
    problem::{Code, Problem},
    run::Body,
};

/// The longest idempotency key.
const LONGEST: usize = 255;

/// Who asks, without a name for what he asks for.
pub(super) fn unnamed(caller: &Caller) -> Asked {
    Asked { most_active: caller.grant.active_jobs, ..Asked::by(caller.owner.clone()) }
}

/// Who asks for what. `what` is the method and the path.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
pub(crate) fn asked(caller: &Caller, headers: &HeaderMap, what: &str, body: &Body) -> Result<Asked, Problem> {
    let asked = unnamed(caller);
    let Some(key) = headers.get("idempotency-key") else { return Ok(asked) };
    let fits = |key: &&str| !key.is_empty() && key.len() <= LONGEST;
    // The draft standard has it in quotes; most callers do not.
    let key = key.to_str().ok().map(|key| key.trim().trim_matches('"')).filter(fits);
    let key = key.ok_or_else(|| {
        let detail = format!("`Idempotency-Key` must be 1 to {LONGEST} visible ASCII characters");
        Problem::new(Code::MalformedRequest, detail)
    })?;
    let mut hash = Sha256::new();
    hash.update(what.as_bytes());
    hash.update([0]);
    hash.update(body.fingerprint());
    let idempotent = Idempotent { key: key.to_owned(), fingerprint: hex(&hash.finalize()) };
    Ok(Asked { idempotent: Some(idempotent), ..asked })
}
