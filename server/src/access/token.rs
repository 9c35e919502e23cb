//! Tokens of others (RFC 7519): who signed them, for whom, and what they say of whoever sends them.
//!
//! Issuers are those of the configuration. A token is looked at from the outside in: its size, its header, the issuer that
//! it names, a key that this issuer publishes, and only behind the signature what it says. Nothing in a token leads
//! anywhere: keys and addresses in its header are not used.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use comfyport_fetch::Client;
use jsonwebtoken::{Algorithm, Validation, decode, errors::ErrorKind};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

mod claims;
mod keys;
mod verifier;

pub use claims::Claims;
pub use keys::Source;

use super::{Grant, limits::Rate};
use keys::{Keys, NoKey};

/// The largest token that is looked at, in bytes. Heads of requests are larger.
const LARGEST: usize = 16 << 10;

/// Subjects whose rates are remembered before it is looked who rested.
const REMEMBERED: usize = 10_000;

/// A rate that was not used for so long is all there again.
const RESTED: Duration = Duration::from_mins(1);

/// Somebody whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What its callers are told apart by from those of others, and from keys.
    pub name: String,
    /// What it calls itself in tokens, to the letter.
    pub issuer: String,
    /// One of these must be whom a token is for.
    pub audiences: Vec<String>,
    /// How tokens may be signed: never with a secret that both sides have.
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Where its keys are.
    pub source: Source,
    /// What its tokens allow.
    pub claims: Claims,
}

/// All issuers.
#[derive(Debug, Default)]
pub struct Issuers {
    issuers: Vec<(Issuer, Arc<Keys>)>,
    rates: Mutex<Rates>,
}

/// The rates of those who were here lately.
#[derive(Debug, Default)]
struct Rates {
    of: HashMap<String, (Arc<Rate>, Instant)>,
    look_at: usize,
}

/// Whom a token proves somebody to be.
#[derive(Debug)]
pub(super) struct Proven {
    /// Whose things his are: the issuer's name and his name there.
    pub(super) owner: String,
    /// What he may do.
    pub(super) grant: Arc<Grant>,
    /// How often.
    pub(super) rate: Option<Arc<Rate>>,
}

/// Why a token opens nothing, in words that anybody may hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFault {
    #[error("the token is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("the token cannot be read: it is not a signed JSON Web Token")]
    Malformed,
    #[error("the token is signed in a way that is not accepted")]
    Algorithm,
    #[error("the token is of another type than an access token")]
    Type,
    #[error("the token has a critical header that is not understood")]
    Critical,
    #[error("the token's issuer is not one whose tokens are accepted")]
    Issuer,
    #[error("the token names no key that its issuer publishes")]
    Key,
    #[error("the token's signature does not hold")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Early,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token lacks one of `exp`, `iss` and `aud`, or it is not what it should be")]
    Claims,
    #[error("the token does not say whose it is")]
    Owner,
    #[error("the keys of the token's issuer cannot be had at the moment")]
    Away,
}

impl TokenFault {
    /// Whether somebody made it up, as far as can be told.
    pub(super) fn is_forged(self) -> bool {
        match self {
            Self::TooLarge
            | Self::Malformed
            | Self::Algorithm
            | Self::Type
            | Self::Critical
            | Self::Issuer
            | Self::Key
            | Self::Signature => true,
            Self::Expired | Self::Early | Self::Audience | Self::Claims | Self::Owner | Self::Away => false,
        }
    }
}

/// What is read of a header before anything is proven.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// What is read of the rest.
#[derive(Deserialize)]
struct Named {
    iss: String,
}

impl Issuers {
    /// Asks for keys with a client. Nothing is asked before [`Issuers::begin`].
    pub fn new(issuers: Vec<Issuer>, client: &Client) -> Self {
        verifier::install();
        let with_keys = |issuer: Issuer| {
            let keys = Keys::new(issuer.name.clone(), issuer.source.clone(), client.clone());
            (issuer, Arc::new(keys))
        };
        Self { issuers: issuers.into_iter().map(with_keys).collect(), rates: Mutex::default() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(|(issuer, _)| issuer.name.as_str())
    }

    /// Asks for the keys of all, and again whenever it is time, until told to stop.
    pub fn begin(&self, stop: &CancellationToken) {
        for (_, keys) in &self.issuers {
            tokio::spawn(Arc::clone(keys).keep_fresh(stop.clone()));
        }
    }

    /// Finds out who sends a token. Waits for keys that are just being asked for.
    pub(super) async fn verify(&self, token: &str) -> Result<Proven, TokenFault> {
        if token.len() > LARGEST {
            return Err(TokenFault::TooLarge);
        }
        let (header, named) = peek(token).ok_or(TokenFault::Malformed)?;
        let algorithm = header.alg.parse().map_err(|_| TokenFault::Algorithm)?;
        if header.crit.is_some() {
            return Err(TokenFault::Critical);
        }
        if !header.typ.as_deref().is_none_or(is_access_token) {
            return Err(TokenFault::Type);
        }
        let known = self.issuers.iter().find(|(issuer, _)| issuer.issuer == named.iss);
        let (issuer, keys) = known.ok_or(TokenFault::Issuer)?;
        if !issuer.algorithms.contains(&algorithm) {
            return Err(TokenFault::Algorithm);
        }
        let key = keys.find(header.kid.as_deref(), algorithm).await.map_err(|why| match why {
            NoKey::Unknown => TokenFault::Key,
            NoKey::Away => TokenFault::Away,
        })?;
        let claims = decode::<Map<String, Value>>(token, &key.key, &issuer.validation(algorithm));
        let claims = claims.map_err(|error| fault(error.kind()))?.claims;
        let owner = issuer.claims.owner(&claims).ok_or(TokenFault::Owner)?;
        let owner = format!("{}:{owner}", issuer.name);
        let grant = issuer.claims.grant(&claims);
        let rate = grant.per_minute.and_then(|per_minute| self.rate(&owner, per_minute));
        Ok(Proven { owner, grant: Arc::new(grant), rate })
    }

    /// The rate of somebody, which is his whichever of his tokens he sends.
    fn rate(&self, owner: &str, per_minute: u32) -> Option<Arc<Rate>> {
        let now = Instant::now();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.of.len() >= rates.look_at.max(REMEMBERED) {
            rates.of.retain(|_, (_, used)| now.duration_since(*used) < RESTED);
            // Looked through again once there are twice as many, so that a crowd costs no more each.
            rates.look_at = rates.of.len() * 2;
        }
        if let Some((rate, used)) = rates.of.get_mut(owner).filter(|(rate, _)| rate.is(Some(per_minute))) {
            *used = now;
            return Some(Arc::clone(rate));
        }
        let fresh = Arc::new(Rate::per_minute(per_minute)?);
        rates.of.insert(owner.to_owned(), (Arc::clone(&fresh), now));
        Some(fresh)
    }
}

impl Issuer {
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation.aud = Some(self.audiences.iter().cloned().collect());
        validation.iss = Some(HashSet::from([self.issuer.clone()]));
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }
}

/// Whether it looks like a token, and not like a key.
pub(super) fn is_token(text: &str) -> bool {
    text.split('.').count() == 3
}

fn peek(token: &str) -> Option<(Header, Named)> {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let (header, rest) = (parts.next()??, parts.next()??);
    Some((serde_json::from_slice(&header).ok()?, serde_json::from_slice(&rest).ok()?))
}

/// Tokens for other purposes, such as logging out, say so (RFC 8725, 3.11).
fn is_access_token(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt")
}

fn fault(kind: &ErrorKind) -> TokenFault {
    match kind {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::ExpiredSignature => TokenFault::Expired,
        ErrorKind::ImmatureSignature => TokenFault::Early,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::InvalidToken => {
            TokenFault::Claims
        }
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidKeyFormat => {
            TokenFault::Algorithm
        }
        _ => TokenFault::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_tokens() {
        for kind in ["JWT", "jwt", "at+jwt", "application/at+jwt", "Application/JWT"] {
            assert!(is_access_token(kind), "{kind}");
        }
        for kind in ["", "logout+jwt", "dpop+jwt", "secevent+jwt", "application/json"] {
            assert!(!is_access_token(kind), "{kind}");
        }
        assert!(is_token("a.b.c") && !is_token("cfp_a_b") && !is_token("a.b") && !is_token("a.b.c.d.e"));
    }

    #[tokio::test]
    async fn rates_of_those_who_rested_are_let_go_of() {
        let issuers = Issuers::default();
        let one = issuers.rate("corp:one", 3).unwrap();
        assert_eq!(one.take().remaining, 2);
        assert_eq!(issuers.rate("corp:one", 3).unwrap().take().remaining, 1);
        // Another rate begins anew.
        assert_eq!(issuers.rate("corp:one", 5).unwrap().take().remaining, 4);
        let long_ago = Instant::now().checked_sub(RESTED * 2).unwrap();
        {
            let mut rates = issuers.rates.lock().unwrap();
            for number in 0..REMEMBERED {
                rates.of.insert(format!("corp:{number}"), (Arc::clone(&one), long_ago));
            }
        }
        issuers.rate("corp:new", 3).unwrap();
        assert_eq!(issuers.rates.lock().unwrap().of.len(), 2);
    }
}
