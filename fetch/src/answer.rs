//! A file on its way.

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header;
use reqwest::Response;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use crate::{FetchError, Limits};

/// A file that begins to arrive. Dropping it ends the connection.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    received: u64,
    largest: u64,
    deadline: Instant,
    limits: Limits,
    /// What arrived since when: its pace.
    lap: (u64, Instant),
}

/// A file that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl Answer {
    pub(crate) fn new(response: Response, largest: u64, deadline: Instant, limits: Limits) -> Self {
        let lap = (0, Instant::now() + limits.pace_over);
        Self { response, received: 0, largest, deadline, limits, lap }
    }

    /// How many bytes the host says there are.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// What the host says it is. A claim, for logs at most.
    pub fn content_type(&self) -> Option<&str> {
        self.response.headers().get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// The next piece; `None` once all of it was there.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let until = self.lap.1.min(self.deadline);
            let Ok(chunk) = timeout_at(until, self.response.chunk()).await else {
                self.turn()?;
                continue;
            };
            // Less than was announced is an error of the connection; more is not looked at.
            let chunk = chunk.map_err(|_| FetchError::Broken)?;
            let Some(chunk) = chunk else { return Ok(None) };
            let length = chunk.len() as u64;
            (self.received, self.lap.0) = (self.received + length, self.lap.0 + length);
            if self.received > self.largest {
                return Err(FetchError::TooLarge(self.largest));
            }
            if Instant::now() >= until {
                self.turn()?;
            }
            return Ok(Some(chunk));
        }
    }

    /// Looks at the time: whether there is any left, and whether enough arrived lately.
    fn turn(&mut self) -> Result<(), FetchError> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(FetchError::Late(self.limits.total.as_secs()));
        }
        let least = self.limits.pace as f64 * self.limits.pace_over.as_secs_f64();
        if (self.lap.0 as f64) < least {
            return Err(FetchError::Slow(self.limits.pace));
        }
        self.lap = (0, now + self.limits.pace_over);
        Ok(())
    }

    /// The pieces, one after the other.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, FetchError>> + Send {
        stream::try_unfold(self, |mut answer| async move {
            Ok(answer.chunk().await?.map(|chunk| (chunk, answer)))
        })
    }

    /// Writes all of it, piece by piece.
    pub async fn save(mut self, to: &mut (impl AsyncWrite + Unpin)) -> Result<Saved, FetchError> {
        let mut hash = Sha256::new();
        while let Some(chunk) = self.chunk().await? {
            hash.update(&chunk);
            to.write_all(&chunk).await.map_err(FetchError::Write)?;
        }
        to.flush().await.map_err(FetchError::Write)?;
        Ok(Saved { size: self.received, sha256: hash.finalize().into() })
    }
}
