//! The keys of an issuer, as last published.
//!
//! They are asked for by a task of its own: at the start, now and then, and when a token names a key that is not there,
//! but never sooner than [`Source::rest`] after the last time, however many such tokens come. While the issuer is away the
//! keys that were known stay.

use std::{sync::Arc, time::Duration};

use comfyport_fetch::{Approved, Client, Fetcher, Limits};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer, in bytes.
const LARGEST: u64 = 512 << 10;

/// The most keys of an issuer that are kept.
const MOST_KEYS: usize = 256;

/// Where the keys of an issuer are, and how often they are asked for.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the issuer calls itself.
    pub issuer: String,
    /// Where its keys are; nothing if it is to be asked.
    pub jwks: Option<Url>,
    /// Whether http will do.
    pub http: bool,
    /// How old they may become.
    pub refresh: Duration,
    /// The least time between two times.
    pub rest: Duration,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// None that was published is the one.
    Unknown,
    /// It was never heard which there are.
    Away,
}

/// A key that signatures are checked with.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    id: Option<String>,
    /// The only algorithm it is for, if that is said.
    only: Option<KeyAlgorithm>,
    kind: Kind,
    pub(super) key: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// What is known of an issuer's keys.
#[derive(Debug)]
struct State {
    /// Nothing, if it was never heard.
    keys: Option<Arc<[Arc<PublicKey>]>>,
    /// Whether they are being asked for.
    asking: bool,
    /// How often they were asked for.
    rounds: u64,
    /// Before this they are not asked for again.
    rest_until: Instant,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    name: String,
    source: Source,
    fetcher: Fetcher,
    state: watch::Sender<State>,
    wanted: Notify,
}

/// What an issuer says of itself (OpenID Connect Discovery).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: Url,
}

/// Keys as they are published (RFC 7517). Those that cannot be read are somebody else's.
#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl Keys {
    pub(super) fn new(name: String, source: Source, client: Client) -> Self {
        let limits = Limits { redirects: 0, total: PATIENCE, pace: 0, pace_over: PATIENCE };
        let state = State { keys: None, asking: false, rounds: 0, rest_until: Instant::now() };
        Self {
            name,
            source,
            fetcher: Fetcher::new(client, Vec::new(), limits),
            state: watch::Sender::new(state),
            wanted: Notify::new(),
        }
    }

    /// The key of this id for an algorithm; the only one for it, if no id is given. Waits for an answer of the issuer that
    /// is on its way, or that may be asked for.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<PublicKey>, NoKey> {
        let mut watching = self.state.subscribe();
        let seen = {
            let state = watching.borrow_and_update();
            let found = state.find(id, algorithm);
            let rests = !state.asking && Instant::now() < state.rest_until;
            if found.is_ok() || rests {
                return found;
            }
            state.rounds
        };
        self.wanted.notify_one();
        // Two answers: what it says of itself, and its keys.
        timeout(PATIENCE * 2, watching.wait_for(|state| state.rounds > seen)).await.ok();
        self.state.borrow().find(id, algorithm)
    }

    /// Asks for the keys whenever it is time, until told to stop.
    pub(super) async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let heard = self.ask().await;
            let (rest_until, pause) = {
                let state = self.state.borrow();
                // An issuer that is away is asked again as soon as it may be.
                (state.rest_until, if heard { self.source.refresh } else { self.source.rest })
            };
            let next = (Instant::now() + pause).max(rest_until);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next) => {}
                () = self.wanted_after(rest_until) => {}
            }
        }
    }

    /// Waits until a key is wanted that is not there, at a time when it may be asked for.
    async fn wanted_after(&self, rest_until: Instant) {
        loop {
            self.wanted.notified().await;
            if Instant::now() >= rest_until {
                return;
            }
        }
    }

    async fn ask(&self) -> bool {
        self.state.send_modify(|state| state.asking = true);
        let answer = self.published().await;
        let heard = answer.is_ok();
        match &answer {
            Ok(keys) => {
                tracing::debug!(issuer = self.name, keys = keys.len(), "the keys of an issuer were read");
            }
            Err(error) => {
                let known = self.state.borrow().keys.as_ref().map_or(0, |keys| keys.len());
                tracing::warn!(
                    issuer = self.name,
                    known,
                    %error,
                    "the keys of an issuer cannot be read: those that were known stay"
                );
            }
        }
        self.state.send_modify(|state| {
            state.asking = false;
            state.rounds += 1;
            state.rest_until = Instant::now() + self.source.rest;
            if let Ok(keys) = answer {
                state.keys = Some(keys.into());
            }
        });
        heard
    }

    async fn published(&self) -> Result<Vec<Arc<PublicKey>>, String> {
        let address = match &self.source.jwks {
            Some(address) => address.clone(),
            None => self.discover().await?,
        };
        let published: Published = self.read(address).await?;
        Ok(published.keys.into_iter().filter_map(read_key).take(MOST_KEYS).map(Arc::new).collect())
    }

    /// Asks the issuer where its keys are.
    async fn discover(&self) -> Result<Url, String> {
        let issuer = &self.source.issuer;
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let address = address.parse().map_err(|_| format!("{address} is not an address"))?;
        let said: Discovered = self.read(address).await?;
        if said.issuer != *issuer {
            return Err(format!("it calls itself {:?} there, not {issuer:?}", clip(&said.issuer)));
        }
        if !self.source.may_ask(&said.jwks_uri) {
            return Err("its keys are not at an https address".to_owned());
        }
        Ok(said.jwks_uri)
    }

    async fn read<T: DeserializeOwned>(&self, address: Url) -> Result<T, String> {
        let place = clip(address.as_str());
        let read = async {
            let approved = Approved::by_operator(address);
            let mut answer =
                self.fetcher.open(&approved, LARGEST, &[]).await.map_err(|error| error.to_string())?;
            let mut text = Vec::new();
            while let Some(piece) = answer.chunk().await.map_err(|error| error.to_string())? {
                text.extend_from_slice(&piece);
            }
            serde_json::from_slice(&text).map_err(|error| error.to_string())
        };
        read.await.map_err(|error| format!("{place}: {error}"))
    }
}

impl Source {
    /// Whether keys that come from there can be trusted to be those that were sent.
    pub fn may_ask(&self, address: &Url) -> bool {
        address.scheme() == "https" || (self.http && address.scheme() == "http")
    }
}

impl State {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<PublicKey>, NoKey> {
        let keys = self.keys.as_ref().ok_or(NoKey::Away)?;
        let mut fitting = keys.iter().filter(|key| key.fits(algorithm));
        let found = match id {
            Some(_) => fitting.find(|key| key.id.as_deref() == id),
            // Which of several is meant would be a guess.
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        found.cloned().ok_or(NoKey::Unknown)
    }
}

impl PublicKey {
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::ES256 => self.kind == Kind::P256,
            Algorithm::ES384 => self.kind == Kind::P384,
            Algorithm::EdDSA => self.kind == Kind::Ed25519,
            other => self.kind == Kind::Rsa && other.family() == AlgorithmFamily::Rsa,
        };
        kind && self.only.is_none_or(|only| only == KeyAlgorithm::from(algorithm))
    }
}

/// A key that was published for signatures; nothing if it is for something else.
fn read_key(published: Value) -> Option<PublicKey> {
    let published: Jwk = serde_json::from_value(published).ok()?;
    let common = &published.common;
    let signs = common.public_key_use.as_ref().is_none_or(|what| *what == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let kind = match &published.algorithm {
        AlgorithmParameters::RSA(_) => Kind::Rsa,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Kind::P256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Kind::P384,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Kind::Ed25519,
        // Secrets are none if they are published.
        _ => return None,
    };
    let key = DecodingKey::from_jwk(&published).ok().filter(|_| signs && verifies)?;
    Some(PublicKey { id: common.key_id.clone(), only: common.key_algorithm, kind, key })
}

/// Enough of a text that others wrote.
fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn state(keys: &[Value]) -> State {
        let keys = keys.iter().cloned().filter_map(read_key).map(Arc::new).collect();
        State { keys: Some(keys), asking: false, rounds: 1, rest_until: Instant::now() }
    }

    #[tokio::test]
    async fn keys_are_for_what_they_say_they_are_for() {
        let rsa = |more: Value| {
            let mut key = json!({"kty": "RSA", "n": N, "e": "AQAB"});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let known =
            state(&[rsa(json!({"kid": "a"})), rsa(json!({"kid": "b", "alg": "PS256", "use": "sig"}))]);
        assert!(known.find(Some("a"), Algorithm::RS256).is_ok());
        assert!(known.find(Some("a"), Algorithm::PS512).is_ok());
        assert!(known.find(Some("b"), Algorithm::PS256).is_ok());
        for (id, algorithm) in [
            (Some("b"), Algorithm::RS256),
            (Some("a"), Algorithm::ES256),
            (Some("a"), Algorithm::HS256),
            (Some("c"), Algorithm::RS256),
            (Some(""), Algorithm::RS256),
            // Two would do.
            (None, Algorithm::PS256),
        ] {
            assert_eq!(known.find(id, algorithm).unwrap_err(), NoKey::Unknown, "{id:?} {algorithm:?}");
        }
        assert!(known.find(None, Algorithm::RS256).is_ok());
        for useless in [
            rsa(json!({"use": "enc"})),
            rsa(json!({"key_ops": ["encrypt"]})),
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            json!({"kty": "RSA"}),
            json!("RSA"),
            Value::Null,
        ] {
            assert!(read_key(useless.clone()).is_none(), "{useless}");
        }
        assert_eq!(State { keys: None, ..known }.find(None, Algorithm::RS256).unwrap_err(), NoKey::Away);
    }
}
