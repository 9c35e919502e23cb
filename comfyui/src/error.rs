use std::time::Duration;

use comfyport_workflow::json::ParseError;

/// Why talking to a ComfyUI failed. Holds no URL, header value or body beyond a short extract.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The configuration cannot work.
    #[error("invalid ComfyUI configuration: {0}")]
    InvalidConfig(&'static str),
    /// No connection could be made: nothing was sent.
    #[error("cannot connect to ComfyUI")]
    Connect(#[source] reqwest::Error),
    /// No answer in time; the request may have taken effect.
    #[error("ComfyUI did not answer in time")]
    Timeout,
    /// The connection broke; the request may have taken effect.
    #[error("the connection to ComfyUI broke")]
    Transport(#[source] reqwest::Error),
    /// An answer with a status that is not success.
    #[error("ComfyUI answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asked for, if it was given in seconds.
        retry_after: Option<Duration>,
    },
    /// An answer larger than the configured limit.
    #[error("ComfyUI's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// An answer that is not JSON.
    #[error("ComfyUI's answer is not JSON")]
    NotJson(#[source] ParseError),
    /// JSON of a shape that was not expected.
    #[error("ComfyUI's answer has an unexpected shape: {0}")]
    Shape(&'static str),
    /// A file that ended before its announced length.
    #[error("the file ended after {received} of {expected} bytes")]
    Truncated {
        /// Bytes announced.
        expected: u64,
        /// Bytes received.
        received: u64,
    },
    /// A file name or folder ComfyUI would misread.
    #[error("not a usable file name")]
    InvalidName,
}

impl ClientError {
    /// Whether the request certainly never reached ComfyUI.
    pub fn nothing_sent(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::InvalidConfig(_) | Self::InvalidName)
    }

    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Timeout
            | Self::Transport(_)
            | Self::Truncated { .. }
            | Self::NotJson(_)
            | Self::Shape(_) => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::InvalidConfig(_) | Self::TooLarge { .. } | Self::InvalidName => false,
        }
    }
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::Connect(error)
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Transport(error)
        }
    }
}
