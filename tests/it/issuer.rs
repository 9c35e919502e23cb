//! An issuer of tokens on a port of its own. It signs with other libraries than those that the server checks with.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use rsa::{
    rand_core::OsRng,
    sha2::Sha256,
    signature::{RandomizedSigner as _, SignatureEncoding as _},
    traits::PublicKeyParts as _,
};
use serde_json::{Value, json};

/// A key to sign with.
pub(crate) enum Key {
    /// Signs in the way of RS256, or of PS256 if it is asked to.
    Rsa(rsa::RsaPrivateKey),
    P256(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl Key {
    pub(crate) fn rsa(bits: usize) -> Self {
        Self::Rsa(rsa::RsaPrivateKey::new(&mut OsRng, bits).unwrap())
    }

    pub(crate) fn p256() -> Self {
        Self::P256(p256::ecdsa::SigningKey::random(&mut OsRng))
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(ed25519_dalek::SigningKey::generate(&mut OsRng))
    }

    /// Its public part, as issuers publish it.
    pub(crate) fn published(&self, id: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
                json!({"kty": "RSA", "kid": id, "use": "sig", "n": encode(&n), "e": encode(&e)})
            }
            Self::P256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                let (x, y) = (encode(point.x().unwrap()), encode(point.y().unwrap()));
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y, "alg": "ES256"})
            }
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(key.verifying_key().as_bytes())})
            }
        }
    }

    fn sign(&self, message: &[u8], algorithm: &str) -> Vec<u8> {
        match self {
            Self::Rsa(key) if algorithm == "PS256" => {
                let key = rsa::pss::BlindedSigningKey::<Sha256>::new(key.clone());
                key.sign_with_rng(&mut OsRng, message).to_vec()
            }
            Self::Rsa(key) => rsa::pkcs1v15::SigningKey::<Sha256>::new(key.clone()).sign(message).to_vec(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        }
    }

    /// A token with this header and these claims.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = self.sign(message.as_bytes(), header["alg"].as_str().unwrap_or_default());
        format!("{message}.{}", encode(&signature))
    }
}

/// What of a token is signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[derive(Debug, Default)]
struct Published {
    keys: Mutex<Vec<Value>>,
    away: Mutex<bool>,
    /// What it calls itself, if that is not its address.
    name: Mutex<Option<String>>,
    asked: AtomicUsize,
}

/// The issuer.
pub(crate) struct Issuer {
    url: String,
    published: Arc<Published>,
}

impl Issuer {
    pub(crate) async fn start(keys: Vec<Value>) -> Self {
        let published = Arc::new(Published { keys: Mutex::new(keys), ..Published::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (own, of) = (url.clone(), Arc::clone(&published));
        let discovery = async move || {
            let issuer = of.name.lock().unwrap().clone().unwrap_or(own.clone());
            json!({"issuer": issuer, "jwks_uri": format!("{own}/keys")}).to_string()
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys_of))
            .with_state(Arc::clone(&published));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, published }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn publish(&self, keys: Vec<Value>) {
        *self.published.keys.lock().unwrap() = keys;
    }

    pub(crate) fn call_itself(&self, name: Option<&str>) {
        *self.published.name.lock().unwrap() = name.map(str::to_owned);
    }

    pub(crate) fn leave(&self, away: bool) {
        *self.published.away.lock().unwrap() = away;
    }

    /// How often somebody asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }
}

async fn keys_of(State(published): State<Arc<Published>>) -> Response {
    published.asked.fetch_add(1, Ordering::SeqCst);
    if *published.away.lock().unwrap() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    json!({"keys": *published.keys.lock().unwrap()}).to_string().into_response()
}
