//! Rules of `[acme]`.

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use url::Url;

use super::Acme;

impl Acme {
    /// How the authority is spoken to.
    pub fn tls(&self) -> Result<ClientConfig, String> {
        if self.ca.as_os_str().is_empty() {
            return Ok(comfyport_comfyui::tls());
        }
        let faulty = |error: String| format!("`acme.ca` {}: {error}", self.ca.display());
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(&self.ca).map_err(|error| faulty(error.to_string()))?
        {
            let certificate = certificate.map_err(|error| faulty(error.to_string()))?;
            roots.add(certificate).map_err(|error| faulty(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(faulty("there is no certificate in it".to_owned()));
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// `files` says whether there is a certificate in files already.
    pub(super) fn check(&self, files: bool) -> Result<(), String> {
        if self.domains.is_empty() {
            return Ok(());
        }
        if files {
            return Err("there is one certificate: `acme.domains` and `server.tls_cert` exclude each other"
                .to_owned());
        }
        let is_name = |name: &String| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            !name.is_empty() && name.bytes().all(fits) && name.parse::<std::net::IpAddr>().is_err()
        };
        if let Some(wrong) = self.domains.iter().find(|name| !is_name(name)) {
            return Err(format!(
                "`acme.domains` has {wrong:?}: host names such as images.example.com are expected, without wildcards"
            ));
        }
        if !self.terms_agreed {
            return Err("`acme.terms_agreed` must be true: the authority issues certificates to those who agree to its \
                        terms of service"
                .to_owned());
        }
        if let Some(wrong) =
            self.contact.iter().find(|address| !address.contains('@') || address.contains(':'))
        {
            return Err(format!(
                "`acme.contact` has {wrong:?}: addresses such as ops@example.com are expected"
            ));
        }
        match Url::parse(&self.directory) {
            Ok(url) if url.scheme() == "https" => Ok(()),
            _ => Err("`acme.directory` must be an https address".to_owned()),
        }
    }
}
