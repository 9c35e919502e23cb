//! Routes that extensions of ComfyUI add to its own.

use bytes::Bytes;
use reqwest::Method;

use crate::{Client, ClientError};

/// What goes along with a request to an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtensionBody {
    /// Nothing, and no `Content-Type`.
    None,
    /// JSON, as text.
    Json(String),
    /// Plain text.
    Text(String),
}

/// What an extension answered, whatever its status.
#[derive(Debug, Clone)]
pub struct ExtensionAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, up to `max_body`.
    pub body: Bytes,
}

impl Client {
    /// Asks a route of an extension: `segments` of its path, joined to the base and encoded one by one, and parameters.
    /// Every status is an answer.
    pub async fn extension(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: ExtensionBody,
    ) -> Result<ExtensionAnswer, ClientError> {
        let mut url = self.http().url(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http().open(method, url).timeout(self.config().request_timeout);
        let request = match body {
            ExtensionBody::None => request,
            ExtensionBody::Json(text) => request.header("content-type", "application/json").body(text),
            ExtensionBody::Text(text) => {
                request.header("content-type", "text/plain; charset=utf-8").body(text)
            }
        };
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok(ExtensionAnswer { status, body: self.http().body(response).await? })
    }
}
