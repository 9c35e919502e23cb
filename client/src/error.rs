//! What can go wrong.

use std::fmt;

use comfyport_endpoint::OutputError;
use serde::Deserialize;
use serde_json::Value;

/// Why a call did not yield what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the server is not one.
    #[error("`{url}` is not the address of a server: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Encrypted connections cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The server says what is wrong.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The server cannot be reached, or the connection broke.
    #[error("cannot talk to the server: {0}")]
    Transport(#[from] reqwest::Error),
    /// Whatever answered is not a comfyport.
    #[error("unexpected answer with status {status}: {what}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// What is odd about it.
        what: String,
    },
    /// The stream of events ended before the run did.
    #[error("the stream ended before the run did")]
    Ended,
    /// The outputs are not those of this endpoint: the structs are of another version than the server.
    #[error(transparent)]
    Outputs(#[from] OutputError),
}

impl Error {
    /// The problem, if the server told one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}

/// What the server says is wrong, as RFC 9457.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Problem {
    /// Where it is explained; relative to the server.
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub detail: String,
    /// A stable name for this kind of problem: `invalid_request`, `workflow_not_ready`…
    pub code: String,
    /// What the server's log has it under.
    pub request_id: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Whose doing it is.
    pub source: Source,
    /// Every fault of the request.
    #[serde(default)]
    pub errors: Vec<ProblemFault>,
    /// Node classes and models the engine lacks, as JSON.
    pub missing: Option<Value>,
}

/// Whose doing a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The request.
    Request,
    /// The server.
    Server,
    /// The workflow, or a node of it.
    Workflow,
    /// The engine.
    Engine,
    /// A source that this client does not know.
    #[serde(other)]
    Other,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ProblemFault {
    /// A JSON pointer to the value; empty for the whole request.
    pub pointer: String,
    /// The parameter, if it is about one.
    pub param: Option<String>,
    /// What is wrong, in a sentence without a period.
    pub message: String,
    /// What would be accepted: a list of options, a range, a type.
    pub allowed: Option<Value>,
    /// The closest thing that would be accepted.
    pub did_you_mean: Option<String>,
}

/// Every fault, where there are several; the detail already names a single one.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.title, self.detail)?;
        if self.errors.len() < 2 {
            return Ok(());
        }
        self.errors.iter().try_for_each(|fault| write!(formatter, "\n  {}: {}", fault.pointer, fault.message))
    }
}

// Written out, since a derived one would take `source` for an error.
impl std::error::Error for Problem {}
