use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use comfyport_workflow::json::{self, Value};
use reqwest::{Method, RequestBuilder, Response, redirect};
use url::Url;

use crate::{ClientConfig, ClientError};

/// Requests to one ComfyUI.
pub(crate) struct Http {
    client: reqwest::Client,
    config: Arc<ClientConfig>,
}

impl Http {
    pub(crate) fn new(config: Arc<ClientConfig>, tls: rustls::ClientConfig) -> Result<Self, ClientError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .hickory_dns(true)
            // Neither the environment nor an answer may send a prompt to another host.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.read_timeout)
            .default_headers(config.headers.0.clone())
            .build()?;
        Ok(Self { client, config })
    }

    /// The address of a route: segments are joined to the base with `/` and encoded one by one.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.config.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A request without a time limit for the whole.
    pub(crate) fn open(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// A request within `request_timeout`.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.open(method, self.url(segments)).timeout(self.config.request_timeout)
    }

    pub(crate) fn post(&self, route: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, &[route]).header("content-type", "application/json").body(body)
    }

    /// GETs JSON.
    pub(crate) async fn get(&self, route: &str) -> Result<Value, ClientError> {
        self.get_at(&[route]).await
    }

    pub(crate) async fn get_at(&self, segments: &[&str]) -> Result<Value, ClientError> {
        parse(&self.get_bytes(segments).await?)
    }

    pub(crate) async fn get_bytes(&self, segments: &[&str]) -> Result<Bytes, ClientError> {
        let response = self.request(Method::GET, segments).send().await?;
        self.body(success(response)?).await
    }

    /// POSTs JSON and ignores what a successful answer says.
    pub(crate) async fn command(&self, route: &str, body: String) -> Result<(), ClientError> {
        let response = self.post(route, body).send().await?;
        success(response).map(drop)
    }

    /// The whole body, up to `max_body`.
    pub(crate) async fn body(&self, mut response: Response) -> Result<Bytes, ClientError> {
        let limit = self.config.max_body;
        let too_large = || ClientError::TooLarge { limit: limit as u64 };
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

pub(crate) fn parse(body: &[u8]) -> Result<Value, ClientError> {
    json::parse(body).map(|parsed| parsed.value).map_err(ClientError::NotJson)
}

pub(crate) fn success(response: Response) -> Result<Response, ClientError> {
    if response.status().is_success() { Ok(response) } else { Err(status(&response)) }
}

pub(crate) fn status(response: &Response) -> ClientError {
    let retry_after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    ClientError::Status {
        status: response.status().as_u16(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// A JSON string.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    json::write_text(text, &mut out);
    out
}
