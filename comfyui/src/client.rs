use std::sync::{Arc, Once};

use rustls::{ClientConfig as TlsConfig, RootCertStore};

use crate::{ClientConfig, ClientError, http::Http, socket::Socket};

/// One ComfyUI. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    socket: Socket,
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the configured ComfyUI. Connects to nothing yet: the socket opens with the first submission.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let mut config = config;
        check(&mut config)?;
        let tls = tls();
        let config = Arc::new(config);
        let http = Http::new(config.clone(), tls.clone())?;
        let socket = Socket::new(config.clone(), Arc::new(tls));
        Ok(Self { inner: Arc::new(Inner { http, socket, config }) })
    }

    /// The configuration, as it is used.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// WebSocket frames that could not be read and were ignored, since the client was made.
    pub fn malformed_frames(&self) -> u64 {
        self.inner.socket.malformed()
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.inner.socket
    }
}

fn check(config: &mut ClientConfig) -> Result<(), ClientError> {
    let url = &mut config.url;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(ClientError::InvalidConfig("the URL must be http:// or https:// with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(ClientError::InvalidConfig("credentials belong in headers, not in the URL"));
    }
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(())
}

/// A TLS configuration whose roots are built in: a static binary on a bare box has no certificate store to ask.
pub fn tls() -> TlsConfig {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Someone else may have installed one first; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    TlsConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn configuration_is_checked_and_discreet() {
        let make = |url: &str| Client::new(ClientConfig::new(url.parse().unwrap()));
        assert!(make("ftp://x/").is_err());
        assert!(make("http://u:p@x/").is_err());
        assert_eq!(make("http://x/comfy").unwrap().config().url.path(), "/comfy/");
        let mut config = ClientConfig::new("http://x".parse().unwrap());
        assert!(config.headers.insert("Authorization", "Bearer secret"));
        assert!(!config.headers.insert("Origin", "x"));
        let shown = format!("{:?}", Client::new(config).unwrap());
        assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
    }
}
