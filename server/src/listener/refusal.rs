//! The answer to a request whose head cannot be read, and which therefore never becomes a request.

use axum::http::StatusCode;
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    layers,
    problem::{Code, Problem},
};

/// How such requests are answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) simulated: bool,
}

impl Refusal {
    /// What to write in place of an answer without words that the HTTP library gives on its own. Answers of routes
    /// always have a body.
    pub(super) fn instead_of(self, written: &[u8], offence: Option<&'static str>) -> Option<Bytes> {
        let status = written.strip_prefix(b"HTTP/1.1 4")?.get(..2)?;
        let head = std::str::from_utf8(written).ok()?.strip_suffix("\r\n\r\n")?;
        if !head.split("\r\n").any(|line| line.eq_ignore_ascii_case("content-length: 0")) {
            return None;
        }
        let (code, detail) = match status {
            b"00" => (Code::MalformedRequest, offence.unwrap_or("the head of the request is not HTTP/1.1")),
            b"14" | b"31" => (Code::HeadTooLarge, "the address or the headers of the request are too large"),
            _ => return None,
        };
        Some(self.answer(code, detail))
    }

    fn answer(self, code: Code, detail: &str) -> Bytes {
        let id = Uuid::new_v4().to_string();
        let problem = layers::within_request(&id, || Problem::new(code, detail));
        tracing::debug!(request_id = %id, code = code.as_str(), detail, "refused an unreadable request");
        let body = problem.to_json();
        let status: StatusCode = problem.status();
        let simulated = if self.simulated { "x-comfyport-engine: simulator\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\nx-request-id: {id}\r\n\
             x-content-type-options: nosniff\r\n{simulated}connection: close\r\ncontent-length: {}\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
        );
        [head.as_bytes(), &body].concat().into()
    }
}
