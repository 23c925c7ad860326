//! The server's certificate, read from files and reloaded when they change.

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How often the files are checked: certificates are usually renewed long before they expire.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The files of the certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The chain, as PEM, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// Notified when the files should be read again at once.
    pub reload: Arc<Notify>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {why}")]
    Unreadable {
        /// The path of the file.
        path: String,
        /// The reason.
        why: String,
    },
    /// A file has no certificate or key.
    #[error("`{path}` contains no {what}: {why}")]
    File {
        /// The path of the file.
        path: String,
        /// The expected content.
        what: &'static str,
        /// The problem.
        why: String,
    },
    /// The key does not belong to the certificate, or has an unsupported type.
    #[error("the certificate `{chain}` and the key `{key}` cannot be used together: {why}")]
    Pair {
        /// The path of the chain.
        chain: String,
        /// The path of the key.
        key: String,
        /// The problem.
        why: String,
    },
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When a file cannot be read, or the key does not belong to the certificate.
    pub fn read(&self) -> Result<ServerConfig, CertificateError> {
        let content_error = |path: &Path, what, why: &dyn std::fmt::Display| CertificateError::File {
            path: path.display().to_string(),
            what,
            why: why.to_string(),
        };
        let read_error = |path: &Path, what, error: pem::Error| match error {
            pem::Error::Io(error) => {
                CertificateError::Unreadable { path: path.display().to_string(), why: error.to_string() }
            }
            error => content_error(path, what, &error),
        };
        let chain = CertificateDer::pem_file_iter(&self.chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| read_error(&self.chain, "certificate", error))?;
        if chain.is_empty() {
            return Err(content_error(&self.chain, "certificate", &"it has no `BEGIN CERTIFICATE` line"));
        }
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| read_error(&self.key, "private key", error))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = builder.with_safe_default_protocol_versions().map(ServerConfigBuilder::with_no_client_auth);
        let config = config.and_then(|builder| builder.with_single_cert(chain, key));
        let mut config = config.map_err(|error| CertificateError::Pair {
            chain: self.chain.display().to_string(),
            key: self.key.display().to_string(),
            why: error.to_string(),
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The content of both files; `None` for an unreadable one.
    fn bytes(&self) -> [Option<Vec<u8>>; 2] {
        [std::fs::read(&self.chain).ok(), std::fs::read(&self.key).ok()]
    }
}

type ServerConfigBuilder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;

/// The configuration of connections, and the task that reloads it.
///
/// # Errors
/// When the certificate cannot be used.
pub(crate) fn watch(certificate: Certificate) -> Result<(RustlsConfig, JoinHandle<()>), CertificateError> {
    let mut known = certificate.bytes();
    let config = RustlsConfig::from_config(Arc::new(certificate.read()?));
    let renewed = config.clone();
    let reloader = tokio::spawn(async move {
        loop {
            // A notification ends the wait early.
            let _ = tokio::time::timeout(CHECK_INTERVAL, certificate.reload.notified()).await;
            let now = certificate.bytes();
            if now == known {
                continue;
            }
            match certificate.read() {
                Ok(config) => {
                    renewed.reload_from_config(Arc::new(config));
                    tracing::info!("reloaded the certificate");
                    known = now;
                }
                // Perhaps the files are being replaced: the old pair is used until the new one fits.
                Err(error) => tracing::warn!(%error, "cannot use the new certificate: keeping the old one"),
            }
        }
    });
    Ok((config, reloader))
}
