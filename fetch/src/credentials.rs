//! What is sent along to addresses that want to know who asks.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use crate::Approved;

/// No pattern is longer, in bytes.
const LONGEST: usize = 2048;

/// What is sent along to some addresses.
#[derive(Clone)]
pub struct Credentials {
    place: Place,
    headers: HeaderMap,
    query: Vec<(String, String)>,
}

/// Which addresses are meant.
#[derive(Debug, Clone)]
enum Place {
    /// One place, or everything below it.
    At { url: Url, below: bool },
    /// Those that look like this: `?` is one character, `*` any of them but `/`, `**` any.
    Like(String),
}

/// Secrets stay out of logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Credentials that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// Whom they are for is not said.
    #[error(
        "`{0}` is not an address such as https://example.com/models/*, without user, password, `?` and `#`"
    )]
    Place(String),
    /// A pattern is longer than any that is needed.
    #[error("the pattern is longer than {LONGEST} bytes")]
    Pattern,
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
        let place = url.ok_or_else(|| BadCredentials::Place(place.to_owned()))?;
        Ok(Self { place: Place::At { url: place, below }, headers: kept(headers)?, query: Vec::new() })
    }

    /// For addresses that look like `https://*.example.com/**`: `?` stands for one character, `*` for any of them but
    /// `/`, `**` for any. For what a caller says of addresses that he names himself.
    pub fn like<'h>(
        pattern: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<Self, BadCredentials> {
        if pattern.len() > LONGEST {
            return Err(BadCredentials::Pattern);
        }
        Ok(Self { place: Place::Like(pattern.to_owned()), headers: kept(headers)?, query: Vec::new() })
    }

    /// The same, with members that are added to the query of an address. They are not told to anybody whom it leads to.
    #[must_use]
    pub fn with_query(self, members: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { query: members.into_iter().collect(), ..self }
    }

    /// Whether they are for this address.
    pub fn are_for(&self, url: &Url) -> bool {
        match &self.place {
            Place::At { url: place, below } => {
                let path = url.path().strip_prefix(place.path());
                url.origin() == place.origin() && path.is_some_and(|rest| *below || rest.is_empty())
            }
            Place::Like(pattern) => is_like(pattern.as_bytes(), url.as_str().as_bytes()),
        }
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// An approved address with what is sent in its query.
    pub fn sign(&self, address: &Approved) -> Approved {
        address.at(self.signed(address.url().clone()))
    }

    /// An address with what is sent in its query. What a caller put there under the same name is not sent.
    pub(crate) fn signed(&self, mut url: Url) -> Url {
        if self.query.is_empty() {
            return url;
        }
        let ours = |name: &str| self.query.iter().any(|(own, _)| own == name);
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !ours(name))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(others).extend_pairs(&self.query);
        url
    }
}

fn kept<'h>(headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Result<HeaderMap, BadCredentials> {
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
    Ok(kept)
}

/// A star in a pattern: where the pattern goes on behind it, and where in the text that is for now.
type Star = Option<(usize, usize)>;

/// Whether a text looks like a pattern. It goes back to the last star only, or to the last pair of stars, so it takes no
/// longer than the product of both lengths.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    let (mut star, mut stars): (Star, Star) = (None, None);
    loop {
        let rest = pattern.get(at..).unwrap_or_default();
        if rest.starts_with(b"**") {
            at += rest.iter().take_while(|byte| **byte == b'*').count();
            (stars, star) = (Some((at, here)), None);
            continue;
        }
        if rest.first() == Some(&b'*') {
            at += 1;
            star = Some((at, here));
            continue;
        }
        match (rest.first(), text.get(here)) {
            (None, None) => return true,
            (Some(wanted), Some(byte)) if *wanted == b'?' || wanted == byte => {
                (at, here) = (at + 1, here + 1);
                continue;
            }
            _ => {}
        }
        // The star takes one more, unless that is where a folder ends; else the pair does.
        let more = |(at, taken): (usize, usize)| text.get(taken).map(|byte| (*byte, (at, taken + 1)));
        if let Some((_, next)) = star.and_then(more).filter(|(byte, _)| *byte != b'/') {
            (star, at, here) = (Some(next), next.0, next.1);
        } else if let Some((_, next)) = stars.and_then(more) {
            (stars, star, at, here) = (Some(next), None, next.0, next.1);
        } else {
            return false;
        }
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
        let meant = |credentials: &Credentials, url: &str| credentials.are_for(&url.parse().unwrap());
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
        let asks = alone.clone().with_query([("key".to_owned(), "a b".to_owned())]);
        assert!(!format!("{asks:?}").contains("a b"));
        let signed = |url: &str| asks.signed(url.parse().unwrap()).to_string();
        assert_eq!(signed("https://a.example/one"), "https://a.example/one?key=a+b");
        assert_eq!(signed("https://a.example/one?x=1&key=mine"), "https://a.example/one?x=1&key=a+b");
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

    #[test]
    fn patterns_are_for_what_looks_like_them() {
        let meant = |pattern: &str, url: &str| {
            let credentials = Credentials::like(pattern, [("authorization", "Bearer sesame")]).unwrap();
            credentials.are_for(&url.parse().unwrap())
        };
        for (pattern, url) in [
            ("https://a.example/**", "https://a.example/x/y?z"),
            ("https://*.a.example/*", "https://b.a.example/x"),
            ("https://a.example/*/v?/*.png", "https://a.example/x/v1/y.png"),
            ("https://**/x/*/z", "https://a.example/x/x/y/z"),
            ("**", "https://a.example/"),
        ] {
            assert!(meant(pattern, url), "{pattern} {url}");
        }
        for (pattern, url) in [
            ("https://a.example/*", "https://a.example/x/y"),
            ("https://*.a.example/*", "https://evil.example/b.a.example/x"),
            ("https://a.example/?", "https://a.example/"),
            ("https://a.example", "https://a.example/x"),
            ("", "https://a.example/"),
        ] {
            assert!(!meant(pattern, url), "{pattern} {url}");
        }
        // Patterns that would take others for ever.
        let pattern = "https://**".to_owned() + &"*a".repeat(900);
        let url = format!("https://a.example/{}b", "a".repeat(8000));
        assert!(!meant(&pattern, &url));
        let long = "*".repeat(LONGEST + 1);
        assert_eq!(Credentials::like(&long, []).unwrap_err(), BadCredentials::Pattern);
        let secret =
            Credentials::like("**", []).unwrap().with_query([("key".to_owned(), "sesame".to_owned())]);
        assert!(!format!("{secret:?}").contains("sesame"));
    }
}
