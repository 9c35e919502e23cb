//! Who asks, as far as that can be told.
//!
//! Keys are not checked yet. They tell callers apart for fairness and for their idempotency keys; without one, all
//! callers are one.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};

use crate::{
    artifacts::hex,
    jobs::{Asked, Idempotent},
    problem::{Code, Problem},
    run::Body,
};

/// The longest key.
const LONGEST: usize = 255;

/// Whose request it is: a digest of the key, never the key itself.
pub(super) fn owner(headers: &HeaderMap) -> String {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok()).or(bearer).unwrap_or_default();
    if key.is_empty() { String::new() } else { hex(&Sha256::digest(key))[..16].to_owned() }
}

/// Who asks for what. `what` is the method and the path.
#[expect(clippy::result_large_err, reason = "once a request, on its way out")]
pub(super) fn asked(headers: &HeaderMap, what: &str, body: &Body) -> Result<Asked, Problem> {
    let owner = owner(headers);
    let Some(key) = headers.get("idempotency-key") else { return Ok(Asked::by(owner)) };
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
    Ok(Asked { idempotent: Some(idempotent), ..Asked::by(owner) })
}
