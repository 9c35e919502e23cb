//! What went wrong with one try, and what that means for the next.

use std::time::Duration;

use comfyport_fetch::{Blame, FetchError};
use http::{HeaderMap, header};

use crate::PullError;

/// What went wrong with one try.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It would go wrong again.
    Fatal(PullError),
    /// It may work later.
    Passing(String),
    /// The host wants to be asked less often; perhaps it says for how long.
    Limited(Option<Duration>),
    /// A signed address is no longer one.
    Expired,
    /// There is something else than before: what was fetched of it is worth nothing.
    Changed,
}

impl From<PullError> for Trouble {
    fn from(error: PullError) -> Self {
        Self::Fatal(error)
    }
}

impl Trouble {
    /// Of a request that came to nothing.
    pub(crate) fn of_request(place: &str, error: &reqwest::Error) -> Self {
        let error = FetchError::before_answer(error);
        match error {
            // Names are not known either where there is no network.
            FetchError::UnknownName => Self::Passing(error.to_string()),
            error if error.blame() == Blame::Host => Self::Passing(error.to_string()),
            error => PullError::Address { place: place.to_owned(), error }.into(),
        }
    }
}

/// For how long a host wants not to be asked.
pub(crate) fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    // `"api";r=0;t=55`: nothing remains, and in 55 s there will be more.
    let window = text("ratelimit").and_then(|limit| {
        limit.split([';', ',']).find_map(|part| part.trim().strip_prefix("t=")?.trim().parse::<u64>().ok())
    });
    if let Some(seconds) = window {
        return Some(Duration::from_secs(seconds.saturating_add(1)));
    }
    let after = text(header::RETRY_AFTER.as_str())?.trim();
    let date = || {
        let time = httpdate::parse_http_date(after).ok()?;
        Some(time.duration_since(std::time::SystemTime::now()).unwrap_or_default())
    };
    after.parse().ok().map(Duration::from_secs).or_else(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_in_all_notations() {
        let of = |name: &'static str, value: &str| {
            pause(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!(of("ratelimit", "\"api\";r=0;t=55"), Some(Duration::from_secs(56)));
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        let later = std::time::SystemTime::now() + Duration::from_secs(100);
        let read = of("retry-after", &httpdate::fmt_http_date(later)).unwrap().as_secs();
        assert!((90..=100).contains(&read), "{read}");
        assert_eq!(of("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("retry-after", "soon"), None);
        assert_eq!(of("x", "1"), None);
    }
}
