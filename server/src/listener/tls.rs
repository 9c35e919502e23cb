//! TLS with a certificate from files, read again when they change, or with one that the server gets for itself.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ConfigBuilder, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WantsServerCert,
};

use super::acme::Acme;

/// How often the files are looked at, when somebody connects.
const LOOK: Duration = Duration::from_secs(10);

/// Where the certificate comes from.
#[derive(Debug)]
pub enum Tls {
    /// Files.
    Files(Certificate),
    /// An authority.
    Acme(Arc<ServerConfig>),
}

impl Tls {
    /// With a certificate that an authority issues, now or soon.
    pub fn acme(acme: &Acme) -> Result<Self, String> {
        Ok(Self::Acme(acme.config()?))
    }

    /// As it is now.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        match self {
            Self::Files(certificate) => certificate.current(),
            Self::Acme(config) => Arc::clone(config),
        }
    }
}

/// A certificate and its key, in files of PEM.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    look: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    written: Written,
    looked: Instant,
}

/// When the two files were written.
type Written = [Option<SystemTime>; 2];

impl Certificate {
    /// Reads it.
    pub fn open(chain: PathBuf, key: PathBuf) -> Result<Self, String> {
        let written = written(&chain, &key);
        let config = Arc::new(read(&chain, &key)?);
        let state = Mutex::new(State { config, written, looked: Instant::now() });
        Ok(Self { chain, key, look: LOOK, state })
    }

    /// As it is now. One that cannot be read leaves the last one that could.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= self.look {
            state.looked = Instant::now();
            let now = written(&self.chain, &self.key);
            if now != state.written {
                match read(&self.chain, &self.key) {
                    Ok(config) => {
                        tracing::info!(certificate = %self.chain.display(), "the certificate was read again");
                        (state.config, state.written) = (Arc::new(config), now);
                    }
                    Err(error) => tracing::error!(error, "the certificate changed and cannot be read"),
                }
            }
        }
        Arc::clone(&state.config)
    }
}

fn written(chain: &Path, key: &Path) -> Written {
    [chain, key].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn read(chain: &Path, key: &Path) -> Result<ServerConfig, String> {
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates =
        certificates.map_err(|error| format!("`server.tls_cert` {}: {error}", chain.display()))?;
    if certificates.is_empty() {
        return Err(format!("`server.tls_cert` {}: there is no certificate in it", chain.display()));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("`server.tls_key` {}: {error}", key.display()))?;
    let mut config = builder()?
        .with_single_cert(certificates, secret)
        .map_err(|error| format!("`server.tls_cert` and `server.tls_key`: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// TLS as it is spoken here, whichever the certificate.
pub(super) fn builder() -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, String> {
    Ok(ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let paths = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&paths.0, made.cert.pem()).unwrap();
        std::fs::write(&paths.1, made.signing_key.serialize_pem()).unwrap();
        paths
    }

    #[test]
    fn certificates_are_read_again_and_bad_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = write(folder.path(), "a.example");
        let mut certificate = Certificate::open(chain.clone(), key.clone()).unwrap();
        certificate.look = Duration::ZERO;
        let first = certificate.current();
        assert!(Arc::ptr_eq(&first, &certificate.current()));
        let age = |seconds| {
            let later = SystemTime::now() + Duration::from_secs(seconds);
            std::fs::File::options().write(true).open(&chain).unwrap().set_modified(later).unwrap();
        };
        std::fs::write(&chain, "nonsense").unwrap();
        age(10);
        assert!(Arc::ptr_eq(&first, &certificate.current()));
        write(folder.path(), "b.example");
        age(20);
        assert!(!Arc::ptr_eq(&first, &certificate.current()));
        let missing = Certificate::open(folder.path().join("none.pem"), key).unwrap_err();
        assert!(missing.contains("server.tls_cert") && missing.contains("none.pem"), "{missing}");
    }
}
