//! Why a file was not fetched.

use std::{error::Error, io};

use crate::{Refusal, lookup::UnknownName};

/// Why a file was not fetched, in words for whoever named its address. No network address and nothing of what the other
/// side said is among them.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address, or one that it leads to, is not asked.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It leads on and on.
    #[error("it redirects more than {0} times; give the address where the file is")]
    Redirects(usize),
    /// It leads from https to http.
    #[error("it redirects from https to http; give an address that stays with https")]
    Downgrade,
    /// It leads nowhere.
    #[error("it redirects to something that is not an address")]
    Astray,
    /// Nothing is known of the name.
    #[error("the name of the host is not known; check the address")]
    UnknownName,
    /// It cannot be reached.
    #[error("the host cannot be reached; check the address, or try again later")]
    Unreachable,
    /// It is not who it says.
    #[error("no secure connection could be made to the host: its certificate is not one that is trusted")]
    Untrusted,
    /// It answered with something else than the file.
    #[error("the host answered with status {0}{hint}", hint = hint(*.0))]
    Status(u16),
    /// It packs the file.
    #[error("the host sends the file with a `Content-Encoding`, and only files as they are are taken")]
    Encoded,
    /// It sends a part of the file.
    #[error("the host sends a part of the file only")]
    Partial,
    /// It is larger than allowed.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// It did not arrive in time.
    #[error("the file did not arrive within {0} seconds")]
    Late(u64),
    /// A file was not taken in time.
    #[error("the host did not take the file within {0} seconds")]
    NotTaken(u64),
    /// It arrives too slowly.
    #[error("the file arrives at less than {0} bytes a second")]
    Slow(u64),
    /// It breaks off.
    #[error("the connection broke off before the whole file was there; try again")]
    Broken,
    /// What it was written to cannot be written.
    #[error("the file cannot be written")]
    Write(#[source] io::Error),
}

/// Whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blame {
    /// Whoever named the address: it is not asked.
    Forbidden,
    /// Whoever named the address: what is there is not a file that can be taken.
    Address,
    /// The other side, which may be better later.
    Host,
    /// Ours.
    Here,
}

impl FetchError {
    /// Whose doing it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Refused(_) | Self::Downgrade => Blame::Forbidden,
            Self::Status(408 | 425 | 429 | 500..)
            | Self::Unreachable
            | Self::Late(_)
            | Self::NotTaken(_)
            | Self::Slow(_)
            | Self::Broken => Blame::Host,
            Self::Redirects(_)
            | Self::Astray
            | Self::UnknownName
            | Self::Untrusted
            | Self::Status(_)
            | Self::Encoded
            | Self::Partial
            | Self::TooLarge(_) => Blame::Address,
            Self::Write(_) => Blame::Here,
        }
    }

    /// What went wrong with a request of the [`Client`](crate::Client) before an answer began.
    pub fn before_answer(error: &reqwest::Error) -> Self {
        before_answer(error)
    }

    /// Whether the address, or one that it leads to, is not asked.
    pub fn refusal(error: &reqwest::Error) -> Option<Refusal> {
        find::<Refusal>(error).copied()
    }
}

/// What went wrong before an answer began. The error itself names the address, so it is not kept.
pub(crate) fn before_answer(error: &reqwest::Error) -> FetchError {
    if let Some(refusal) = FetchError::refusal(error) {
        return FetchError::Refused(refusal);
    }
    if find::<UnknownName>(error).is_some() {
        return FetchError::UnknownName;
    }
    if find::<rustls::Error>(error).is_some() {
        return FetchError::Untrusted;
    }
    if error.is_builder() {
        return FetchError::Refused(Refusal::Malformed);
    }
    if error.is_connect() { FetchError::Unreachable } else { FetchError::Broken }
}

/// A cause of a kind, however deep. Causes of input and output hide theirs.
fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if let Some(found) = one.downcast_ref() {
            return Some(found);
        }
        let inner = one.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => one.source(),
        };
    }
    None
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => ": it wants to know who asks; a signed address would do",
        404 | 410 => ": there is no such file",
        429 | 500.. => "; try again later",
        _ => "",
    }
}
