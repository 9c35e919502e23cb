//! A certificate that the server gets for itself (ACME, RFC 8555), by the one way that needs nothing but the port that it
//! listens at: the authority connects there and asks for a certificate of the moment (TLS-ALPN-01, RFC 8737).

use std::{path::PathBuf, sync::Arc};

use futures_util::StreamExt;
use rustls::ServerConfig;
use tokio_rustls_acme::{AcmeConfig, AcmeState, EventError, EventOk, caches::DirCache};
use tokio_util::sync::CancellationToken;

/// What the authority calls its way to ask.
pub(super) const ASKS: &[u8] = b"acme-tls/1";

/// For which names, and of whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host names.
    pub domains: Vec<String>,
    /// Addresses of people.
    pub contact: Vec<String>,
    /// Where the authority's directory is.
    pub directory: String,
    /// Where the account's key and the certificate with its key are kept.
    pub folder: PathBuf,
}

/// Gets a certificate, and another one before it ends.
pub struct Acme {
    state: AcmeState<std::io::Error>,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Acme")
    }
}

impl Acme {
    /// Asks nobody yet. `tls` says who vouches for the authority itself.
    pub fn new(settings: &Settings, tls: rustls::ClientConfig) -> Result<Self, String> {
        let folder = &settings.folder;
        private(folder)
            .map_err(|error| format!("the folder of certificates {}: {error}", folder.display()))?;
        let contact = settings.contact.iter().map(|address| format!("mailto:{address}"));
        let config = AcmeConfig::new_with_client_tls_config(&settings.domains, Arc::new(tls))
            .contact(contact)
            .directory(&settings.directory)
            .cache(DirCache::new(folder.clone()));
        Ok(Self { state: config.state() })
    }

    /// How TLS is spoken with the certificate that there is; none comes about before there is one.
    pub(super) fn config(&self) -> Result<Arc<ServerConfig>, String> {
        let mut config = super::tls::builder()?.with_cert_resolver(self.state.resolver());
        config.alpn_protocols = vec![b"http/1.1".to_vec(), ASKS.to_vec()];
        Ok(Arc::new(config))
    }

    /// Sees to the certificate until told to stop. What goes wrong is tried again, after ever longer times.
    pub async fn keep(mut self, stop: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = self.state.next() => event,
            };
            match event {
                Some(Ok(event)) => tell(&event),
                Some(Err(error)) => complain(&error),
                None => return,
            }
        }
    }
}

fn tell(event: &EventOk) {
    match event {
        EventOk::DeployedCachedCert => tracing::info!("the certificate that was kept is used"),
        EventOk::DeployedNewCert => tracing::info!("the authority issued a certificate"),
        EventOk::CertCacheStore | EventOk::AccountCacheStore => {}
    }
}

fn complain(error: &EventError<std::io::Error, std::io::Error>) {
    tracing::error!(%error, "no certificate could be had; it is tried again");
}

/// A folder that nobody else looks into: there are keys in it.
fn private(folder: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}
