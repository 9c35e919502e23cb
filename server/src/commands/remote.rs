//! A running server, as commands talk to it.

use std::time::Duration;

use reqwest::{
    Method, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect,
};
use serde_json::Value;
use url::Url;

/// For the whole of a question and its answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Largest answer that is read, in bytes.
const LARGEST: usize = 64 << 20;

/// For a stream of events: jobs may take long.
const STREAM: Duration = Duration::from_hours(24 * 7);

/// Why something was not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    /// In words.
    pub(super) message: String,
    /// The status, if a server answered.
    pub(super) status: Option<StatusCode>,
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self { message, status: None }
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.message
    }
}

/// A running server.
#[derive(Debug)]
pub(super) struct Remote {
    http: reqwest::Client,
    base: Url,
    has_key: bool,
}

impl Remote {
    /// Connects to nothing yet.
    pub(super) fn new(server: &Url) -> Result<Self, String> {
        if !matches!(server.scheme(), "http" | "https") || server.host().is_none() {
            return Err(format!("`--server` must be an address such as http://127.0.0.1:3000, not {server}"));
        }
        let mut headers = HeaderMap::new();
        // Never on the command line: others on the machine can read that.
        if let Some(key) = std::env::var("COMFYPORT_API_KEY").ok().filter(|key| !key.is_empty()) {
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value = value.map_err(|_| "COMFYPORT_API_KEY is not an API key".to_owned())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let has_key = !headers.is_empty();
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .tls_backend_preconfigured(comfyport_comfyui::tls())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { http, base: server.clone(), has_key })
    }

    /// GETs JSON. The segments of the path are encoded one by one.
    pub(super) async fn get(&self, path: &[&str]) -> Result<Value, String> {
        self.find(path, &[]).await
    }

    /// GETs JSON, with a query.
    pub(super) async fn find(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, String> {
        Ok(self.ask(Method::GET, path, query).await?)
    }

    /// POSTs nothing and reads JSON.
    pub(super) async fn post(&self, path: &[&str]) -> Result<Value, String> {
        Ok(self.ask(Method::POST, path, &[]).await?)
    }

    /// DELETEs, and reads JSON.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<Value, Refusal> {
        self.ask(Method::DELETE, path, &[]).await
    }

    /// Opens a stream of events, after the one with this number. Nothing if there are none after it.
    pub(super) async fn stream(
        &self,
        path: &[&str],
        seen: Option<&str>,
    ) -> Result<Option<Response>, Refusal> {
        let mut request = self.http.get(self.url(path, &[])).timeout(STREAM);
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let response = request.send().await.map_err(|error| self.away(&error))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            status if status.is_success() => Ok(Some(response)),
            _ => Err(self.refusal(response).await),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn ask(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Refusal> {
        let request = self.http.request(method, self.url(path, query));
        let response = request.send().await.map_err(|error| self.away(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let body = self.body(response).await?;
        Ok(serde_json::from_slice(&body).map_err(|_| self.stranger())?)
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, String> {
        read(response).await.map_err(|why| format!("{}: {why}", self.base))
    }

    /// Problems say in words what is wrong and what to do.
    async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status();
        let said: Option<Value> =
            self.body(response).await.ok().and_then(|body| serde_json::from_slice(&body).ok());
        let detail = said.as_ref().and_then(|problem| problem.get("detail")?.as_str());
        let mut message = detail.map_or_else(|| format!("{} ({status})", self.stranger()), printable);
        if status == StatusCode::UNAUTHORIZED {
            let set = if self.has_key {
                "the one in COMFYPORT_API_KEY is not taken"
            } else {
                "COMFYPORT_API_KEY is not set"
            };
            message = format!("{message}; {set}");
        }
        Refusal { message, status: Some(status) }
    }

    fn away(&self, error: &reqwest::Error) -> String {
        let why = if error.is_connect() {
            "nothing answers there"
        } else if error.is_timeout() {
            "it did not answer in time"
        } else {
            "the connection broke"
        };
        let base = &self.base;
        format!(
            "no comfyport at {base}: {why}; start one with `comfyport serve`, or name another with --server or \
             COMFYPORT_SERVER"
        )
    }

    fn stranger(&self) -> String {
        format!("what answers at {} is not a comfyport, or not this release", self.base)
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "the answer broke off".to_owned())? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("the answer is larger than {LARGEST} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Text of others, without what terminals obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}
