//! What went wrong, as RFC 9457 `application/problem+json`: the one mapping to HTTP.

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use comfyport_endpoint::{Fault, FaultKind, Faults};
use serde::Serialize;
use uuid::Uuid;

mod code;

pub use code::{Code, Origin, documentation};

use crate::{
    readiness::Missing,
    run::{Complaint, RunError, UrlTrouble},
};

/// A problem on its way to a caller. The request id is added on the way out.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: Code,
    request_id: String,
    retryable: bool,
    source: Origin,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Detail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Missing>,
    /// What became of each thing, where there were several to be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<serde_json::Value>,
    /// The job it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Uuid>,
    /// The methods that the address takes.
    #[serde(skip)]
    allow: Option<&'static str>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Detail {
    Fault(Fault),
    Complaint {
        pointer: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        param: Option<String>,
        message: String,
    },
}

impl Problem {
    /// A problem of this code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/docs/errors#{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            request_id: crate::layers::current_request_id(),
            retryable: code.is_retryable(),
            source: code.origin(),
            errors: Vec::new(),
            missing: None,
            items: Vec::new(),
            job: None,
            allow: None,
        }
    }

    /// There is nothing at this address.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// Asked for what is not there yet.
    pub fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(Code::NotImplemented, detail)
    }

    /// The address takes these methods alone.
    pub fn method_not_allowed(allow: &'static str, detail: impl Into<String>) -> Self {
        Self { allow: Some(allow), ..Self::new(Code::MethodNotAllowed, detail) }
    }

    /// No output is of the wanted type.
    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(Code::NotAcceptable, detail)
    }

    /// The operator did not turn on `POST /prompt`.
    pub fn prompt_disabled() -> Self {
        Self::new(
            Code::PromptDisabled,
            "raw graphs are not accepted; the operator can allow them with `prompt_route.enabled = true`",
        )
    }

    /// Says which job it is about, and where that is.
    #[must_use]
    pub fn about(self, job: Uuid) -> Self {
        Self { job: Some(job), ..self }
    }

    /// Says what became of each thing.
    #[must_use]
    pub fn with_items(self, items: Vec<serde_json::Value>) -> Self {
        Self { items, ..self }
    }

    /// What happened, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// A problem that a job ended with, as the answer to a request of now.
    pub fn replay(kept: &str, job: Uuid) -> Option<Response> {
        let mut problem: serde_json::Map<String, serde_json::Value> = serde_json::from_str(kept).ok()?;
        let status = StatusCode::from_u16(u16::try_from(problem.get("status")?.as_u64()?).ok()?).ok()?;
        problem.insert("request_id".to_owned(), crate::layers::current_request_id().into());
        problem.insert("job".to_owned(), job.to_string().into());
        let mut response = Response::new(Body::from(serde_json::to_vec(&problem).ok()?));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        Some(response)
    }

    /// Its body.
    pub fn to_json(&self) -> Vec<u8> {
        // A problem is text and numbers: it serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    fn complaints(mut self, complaints: Vec<Complaint>) -> Self {
        let detail = |complaint: Complaint| Detail::Complaint {
            pointer: complaint.pointer,
            param: complaint.param,
            message: complaint.message,
        };
        self.errors = complaints.into_iter().map(detail).collect();
        self
    }

    fn from_faults(Faults(faults): Faults, url: Option<UrlTrouble>) -> Self {
        let worst = faults.iter().map(|fault| fault.code).max().unwrap_or(FaultKind::Invalid);
        let code = match worst {
            FaultKind::Malformed => Code::MalformedRequest,
            FaultKind::TooLarge => Code::TooLarge,
            FaultKind::Unsupported => Code::UnsupportedMedia,
            FaultKind::Invalid => match url {
                None => Code::InvalidRequest,
                Some(UrlTrouble::Off) => Code::InputUrlUnsupported,
                Some(UrlTrouble::Forbidden) => Code::InputUrlForbidden,
                Some(UrlTrouble::Failed) => Code::InputUrlFailed,
                Some(UrlTrouble::Unreachable) => Code::InputUrlUnreachable,
            },
        };
        let detail = match faults.as_slice() {
            [only] if only.pointer.is_empty() => only.message.clone(),
            [only] => format!("{}: {}", only.param.as_deref().unwrap_or(&only.pointer), only.message),
            several => format!("{} things are wrong with the request", several.len()),
        };
        let mut problem = Self::new(code, detail);
        problem.errors = faults.into_iter().map(Detail::Fault).collect();
        problem
    }
}

/// Every way a run can end badly has its code; there is no wildcard.
impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        let detail = error.to_string();
        match error {
            RunError::Request { faults, url } => Self::from_faults(faults, url),
            RunError::NotReady { missing, .. } => {
                let incompatible = missing.is_incompatible();
                let code = if incompatible { Code::WorkflowIncompatible } else { Code::WorkflowNotReady };
                Self { missing: Some(missing), ..Self::new(code, detail) }
            }
            RunError::Unreachable { .. } | RunError::NoEngine { .. } => {
                Self::new(Code::EngineUnreachable, detail)
            }
            RunError::FileTooLarge { .. } => Self::new(Code::TooLarge, detail),
            RunError::Protocol { .. } => Self::new(Code::EngineProtocol, detail),
            RunError::Rejected { errors, .. } => Self::new(Code::WorkflowRejected, detail).complaints(errors),
            RunError::Failed { errors, .. } => Self::new(Code::WorkflowError, detail).complaints(errors),
            RunError::OutOfMemory { errors, .. } => Self::new(Code::Oom, detail).complaints(errors),
            RunError::Lost | RunError::Away { .. } => Self::new(Code::WorkerLost, detail),
            RunError::Stalled => Self::new(Code::EngineStalled, detail),
            RunError::Timeout { .. } => Self::new(Code::Timeout, detail),
            RunError::Cancelled => Self::new(Code::Cancelled, detail),
            RunError::OutputMissing { .. } => Self::new(Code::OutputMissing, detail),
            RunError::Storage { .. } => Self::new(Code::StorageFailed, detail),
            RunError::Gone { .. } => Self::new(Code::WorkflowGone, detail),
            RunError::Busy => Self::new(Code::Busy, detail),
            RunError::Stopping => Self::new(Code::Stopping, detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.retryable {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(location) = self.job.and_then(|job| HeaderValue::from_str(&format!("/jobs/{job}")).ok()) {
            headers.insert(LOCATION, location);
        }
        response
    }
}
