//! The secrets by which receivers know that a webhook is ours.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    error::Unspecified,
    hmac,
    rand::{SecureRandom, SystemRandom},
};

/// What secrets begin with.
const PREFIX: &str = "whsec_";

/// The least and the most bytes of a secret.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Bytes of a fresh secret.
const FRESH: usize = 32;

/// A secret that is none. Which one, counted from 1; what it says is kept to ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "number {0} is not `whsec_` followed by the base64 of 24 to 64 bytes; `comfyport webhooks secret` prints a fresh one"
)]
pub struct BadSecret(pub usize);

/// Secrets that sign, each for itself: receivers that know one of them are content.
#[derive(Clone)]
pub struct Keys(Vec<hmac::Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} keys", self.0.len())
    }
}

impl Keys {
    /// Reads secrets such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`.
    pub fn read<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Result<Self, BadSecret> {
        let key = |(number, secret): (usize, &str)| {
            let bytes = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
            let bytes = bytes.filter(|bytes| BYTES.contains(&bytes.len())).ok_or(BadSecret(number))?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        (1..).zip(secrets).map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `webhook-signature`: one signature for each secret. `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        let signature =
            |key: &hmac::Key| format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes())));
        self.0.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

/// A secret that nobody knows yet.
pub fn fresh() -> Result<String, Unspecified> {
    let mut bytes = [0; FRESH];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_or_counted_but_never_repeated() {
        let good = fresh().unwrap();
        assert_ne!(good, fresh().unwrap());
        assert!(Keys::read([good.as_str()]).is_ok());
        let of = |bytes: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7; bytes]));
        for (bytes, expected) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(Keys::read([of(bytes).as_str()]).is_ok(), expected, "{bytes}");
        }
        for bad in ["", "whsec_", "whsec_sesame", "sesame", &good[1..]] {
            let error = Keys::read([good.as_str(), bad]).unwrap_err();
            assert_eq!(error, BadSecret(2));
            assert!(!error.to_string().contains("sesame"));
        }
    }
}
