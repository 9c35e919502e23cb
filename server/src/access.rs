//! Who may call, and for what.
//!
//! A key is sent as `Authorization: Bearer …` or `X-API-Key: …`. Which keys there are is in the job store, which other
//! processes write too, and is looked up often; a key that was taken back stops being one within [`FRESH`]. Beside keys
//! there are tokens of issuers whom the configuration names ([`token`]). For as long as no key was ever made and no issuer
//! is named, whoever reaches the server may do everything: it then listens on loopback, or the operator said that he means
//! it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use comfyport_store::{Store, StoreError};
use ipnet::IpNet;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub mod address;
mod audit;
mod caller;
pub mod key;
mod limits;
mod link;
pub mod token;
mod usage;

pub use audit::Audit;
pub use caller::Caller;
pub use key::{Grant, Scope};
pub use usage::UsageCounter;

use crate::{
    app::AppState,
    problem::{Code, Problem},
};
use limits::{Left, Rate, Strangers};
use link::Signer;
use token::{Issuers, Proven, TokenFault};

/// How long a key that was made or taken back may go unnoticed.
pub const FRESH: Duration = Duration::from_secs(1);

/// How often what was used is written down.
const FLUSH: Duration = Duration::from_secs(5);

/// How keys are checked.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Beginnings of paths that need no key.
    pub public: Vec<String>,
    /// Wrong keys from one address in a minute before they are no longer looked at.
    pub wrong_keys_per_minute: u32,
    /// Proxies that are believed when they say whom they heard.
    pub trusted: Vec<IpNet>,
}

/// Everything about who may call.
#[derive(Debug)]
pub struct Access {
    settings: Settings,
    known: RwLock<Arc<Known>>,
    strangers: Strangers,
    signer: Signer,
    issuers: Issuers,
    audit: Option<Audit>,
    /// What callers used.
    pub usage: Arc<UsageCounter>,
}

/// The keys, as last read.
#[derive(Debug, Default)]
struct Known {
    keys: HashMap<String, Key>,
    version: (i64, i64),
}

#[derive(Debug)]
struct Key {
    digest: String,
    owner: String,
    grant: Arc<Grant>,
    expires_at: Option<i64>,
    revoked: bool,
    rate: Option<Arc<Rate>>,
}

impl Access {
    /// Reads the keys there are.
    pub async fn open(
        store: &Store,
        settings: Settings,
        issuers: Issuers,
        audit: Option<Audit>,
    ) -> Result<Self, StoreError> {
        let mut fresh = [0; 32];
        SystemRandom::new()
            .fill(&mut fresh)
            .map_err(|_| StoreError::Unavailable("this machine has no randomness".to_owned()))?;
        let secret = store.secret("links", crate::artifacts::hex(&fresh)).await?;
        let access = Self {
            strangers: Strangers::new(settings.wrong_keys_per_minute),
            settings,
            known: RwLock::default(),
            signer: Signer::new(&secret),
            issuers,
            audit,
            usage: Arc::default(),
        };
        access.look(store).await?;
        Ok(access)
    }

    /// Whether callers need a key or a token: from the first key that was ever made, or if tokens are accepted.
    pub fn is_enforced(&self) -> bool {
        !self.issuers.is_empty() || !self.known().keys.is_empty()
    }

    /// Those whose tokens are accepted.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn look(&self, store: &Store) -> Result<(), StoreError> {
        let version = store.keys_version().await?;
        let before = self.known();
        if before.version == version {
            return Ok(());
        }
        let mut keys = HashMap::new();
        for kept in store.keys().await? {
            // A grant that cannot be read allows nothing.
            let grant = serde_json::from_str(&kept.key.grant).unwrap_or_else(|error| {
                tracing::error!(key = kept.key.id, %error, "what the key allows cannot be read: it allows nothing");
                Grant { scopes: Vec::new(), ..Grant::all() }
            });
            let same = before.keys.get(&kept.key.id).and_then(|key| key.rate.clone());
            let rate = same
                .filter(|rate| rate.is(grant.per_minute))
                .or_else(|| grant.per_minute.and_then(Rate::per_minute).map(Arc::new));
            let key = Key {
                digest: kept.key.digest,
                owner: kept.key.owner,
                grant: Arc::new(grant),
                expires_at: kept.key.expires_at,
                revoked: kept.revoked_at.is_some(),
                rate,
            };
            keys.insert(kept.key.id, key);
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Known { keys, version });
        Ok(())
    }

    /// Looks for keys that were made or taken back, and writes down what was used, until told to stop.
    pub async fn keep_fresh(self: Arc<Self>, store: Store, stop: CancellationToken) {
        let mut tick = tokio::time::interval(FRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flushed = tokio::time::Instant::now();
        loop {
            let stopped = tokio::select! {
                _ = tick.tick() => false,
                () = stop.cancelled() => true,
            };
            if stopped || flushed.elapsed() >= FLUSH {
                flushed = tokio::time::Instant::now();
                if let Err(error) = self.usage.flush(&store).await {
                    tracing::warn!(%error, "what callers used cannot be written down at the moment");
                }
            }
            if stopped {
                return;
            }
            if let Err(error) = self.look(&store).await {
                tracing::warn!(%error, "keys cannot be looked up: those that were known stay");
            }
        }
    }

    /// A path with what opens it until a time, in seconds since 1970.
    pub fn link(&self, path: &str, until: i64) -> String {
        self.signer.sign(path, until)
    }

    /// Where the client of a request is.
    pub fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<address::Peer>()?;
        Some(address::client(peer.0.ip(), request.headers(), &self.settings.trusted))
    }

    /// Writes down what an admin did, or that somebody was refused.
    pub fn note(&self, caller: &str, address: Option<IpAddr>, request: &str, status: u16) {
        let kind = match status {
            401 | 403 | 429 => "refused",
            _ => "admin",
        };
        if let Some(audit) = &self.audit {
            audit.note(&audit::Entry {
                at: jiff::Timestamp::now().to_string(),
                kind,
                subject: caller.to_owned(),
                address: address.map(|address| address.to_string()),
                request: request.to_owned(),
                status,
                request_id: crate::layers::current_request_id(),
            });
        }
    }

    fn is_public(&self, route: &str) -> bool {
        let beneath = |public: &String| {
            public.len() > 1
                && route.strip_prefix(public.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
        };
        self.settings.public.iter().any(|public| route == public || beneath(public))
    }

    /// The token that a request carries, if tokens are accepted and it is one rather than a key.
    fn token(&self, request: &Request, now: i64) -> Option<String> {
        let sent = sent(request.headers()).filter(|_| !self.issuers.is_empty())?;
        // A link opens whatever else is sent with it.
        (token::is_token(sent) && self.opened(request, now).is_none()).then(|| sent.to_owned())
    }

    /// Who sent a token, and what is left of his rate.
    fn identify_by_token(
        &self,
        proven: Result<Proven, TokenFault>,
        address: Option<IpAddr>,
    ) -> Result<(Caller, Option<Left>), Refusal> {
        let proven = proven.map_err(|fault| {
            let tried = address.filter(|_| fault.is_forged());
            match tried.and_then(|address| self.strangers.tried(address)) {
                Some(wait) => Refusal::WrongKey { wait: Some(wait) },
                None => Refusal::Token(fault),
            }
        })?;
        let confined = !proven.grant.has(Scope::Admin);
        let subject = proven.owner.clone();
        let caller = Caller { owner: proven.owner, subject, grant: proven.grant, confined, address };
        within_rate(caller, proven.rate.as_deref())
    }

    /// Who sent a request, and what is left of his rate.
    fn identify(&self, request: &Request, now: i64) -> Result<(Caller, Option<Left>), Refusal> {
        let address = self.address(request);
        let known = self.known();
        let text = sent(request.headers());
        if !self.is_enforced() {
            // Nobody is checked; what is sent tells callers apart for fairness and for their idempotency keys.
            let owner = text.map(|text| key::digest(text)[..16].to_owned()).unwrap_or_default();
            let grant = Arc::new(Grant::all());
            return Ok((Caller { owner, subject: String::new(), grant, confined: false, address }, None));
        }
        if let Some(opens) = self.opened(request, now) {
            let grant = Arc::new(Grant { scopes: vec![Scope::Read], ..Grant::all() });
            let (owner, subject) = (String::new(), "link".to_owned());
            let caller = Caller { owner, subject, grant, confined: false, address };
            return if opens { Ok((caller, None)) } else { Err(Refusal::Link) };
        }
        let Some(text) = text else { return Err(Refusal::NoKey) };
        let id = key::id_of(text).unwrap_or_default();
        let found = known.keys.get(id);
        // Compared whether there is such a key or not, and to the end.
        let expected = found.map_or("", |key| key.digest.as_str());
        let same = bool::from(key::digest(text).as_bytes().ct_eq(expected.as_bytes()));
        let usable = |key: &&Key| same && !key.revoked && key.expires_at.is_none_or(|until| now < until);
        let Some(key) = found.filter(usable) else {
            let wait = address.and_then(|address| self.strangers.tried(address));
            return Err(Refusal::WrongKey { wait });
        };
        let caller = Caller {
            owner: key.owner.clone(),
            subject: id.to_owned(),
            grant: Arc::clone(&key.grant),
            confined: !key.grant.has(Scope::Admin),
            address,
        };
        within_rate(caller, key.rate.as_deref())
    }

    /// Whether a signed link opens what is asked for; nothing if there is none.
    fn opened(&self, request: &Request, now: i64) -> Option<bool> {
        let uri = request.uri();
        let reads = request.method() == Method::GET || request.method() == Method::HEAD;
        uri.query().filter(|_| reads).and_then(|query| self.signer.opens(uri.path(), query, now / 1000))
    }
}

/// Counts a request of somebody.
fn within_rate(caller: Caller, rate: Option<&Rate>) -> Result<(Caller, Option<Left>), Refusal> {
    match rate.map(Rate::take) {
        Some(left) if left.wait.is_some() => Err(Refusal::TooOften { subject: caller.subject, left }),
        left => Ok((caller, left)),
    }
}

/// The key or token that a request carries.
fn sent(headers: &HeaderMap) -> Option<&str> {
    let bearer = || {
        let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    };
    let own = headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    own.or_else(bearer).filter(|text| !text.is_empty())
}

/// Why somebody is not let in.
#[derive(Debug)]
enum Refusal {
    NoKey,
    WrongKey { wait: Option<Duration> },
    Token(TokenFault),
    Link,
    TooOften { subject: String, left: Left },
}

impl Refusal {
    /// How to be let in, as RFC 6750 has it.
    fn challenge(&self) -> String {
        let realm = "Bearer realm=\"comfyport\"";
        match self {
            Self::Token(fault) => {
                // A quoted string holds no quotes; names of claims do without.
                let why = fault.to_string().replace(['`', '"'], "");
                format!("{realm}, error=\"invalid_token\", error_description=\"{why}\"")
            }
            _ => realm.to_owned(),
        }
    }

    fn into_response(self) -> Response {
        let challenge = self.challenge();
        let (problem, wait, left) = match self {
            // One text for whatever is wrong with a key: what it is, is nobody's business who has none.
            Self::NoKey | Self::WrongKey { wait: None } => {
                let detail = "a valid API key is needed: `Authorization: Bearer …` or `X-API-Key: …`";
                (Problem::new(Code::Unauthorized, detail), None, None)
            }
            Self::Token(fault @ TokenFault::Away) => {
                (Problem::new(Code::IssuerUnavailable, fault.to_string()), None, None)
            }
            // Whoever sends a token gets to know what is wrong with it: it is not ours, and he may ask for another.
            Self::Token(fault) => (Problem::new(Code::Unauthorized, fault.to_string()), None, None),
            Self::Link => {
                let detail = "the link has expired, or is not for this address";
                (Problem::new(Code::Unauthorized, detail), None, None)
            }
            Self::WrongKey { wait } => {
                let detail = "too many wrong keys or tokens came from this address";
                (Problem::new(Code::RateLimited, detail), wait, None)
            }
            Self::TooOften { left, .. } => {
                let detail = format!("{} requests in a minute are allowed, and no more", left.per_minute);
                (Problem::new(Code::RateLimited, detail), left.wait, Some(left))
            }
        };
        let unauthorized = problem.code() == Code::Unauthorized;
        let mut response = problem.into_response();
        let headers = response.headers_mut();
        if let Some(challenge) = HeaderValue::from_str(&challenge).ok().filter(|_| unauthorized) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = wait {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        if let Some(left) = left {
            say(headers, left);
        }
        response
    }
}

/// The rate of a key, as draft-ietf-httpapi-ratelimit-headers has it.
fn say(headers: &mut HeaderMap, left: Left) {
    let policy = format!("\"key\";q={};w=60", left.per_minute);
    let wait = left.wait.map(|wait| format!(";t={}", wait.as_secs() + 1)).unwrap_or_default();
    let now = format!("\"key\";r={}{wait}", left.remaining);
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", now)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// What stands before a route: who asks, whether he may, and how often.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The application.
    pub app: AppState,
    /// What the route needs; nothing where whoever is behind it decides, once it is known who asks.
    pub scope: Option<Scope>,
}

/// Lets those pass who may.
pub async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let access = &guard.app.access;
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let what = format!("{} {}", request.method(), request.uri().path());
    let address = access.address(&request);
    let now = guard.app.jobs.store.now();
    let identified = match access.token(&request, now) {
        Some(token) => access.identify_by_token(access.issuers.verify(&token).await, address),
        None => access.identify(&request, now),
    };
    let (caller, left) = match identified {
        Ok(known) => known,
        Err(Refusal::NoKey) if access.is_public(&route) => (Caller::stranger(address), None),
        Err(refusal) => {
            let subject = match &refusal {
                Refusal::TooOften { subject, .. } => subject.clone(),
                _ => String::new(),
            };
            access.usage.refused(&subject);
            let response = refusal.into_response();
            // Who cannot be told to be let in was not refused.
            if response.status() != StatusCode::SERVICE_UNAVAILABLE {
                access.note(&subject, address, &what, response.status().as_u16());
            }
            return response;
        }
    };
    let subject = caller.subject.clone();
    let mut response = match guard.scope.map_or(Ok(()), |scope| caller.must_have(scope)) {
        Ok(()) => {
            access.usage.asked(&subject);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let status = response.status().as_u16();
    let changes =
        guard.scope == Some(Scope::Admin) && !what.starts_with("GET ") && !what.starts_with("HEAD ");
    if changes || status == 403 {
        access.note(&subject, address, &what, status);
    }
    if let Some(left) = left {
        say(response.headers_mut(), left);
    }
    tracing::trace!(target: "comfyport::access", subject, what, status, "let in");
    response
}
