//! Why a model is not there, and what to do about it.

use std::{io, path::PathBuf};

use comfyport_buckets::BucketError;
use comfyport_fetch::FetchError;

use crate::{BadName, Sha256};

/// Why a model was not fetched. The message says what happened, [`PullError::next_step`] what to do. Neither holds
/// tokens, nor what follows a `?` in an address.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Its terms were not accepted.
    #[error("{place}: access is gated{}", if *token { ", and the account of the token has none" } else { "" })]
    Gated {
        /// Where it would be.
        place: String,
        /// The page where the terms are accepted.
        page: String,
        /// Whether a token was sent.
        token: bool,
        /// Where the token is set.
        variable: &'static str,
    },
    /// It wants to know who asks. Hubs say so too of what does not exist, so that it cannot be guessed.
    #[error(
        "{place}: the host answered 401, which can mean three things: it is private, it is gated, or it does not exist{}",
        if *token { " (the token that was sent may also be wrong or expired)" } else { "" }
    )]
    Unauthorized {
        /// Where it would be.
        place: String,
        /// Whether a token or other credentials were sent.
        token: bool,
        /// Where the token is set, if there is such a place.
        variable: Option<&'static str>,
    },
    /// Whoever asks may not have it.
    #[error("{place}: the host answered 403: {}", if *token { "the credentials do not allow it" } else { "not without credentials" })]
    Forbidden {
        /// Where it would be.
        place: String,
        /// Whether a token or other credentials were sent.
        token: bool,
        /// Where the token is set, if there is such a place.
        variable: Option<&'static str>,
    },
    /// It is not there.
    #[error("{place}: {what} does not exist there")]
    NotFound {
        /// Where it would be.
        place: String,
        /// What there is none of.
        what: &'static str,
    },
    /// The host was asked too often, and wants a longer pause than we are willing to make.
    #[error("{host} limits how often it is asked, and asks for a pause of {wait_s} s")]
    RateLimited {
        /// The host.
        host: String,
        /// For how many seconds.
        wait_s: u64,
    },
    /// Its page is shown instead of the file.
    #[error("{place}: a web page came instead of the file, most likely one to log in")]
    Html {
        /// Where it would be.
        place: String,
        /// Where a token is set, if there is such a place.
        variable: Option<&'static str>,
    },
    /// The signed address that it redirects to stops working again and again.
    #[error("{place}: the signed address that it leads to was refused {tries} times")]
    Expired {
        /// Where it would be.
        place: String,
        /// How often it was asked for anew.
        tries: u32,
    },
    /// The connection broke off, or came to nothing, more often than it is tried again.
    #[error("{place}: {why}, {tries} times with nothing gained")]
    Network {
        /// Where it would be.
        place: String,
        /// What happened the last time.
        why: String,
        /// How often.
        tries: u32,
    },
    /// The host answers with something that is not understood.
    #[error("{place}: the host answered with status {status}")]
    Status {
        /// Where it would be.
        place: String,
        /// The status.
        status: u16,
    },
    /// The host answers with something that cannot be right.
    #[error("{place}: {what}")]
    Odd {
        /// Where it would be.
        place: String,
        /// What is not right.
        what: String,
    },
    /// The address is not asked.
    #[error("{place}: {error}")]
    Address {
        /// Where it would be.
        place: String,
        /// Why not.
        error: FetchError,
    },
    /// A bucket fails.
    #[error("{place}: {error}")]
    Bucket {
        /// The object.
        place: String,
        /// Why.
        error: BucketError,
    },
    /// No bucket of that name is configured.
    #[error("{place}: no bucket with this address is configured")]
    NoBucket {
        /// The object.
        place: String,
    },
    /// It can be had only later, or for money.
    #[error("{place}: it is in early access{}", until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default())]
    EarlyAccess {
        /// Where it is.
        place: String,
        /// When that ends, as the host says.
        until: Option<String>,
    },
    /// It may be used there, and not be downloaded.
    #[error("{place}: its author does not allow downloads (usage: {usage})")]
    NotDownloadable {
        /// Where it is.
        place: String,
        /// What is allowed.
        usage: String,
    },
    /// The host found something in it, or has not looked yet.
    #[error("{place}: the host's {scan} scan says {result}")]
    Scan {
        /// Where it is.
        place: String,
        /// Which one.
        scan: &'static str,
        /// What it says.
        result: String,
    },
    /// There are several files, and none is what was asked for.
    #[error("{place}: none of its files is the one that is wanted; it has {has}")]
    NoFile {
        /// Where they are.
        place: String,
        /// Their names.
        has: String,
    },
    /// It is of another size than was agreed on.
    #[error("{place}: {actual} bytes, and {expected} are expected")]
    WrongSize {
        /// Where it is.
        place: String,
        /// In bytes.
        expected: u64,
        /// In bytes.
        actual: u64,
    },
    /// Its content is not what was agreed on.
    #[error("{place}: its SHA-256 is {actual}, and {expected} is expected")]
    WrongHash {
        /// Where it is.
        place: String,
        /// What it must be.
        expected: Sha256,
        /// What it is.
        actual: Sha256,
    },
    /// It is larger than anything is allowed to be.
    #[error("{place}: more than {largest} bytes")]
    TooLarge {
        /// Where it is.
        place: String,
        /// In bytes.
        largest: u64,
    },
    /// Files of its kind run code when they are loaded.
    #[error("{file}: files of this kind (pickles) can run any code when they are loaded")]
    Pickle {
        /// The file.
        file: String,
    },
    /// It is not what its name says.
    #[error("{file}: {why}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// Another file is in its place.
    #[error("{path}: another file is there already")]
    Conflict {
        /// The file.
        path: PathBuf,
    },
    /// The name is none of a model.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A folder on the way to it leads out of the models folder.
    #[error("{path}: it is a link that leads out of the models folder")]
    Leaves {
        /// The folder.
        path: PathBuf,
    },
    /// There is not enough room.
    #[error("{path}: {needed} bytes are needed and {free} are free, of which {reserve} are to stay free")]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// In bytes.
        needed: u64,
        /// In bytes.
        free: u64,
        /// In bytes.
        reserve: u64,
    },
    /// The disk became full on the way.
    #[error("{path}: the disk became full")]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// The cache may not grow, and all that is in it is in use.
    #[error("the cache may hold {limit} bytes; {needed} are needed, and {held} are in use")]
    CacheFull {
        /// In bytes.
        limit: u64,
        /// In bytes.
        needed: u64,
        /// In bytes.
        held: u64,
    },
    /// Nobody said where it can be had.
    #[error("{name}: no source is known")]
    NoSource {
        /// The model.
        name: String,
    },
    /// A file is no longer what it was when a plan was made.
    #[error("{name}: it changed since the plan was made")]
    Stale {
        /// The model.
        name: String,
    },
    /// A file or folder of ours cannot be used.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A thread of ours ended early.
    #[error("a thread ended before its work was done")]
    Thread,
}

impl PullError {
    /// What to do about it, as a sentence.
    pub fn next_step(&self) -> String {
        let sign = |variable: Option<&str>, token: bool| match (variable, token) {
            (Some(variable), false) => {
                format!(
                    "check the address; if it is right, set {variable} to a token of an account that may have it"
                )
            }
            (Some(variable), true) => format!(
                "check the address, whether the token in {variable} is valid, and whether its account may have it"
            ),
            (None, _) => "check the address, and give credentials for it in the settings".to_owned(),
        };
        match self {
            Self::Gated { page, token: false, variable, .. } => format!(
                "accept the terms at {page}, then set {variable} to a token of the account that accepted them"
            ),
            Self::Gated { page, variable, .. } => {
                format!("accept the terms at {page} with the account whose token is in {variable}")
            }
            Self::Unauthorized { variable, token, .. } | Self::Forbidden { variable, token, .. } => {
                sign(*variable, *token)
            }
            Self::Html { variable: Some(variable), .. } => {
                format!("set {variable} to a valid token, or download it in a browser")
            }
            Self::Html { .. } => "give the address of the file itself, and credentials if it needs any".to_owned(),
            Self::NotFound { .. } => "check the address; it may have been renamed or removed".to_owned(),
            Self::RateLimited { wait_s, .. } => {
                format!("run it again in {wait_s} s; with a token the limits are higher")
            }
            Self::Expired { .. } | Self::Network { .. } => {
                "check the network and run it again: it goes on where it stopped".to_owned()
            }
            Self::Status { .. } | Self::Odd { .. } => {
                "try again later, or name another source".to_owned()
            }
            Self::Address { .. } => "correct the address, or allow it in the settings".to_owned(),
            Self::Bucket { .. } => "check the bucket's address, credentials and what they allow".to_owned(),
            Self::NoBucket { .. } => "configure a bucket whose address it begins with".to_owned(),
            Self::EarlyAccess { .. } => "wait until then, or buy access with the account of the token".to_owned(),
            Self::NotDownloadable { .. } | Self::NoFile { .. } => "name another source".to_owned(),
            Self::Scan { .. } => "name another source; do not load this file".to_owned(),
            Self::WrongSize { .. } | Self::WrongHash { .. } => {
                "nothing was kept; name another source, or correct what is expected if you know that it changed"
                    .to_owned()
            }
            Self::TooLarge { .. } => "raise the largest size in the settings if it is right".to_owned(),
            Self::Pickle { .. } => {
                "look for a .safetensors version, or allow pickles in the settings if you trust the author".to_owned()
            }
            Self::Header { .. } => "nothing was kept; name another source".to_owned(),
            Self::Conflict { path } => {
                format!("move {} away, or allow it to be overwritten", path.display())
            }
            Self::Name(_) => "correct the name in the workflow or its sidecar".to_owned(),
            Self::Leaves { .. } => "allow links that leave the models folder in the settings if it is yours".to_owned(),
            Self::NoSpace { needed, free, reserve, .. } => format!(
                "free {} bytes there, or use another disk",
                (needed + reserve).saturating_sub(*free)
            ),
            Self::DiskFull { .. } => "free some room there and run it again".to_owned(),
            Self::CacheFull { .. } => "raise the limit of the cache, or remove models that are not needed".to_owned(),
            Self::NoSource { .. } => "say in the sidecar where it can be had (`url`, and `sha256`)".to_owned(),
            Self::Stale { .. } => "make a new plan".to_owned(),
            Self::Io { .. } => "check that it exists and may be written".to_owned(),
            Self::Thread => "run it again, and report it if it happens twice".to_owned(),
        }
    }

    /// What kind of failure it is, for programs. Kinds do not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gated { .. } => "gated",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound { .. } => "not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::Html { .. } => "web_page",
            Self::Expired { .. } => "expired",
            Self::Network { .. } => "network",
            Self::Status { .. } => "status",
            Self::Odd { .. } => "odd_answer",
            Self::Address { .. } => "address",
            Self::Bucket { .. } => "bucket",
            Self::NoBucket { .. } => "no_bucket",
            Self::EarlyAccess { .. } => "early_access",
            Self::NotDownloadable { .. } => "not_downloadable",
            Self::Scan { .. } => "scan",
            Self::NoFile { .. } => "no_file",
            Self::WrongSize { .. } => "wrong_size",
            Self::WrongHash { .. } => "wrong_hash",
            Self::TooLarge { .. } => "too_large",
            Self::Pickle { .. } => "pickle",
            Self::Header { .. } => "bad_file",
            Self::Conflict { .. } => "conflict",
            Self::Name(_) => "bad_name",
            Self::Leaves { .. } => "leaves",
            Self::NoSpace { .. } => "no_space",
            Self::DiskFull { .. } => "disk_full",
            Self::CacheFull { .. } => "cache_full",
            Self::NoSource { .. } => "no_source",
            Self::Stale { .. } => "stale",
            Self::Io { .. } => "file",
            Self::Thread => "thread",
        }
    }

    /// Whether another source may do better.
    pub(crate) fn is_of_source(&self) -> bool {
        !matches!(
            self,
            Self::Pickle { .. }
                | Self::Conflict { .. }
                | Self::Name(_)
                | Self::Leaves { .. }
                | Self::NoSpace { .. }
                | Self::DiskFull { .. }
                | Self::CacheFull { .. }
                | Self::Stale { .. }
                | Self::Io { .. }
                | Self::Thread
        )
    }

    /// A failure of a file or a folder; a full disk is one of its own.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, error },
        }
    }
}
