//! Links that open one address for a while, for browsers, which cannot send a key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

/// What signs links. All servers of a store share it.
pub(super) struct Signer(hmac::Key);

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer(****)")
    }
}

impl Signer {
    /// Signs with this secret.
    pub(super) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// A path with what opens it until a time, in seconds since 1970.
    pub(super) fn sign(&self, path: &str, until: i64) -> String {
        let signature = hmac::sign(&self.0, signed(path, until).as_bytes());
        format!("{path}?expires={until}&signature={}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Whether a query opens a path at a time. `None` if it does not try to.
    pub(super) fn opens(&self, path: &str, query: &str, now: i64) -> Option<bool> {
        let member = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let signature = member("signature")?;
        let opens = || {
            let until: i64 = member("expires")?.parse().ok()?;
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            hmac::verify(&self.0, signed(path, until).as_bytes(), &signature).ok()?;
            Some(now < until)
        };
        Some(opens().unwrap_or(false))
    }
}

fn signed(path: &str, until: i64) -> String {
    format!("GET {path} {until}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_open_one_address_for_a_while() {
        let signer = Signer::new("secret");
        let link = signer.sign("/jobs/a/outputs/image/0", 100);
        let (path, query) = link.split_once('?').unwrap();
        assert_eq!(signer.opens(path, query, 99), Some(true));
        assert_eq!(signer.opens(path, query, 100), Some(false));
        assert_eq!(signer.opens("/jobs/a/outputs/image/1", query, 99), Some(false));
        assert_eq!(signer.opens(path, &query.replace("100", "999"), 99), Some(false));
        assert_eq!(signer.opens(path, "signature=", 99), Some(false));
        assert_eq!(signer.opens(path, "format=webp", 99), None);
        assert_eq!(Signer::new("other").opens(path, query, 99), Some(false));
    }
}
