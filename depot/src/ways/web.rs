//! Files from addresses of the web.

use bytes::Bytes;
use comfyport_fetch::{Approved, FetchError};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::Response;

use super::{Host, Located, Opened, REDIRECTS, Start, Way, Ways};
use crate::{
    PullError,
    trouble::{Trouble, pause},
};

/// Which part of a file is asked for, and under which conditions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    /// After so many bytes.
    pub(crate) offset: u64,
    /// Only if it is still this; else all of it.
    pub(crate) if_range: Option<String>,
    /// Only if it is no longer this.
    pub(crate) if_none_match: Option<String>,
}

/// Whoever is asked, for what is said of it.
pub(super) struct Asked<'a> {
    pub(super) place: &'a str,
    pub(super) host: &'a Host,
    /// Whether something was sent along that says who asks.
    pub(super) token: bool,
    /// Whether it is another host than the one that was named.
    pub(super) elsewhere: bool,
}

impl Ways {
    pub(super) async fn open_web(
        &self,
        located: &Located,
        conditions: &Conditions,
    ) -> Result<Opened, Trouble> {
        let Way::Web { start, host, signed } = &located.way else {
            return Err(Trouble::Passing("there is no address".to_owned()));
        };
        let mut headers = HeaderMap::new();
        let mut set = |name, value: &str| value.parse().map(|value| headers.insert(name, value)).is_ok();
        if conditions.offset > 0 {
            set(header::RANGE, &format!("bytes={}-", conditions.offset));
        }
        if let Some(etag) = &conditions.if_range {
            set(header::IF_RANGE, etag);
        }
        if let Some(etag) = &conditions.if_none_match {
            set(header::IF_NONE_MATCH, etag);
        }
        let (response, elsewhere, token) =
            self.follow(&located.place, start, host, &Method::GET, &headers, false).await?;
        let asked = Asked { place: &located.place, host, token, elsewhere: elsewhere || *signed };
        answered(response, &asked, conditions)
    }

    /// Asks an address and goes where it leads: not at all beyond its host, if `stay`. What says who asks is sent to the
    /// host that it is meant for, and not elsewhere. Answers whether it went to another host, and whether something was
    /// sent along to the last one.
    pub(super) async fn follow(
        &self,
        place: &str,
        start: &Approved,
        host: &Host,
        method: &Method,
        headers: &HeaderMap,
        stay: bool,
    ) -> Result<(Response, bool, bool), Trouble> {
        let origin = start.url().origin();
        let mut here = start.clone();
        for _ in 0..=REDIRECTS {
            let elsewhere = here.url().origin() != origin;
            let (along, address) =
                if elsewhere { (HeaderMap::new(), here.clone()) } else { self.sent_along(host, &here) };
            let token = !along.is_empty() || address.url() != here.url();
            // What is packed has another length and another hash.
            let request = self
                .client
                .request(method.clone(), &address)
                .header(header::ACCEPT_ENCODING, "identity")
                .headers(headers.clone())
                .headers(along);
            let response = request.send().await.map_err(|error| Trouble::of_request(place, &error))?;
            let redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let location = response.headers().get(header::LOCATION);
            let Some(location) = location.filter(|_| redirect) else {
                return Ok((response, elsewhere, token));
            };
            let wrong = |error| PullError::Address { place: place.to_owned(), error };
            let next = location.to_str().ok().and_then(|to| here.url().join(to).ok());
            let next = next.ok_or_else(|| wrong(FetchError::Astray))?;
            if stay && (next.origin() != origin || location.to_str().is_ok_and(|to| to.contains("://"))) {
                return Ok((response, elsewhere, token));
            }
            if here.url().scheme() == "https" && next.scheme() != "https" {
                return Err(wrong(FetchError::Downgrade).into());
            }
            here = if next.origin() == origin {
                // The address was judged by now, and this is the same host; where a path matters, it is by
                // credentials, which are looked up for each address.
                self.same_host(start, next)
            } else {
                self.client.guard().judge_url(next).map_err(|refusal| wrong(FetchError::Refused(refusal)))?
            };
        }
        Err(PullError::Address { place: place.to_owned(), error: FetchError::Redirects(REDIRECTS) }.into())
    }

    fn same_host(&self, start: &Approved, next: url::Url) -> Approved {
        // What the guard refuses was allowed by the operator, or it would not have been asked at all.
        let judged = self.client.guard().judge_url(next.clone());
        judged.unwrap_or_else(|_| {
            debug_assert_eq!(start.url().origin(), next.origin(), "it is the host that was allowed");
            Approved::by_operator(next)
        })
    }
}

/// What an answer to a request for a file means.
fn answered(response: Response, asked: &Asked<'_>, conditions: &Conditions) -> Result<Opened, Trouble> {
    let (status, headers) = (response.status(), response.headers());
    let odd =
        |what: &str| Trouble::Fatal(PullError::Odd { place: asked.place.to_owned(), what: what.to_owned() });
    let start = match status {
        StatusCode::OK => Start::At { offset: 0, total: response.content_length() },
        StatusCode::PARTIAL_CONTENT => {
            let (offset, total) =
                range(headers).ok_or_else(|| odd("it sends a part, and does not say which"))?;
            if offset != conditions.offset {
                return Err(odd("it sends another part than the one that was asked for"));
            }
            Start::At { offset, total }
        }
        StatusCode::NOT_MODIFIED if conditions.if_none_match.is_some() => Start::Same,
        StatusCode::RANGE_NOT_SATISFIABLE if conditions.offset > 0 => {
            Start::Beyond { total: unsatisfied(headers) }
        }
        _ => return Err(refused(status, headers, asked)),
    };
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(odd("it sends the file packed, and only files as they are are taken"));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if matches!(start, Start::At { .. }) && kind.to_ascii_lowercase().starts_with("text/html") {
        let variable = asked.host.variable();
        return Err(PullError::Html { place: asked.place.to_owned(), variable }.into());
    }
    let etag = headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
    let etag = etag.filter(|etag| etag.starts_with('"')).map(str::to_owned);
    Ok(Opened { start, etag, body: pieces(response).boxed() })
}

fn pieces(response: Response) -> impl futures_util::Stream<Item = Result<Bytes, Trouble>> + Send {
    stream::try_unfold(response, |mut response| async move {
        // Less than was announced is an error of the connection.
        let piece =
            response.chunk().await.map_err(|_| Trouble::Passing("the connection broke off".to_owned()))?;
        Ok(piece.map(|piece| (piece, response)))
    })
}

/// What a status means that is not one of a file.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap, asked: &Asked<'_>) -> Trouble {
    let place = || asked.place.to_owned();
    let (token, variable) = (asked.token, asked.host.variable());
    let said = headers.get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or_default();
    match status.as_u16() {
        429 => return Trouble::Limited(pause(headers)),
        408 | 425 | 500.. => return Trouble::Passing(format!("the host answered with status {status}")),
        // The address was signed for a while, which is over.
        400 | 401 | 403 | 410 if asked.elsewhere => return Trouble::Expired,
        _ => {}
    }
    let error = match (status.as_u16(), asked.host) {
        (401 | 403, Host::HuggingFace { page }) if said == "GatedRepo" => {
            PullError::Gated { place: place(), page: page.clone(), token, variable: super::HUB_VARIABLE }
        }
        (401, _) => PullError::Unauthorized { place: place(), token, variable },
        (403, _) => PullError::Forbidden { place: place(), token, variable },
        (404 | 410, _) => {
            let what = match said {
                "RepoNotFound" => "the repository",
                "RevisionNotFound" => "the revision",
                _ => "the file",
            };
            PullError::NotFound { place: place(), what }
        }
        (status, _) => PullError::Status { place: place(), status },
    };
    error.into()
}

/// `bytes 5-9/10`: where it begins, and how much there is.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (bounds, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = bounds.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    // A part in the middle would be taken for all that is left.
    (first <= last && total.is_none_or(|total| last.checked_add(1) == Some(total))).then_some((first, total))
}

/// `bytes */10`: how much there is.
fn unsatisfied(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes")?.trim_start().strip_prefix("*/")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        let of = |text: &str| range(&HeaderMap::from_iter([(header::CONTENT_RANGE, text.parse().unwrap())]));
        assert_eq!(of("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(of("bytes 5-9/*"), Some((5, None)));
        for wrong in [
            "bytes 5-8/10",
            "bytes 9-5/10",
            "bytes */10",
            "5-9/10",
            "bytes 5-/10",
            "items 5-9/10",
            "bytes 0-18446744073709551615/1",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
