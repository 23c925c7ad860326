//! TLS by ring, with the certificate authorities of a file or the machine, and an optional client certificate.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The TLS client configuration.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

/// An unusable certificate or key file. The text never repeats its content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// The setting that names the file.
    pub(crate) setting: &'static str,
    /// The reason.
    pub(crate) reason: String,
}

impl Tls {
    /// Reads certificates and keys.
    ///
    /// # Errors
    /// If a file has no certificate or key.
    pub(crate) fn new(authorities: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Self, Unusable> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("securityProtocol", &error))?
            .with_root_certificates(roots(authorities)?);
        let config = match own {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_file_iter(chain)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| unusable("certFile", &error))?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("keyFile", &error))?;
                config.with_client_auth_cert(chain, key).map_err(|error| unusable("keyFile", &error))?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Performs the TLS handshake.
    ///
    /// # Errors
    /// If either side does not trust the other.
    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a valid host name"))?;
        self.0.connect(name, stream).await.map_err(|error| error.to_string())
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        // On a machine without authorities, nothing is trusted, and the handshake fails.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable("caFile", &error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable("caFile", &error))?;
        roots.add(certificate).map_err(|error| unusable("caFile", &error))?;
    }
    match roots.is_empty() {
        true => Err(unusable("caFile", &"the file has no certificate")),
        false => Ok(roots),
    }
}

fn unusable(setting: &'static str, reason: &dyn std::fmt::Display) -> Unusable {
    Unusable { setting, reason: reason.to_string() }
}
