//! Talking to a server.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use comfyport_endpoint::{Artifact, Call};
use reqwest::{
    Method, RequestBuilder, Response,
    header::{ACCEPT, HeaderMap},
};
use serde::de::DeserializeOwned;
use url::Url;

use crate::{Error, Events, Problem, Run, RunOptions, Upload, Verdict, body};

const CONNECT: Duration = Duration::from_secs(10);

/// However long a run takes, the server says something every ten seconds.
const SILENCE: Duration = Duration::from_mins(1);

/// A server and the connections to it. Clones share them.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    headers: HeaderMap,
}

impl Client {
    /// A client of the server at an address such as `http://127.0.0.1:3000`.
    ///
    /// It gives up a connection that is not made within ten seconds, or on which the server is silent for a minute.
    /// How long a run may take is up to [`RunOptions::timeout`] and to the server.
    pub fn new(url: &str) -> Result<Self, Error> {
        let tls = tls().map_err(|error| Error::Tls(error.to_string()))?;
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE);
        Self::with_http(url, builder.tls_backend_preconfigured(tls).build()?)
    }

    /// A client that uses connections made elsewhere, with proxies, timeouts and certificates of their own.
    pub fn with_http(url: &str, http: reqwest::Client) -> Result<Self, Error> {
        let bad = |why: &dyn std::fmt::Display| Error::Url { url: url.to_owned(), why: why.to_string() };
        let base: Url = url.trim_end_matches('/').parse().map_err(|error: url::ParseError| bad(&error))?;
        if !matches!(base.scheme(), "http" | "https") || base.query().is_some() || base.fragment().is_some() {
            return Err(bad(&"it must be `http://…` or `https://…` without a query"));
        }
        Ok(Self { http, base, headers: HeaderMap::new() })
    }

    /// The same client, sending these headers with every request to the server, and with none to other hosts.
    #[must_use]
    pub fn with_headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// Runs a workflow and waits for its end.
    ///
    /// It listens to the events of the run, so that a long silence breaks no connection on the way. Dropping the future
    /// cancels the run.
    pub async fn run<R: Call>(&self, request: &R) -> Result<Run<R::Response>, Error>
    where
        R::Response: Send + 'static,
    {
        self.run_with(request, &RunOptions::default()).await
    }

    /// Runs a workflow with options and waits for its end.
    pub async fn run_with<R: Call>(
        &self,
        request: &R,
        options: &RunOptions,
    ) -> Result<Run<R::Response>, Error>
    where
        R::Response: Send + 'static,
    {
        self.events(request, options).await?.result().await
    }

    /// Runs a workflow and tells what happens as it happens. Dropping the stream cancels the run.
    pub async fn events<R: Call>(
        &self,
        request: &R,
        options: &RunOptions,
    ) -> Result<Events<R::Response>, Error>
    where
        R::Response: Send + 'static,
    {
        let post = self.open(Method::POST, &R::endpoint().path).header(ACCEPT, "text/event-stream");
        let response = success(body::put(post, request, options).send().await?).await?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(|declared| declared.starts_with("text/event-stream")) {
            let what = "a stream of events was asked for, and this is none".to_owned();
            return Err(Error::Unexpected { status: response.status().as_u16(), what });
        }
        Ok(Events::of(response))
    }

    /// Asks whether a request would run. Nothing is submitted.
    pub async fn check<R: Call>(&self, request: &R) -> Result<Verdict, Error> {
        let post = self.open(Method::POST, &format!("{}:check", R::endpoint().path));
        json(body::put(post, request, &RunOptions::default()).send().await?).await
    }

    /// Uploads a file, of whatever size, to be used in requests until it expires. `reqwest::Body::wrap_stream` sends it
    /// piece by piece.
    pub async fn upload(&self, file: impl Into<reqwest::Body>) -> Result<Upload, Error> {
        json(self.open(Method::POST, "uploads").body(file).send().await?).await
    }

    /// Lets go of an upload before it expires. Runs that have it keep it.
    pub async fn forget(&self, upload: &Upload) -> Result<(), Error> {
        success(self.open(Method::DELETE, &format!("uploads/{}", upload.id)).send().await?).await?;
        Ok(())
    }

    /// The bytes of an output file.
    pub async fn fetch(&self, artifact: &Artifact) -> Result<Bytes, Error> {
        if let Some(data) = &artifact.data {
            let bytes = STANDARD.decode(data);
            return bytes.map(Bytes::from).map_err(|error| Error::Unexpected {
                status: 200,
                what: format!("the data of `{}`: {error}", artifact.filename),
            });
        }
        Ok(self.download(artifact).await?.bytes().await?)
    }

    /// The answer that carries an output file, for reading it piece by piece.
    pub async fn download(&self, artifact: &Artifact) -> Result<Response, Error> {
        let get = if artifact.url.starts_with('/') {
            self.open(Method::GET, artifact.url.trim_start_matches('/'))
        } else {
            let url = self
                .base
                .join(&artifact.url)
                .map_err(|error| Error::Url { url: artifact.url.clone(), why: error.to_string() })?;
            let own = url.origin() == self.base.origin();
            let get = self.http.get(url);
            if own { get.headers(self.headers.clone()) } else { get }
        };
        success(get.send().await?).await
    }

    /// A request to a route of the server, which may itself be below a path.
    fn open(&self, method: Method, route: &str) -> RequestBuilder {
        let url = format!("{}/{route}", self.base.as_str().trim_end_matches('/'));
        self.http.request(method, url).headers(self.headers.clone())
    }
}

async fn success(response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await?;
    if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
        return Err(Error::Problem(Box::new(problem)));
    }
    let what = String::from_utf8_lossy(&body).chars().take(200).collect();
    Err(Error::Unexpected { status: status.as_u16(), what })
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    let response = success(response).await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    serde_json::from_slice(&body).map_err(|error| Error::Unexpected { status, what: error.to_string() })
}

/// With roots and a provider of its own, so that nothing has to be set up for the whole process.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
