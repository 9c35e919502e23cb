//! Files from addresses.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::{Body, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::{Answer, Approved, Client, Credentials, FetchError, error::before_answer};

/// How long and how far a file is followed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many redirects.
    pub redirects: usize,
    /// How long all of it may take.
    pub total: Duration,
    /// The least number of bytes a second, over the length of `pace_over`.
    pub pace: u64,
    /// How long it may be slower than that.
    pub pace_over: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { redirects: 3, total: Duration::from_mins(5), pace: 1024, pace_over: Duration::from_secs(10) }
    }
}

/// Fetches files.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    credentials: Vec<Credentials>,
    limits: Limits,
}

impl Fetcher {
    /// Fetches with a client, within limits. Of `credentials`, the first that are for an address are sent there.
    pub fn new(client: Client, credentials: Vec<Credentials>, limits: Limits) -> Self {
        Self { client, credentials, limits }
    }

    /// Judges an address without asking it.
    pub fn judge(&self, address: &str) -> Result<Approved, FetchError> {
        Ok(self.client.guard().judge(address)?)
    }

    /// Asks an address for a file of at most `largest` bytes, and answers when it begins to arrive. Of `theirs`, which
    /// come from whoever named the address, the first that are for it go before our own.
    pub async fn open(
        &self,
        address: &Approved,
        largest: u64,
        theirs: &[Credentials],
    ) -> Result<Answer, FetchError> {
        let deadline = Instant::now() + self.limits.total;
        let response = timeout_at(deadline, self.follow(address.clone(), theirs));
        let response = response.await.map_err(|_| FetchError::Late(self.limits.total.as_secs()))??;
        let encoded = response.headers().get_all(header::CONTENT_ENCODING);
        if encoded.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(FetchError::Encoded);
        }
        if response.headers().contains_key(header::CONTENT_RANGE) {
            return Err(FetchError::Partial);
        }
        if response.content_length().is_some_and(|length| length > largest) {
            return Err(FetchError::TooLarge(largest));
        }
        Ok(Answer::new(response, largest, deadline, self.limits))
    }

    /// Sends a file of `length` bytes to an address by `PUT`, as it is read. No credentials go along, and no redirect is
    /// followed: the address itself must take it, with a status of 200 to 299.
    pub async fn put<S, E>(
        &self,
        address: &Approved,
        content_type: &str,
        length: u64,
        data: S,
    ) -> Result<(), FetchError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let request = self
            .client
            .request(Method::PUT, address)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::CONTENT_LENGTH, length)
            .body(Body::wrap_stream(data));
        let sent = tokio::time::timeout(self.limits.total, request.send()).await;
        let answer = sent.map_err(|_| FetchError::NotTaken(self.limits.total.as_secs()))?;
        let status = answer.map_err(|error| before_answer(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(FetchError::Status(status.as_u16())) }
    }

    /// Goes where an address leads. Credentials stay with the host that they were meant for, however it goes on.
    async fn follow(&self, first: Approved, theirs: &[Credentials]) -> Result<Response, FetchError> {
        let origin = first.url().origin();
        let mut here = first;
        for _ in 0..=self.limits.redirects {
            // What is packed unfolds to any size; media are packed already. So files are taken as they are: their size
            // is the size that is counted, and their hash is that of what lies there.
            let meant = (here.url().origin() == origin).then(|| self.meant_for(here.url(), theirs)).flatten();
            let asked = meant.map_or_else(|| here.clone(), |own| here.at(own.signed(here.url().clone())));
            let mut request =
                self.client.request(Method::GET, &asked).header(header::ACCEPT_ENCODING, "identity");
            if let Some(credentials) = meant {
                request = request.headers(credentials.headers().clone());
            }
            let response = request.send().await.map_err(|error| before_answer(&error))?;
            match response.status() {
                StatusCode::OK => return Ok(response),
                StatusCode::PARTIAL_CONTENT => return Err(FetchError::Partial),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => here = self.next(&here, response.headers())?,
                other => return Err(FetchError::Status(other.as_u16())),
            }
        }
        Err(FetchError::Redirects(self.limits.redirects))
    }

    fn next(&self, here: &Approved, headers: &HeaderMap) -> Result<Approved, FetchError> {
        let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
        let next = location.and_then(|location| here.url().join(location).ok());
        let next = self.client.guard().judge_url(next.ok_or(FetchError::Astray)?)?;
        if here.url().scheme() == "https" && next.url().scheme() != "https" {
            return Err(FetchError::Downgrade);
        }
        Ok(next)
    }

    fn meant_for<'c>(&'c self, url: &Url, theirs: &'c [Credentials]) -> Option<&'c Credentials> {
        theirs.iter().chain(&self.credentials).find(|credentials| credentials.are_for(url))
    }
}
