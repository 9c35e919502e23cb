//! What is sent along to addresses that want to know who asks.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

/// Headers for addresses of one host, at one place or below it.
#[derive(Debug, Clone)]
pub struct Credentials {
    place: Url,
    /// Whether everything below is meant, and not the place alone.
    below: bool,
    headers: HeaderMap,
}

/// Credentials that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// Whom they are for is not said.
    #[error(
        "`{0}` is not an address such as https://example.com/models/*, without user, password, `?` and `#`"
    )]
    Place(String),
    /// A header cannot be set, or is ours to set.
    #[error("the header `{0}` cannot be set")]
    Header(String),
}

/// Headers that say what is asked for, and how: not for others to set.
const OURS: [HeaderName; 9] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Credentials {
    /// For `https://example.com/models/*`, or for one address alone.
    pub fn new<'h>(
        place: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<Self, BadCredentials> {
        let below = place.ends_with("/*");
        let url = Url::parse(place.strip_suffix('*').unwrap_or(place)).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
                && place.contains('*') == below
        });
        let mut kept = HeaderMap::new();
        for (name, value) in headers {
            let bad = || BadCredentials::Header(name.to_owned());
            let key: HeaderName = name.parse().map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            if OURS.contains(&key) {
                return Err(bad());
            }
            kept.insert(key, value);
        }
        let place = url.ok_or_else(|| BadCredentials::Place(place.to_owned()))?;
        Ok(Self { place, below, headers: kept })
    }

    /// The headers, if they are for this address.
    pub(crate) fn headers_for(&self, url: &Url) -> Option<&HeaderMap> {
        let path = url.path().strip_prefix(self.place.path());
        let meant =
            url.origin() == self.place.origin() && path.is_some_and(|rest| self.below || rest.is_empty());
        meant.then_some(&self.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_for_their_place_alone() {
        let headers = [("authorization", "Bearer sesame")];
        let below = Credentials::new("https://a.example/models/*", headers).unwrap();
        let alone = Credentials::new("https://a.example/one", headers).unwrap();
        assert!(!format!("{below:?}").contains("sesame"));
        let meant =
            |credentials: &Credentials, url: &str| credentials.headers_for(&url.parse().unwrap()).is_some();
        for url in ["https://a.example/models/x", "https://a.example:443/models/x/y?z"] {
            assert!(meant(&below, url), "{url}");
        }
        for url in [
            "http://a.example/models/x",
            "https://a.example:444/models/x",
            "https://a.example/modelsx",
            "https://a.example/models/../x",
            "https://a.example/models/%2e%2e/x",
            "https://b.a.example/models/x",
            "https://a.example.evil.example/models/x",
        ] {
            assert!(!meant(&below, url), "{url}");
        }
        assert!(meant(&alone, "https://a.example/one?x") && !meant(&alone, "https://a.example/one/x"));
        for bad in
            ["a.example/*", "ftp://a/*", "https://u:p@a/*", "https://*.a/x", "https://a/x*", "https://a/*/x"]
        {
            assert!(matches!(Credentials::new(bad, headers), Err(BadCredentials::Place(_))), "{bad}");
        }
        for header in ["host", "Range", "accept-encoding", "a b"] {
            let made = Credentials::new("https://a/*", [(header, "x")]);
            assert_eq!(made.unwrap_err(), BadCredentials::Header(header.to_owned()));
        }
    }
}
