//! The server's certificate: read from files, and read again when they change.

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

/// How often the files are looked at: whoever renews certificates replaces them long before they end.
const EVERY: Duration = Duration::from_secs(60);

/// Where the certificate is.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The chain, as PEM, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// Told when the files are to be read again now.
    pub again: Arc<Notify>,
}

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {why}")]
    Unread {
        /// Where it is.
        path: String,
        /// Why not.
        why: String,
    },
    /// A file holds something else.
    #[error("`{path}` holds no {what}: {why}")]
    File {
        /// Where it is.
        path: String,
        /// What was looked for in it.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The key is not that of the certificate, or of a kind that is not supported.
    #[error("the certificate `{chain}` and the key `{key}` cannot be used together: {why}")]
    Pair {
        /// Where the chain is.
        chain: String,
        /// Where the key is.
        key: String,
        /// What is wrong.
        why: String,
    },
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When one cannot be read, or they do not belong together.
    pub fn read(&self) -> Result<ServerConfig, CertificateError> {
        let wrong = |path: &Path, what, why: &dyn std::fmt::Display| CertificateError::File {
            path: path.display().to_string(),
            what,
            why: why.to_string(),
        };
        let unlike = |path: &Path, what, error: pem::Error| match error {
            pem::Error::Io(error) => {
                CertificateError::Unread { path: path.display().to_string(), why: error.to_string() }
            }
            error => wrong(path, what, &error),
        };
        let chain = CertificateDer::pem_file_iter(&self.chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| unlike(&self.chain, "certificate", error))?;
        if chain.is_empty() {
            return Err(wrong(&self.chain, "certificate", &"it has no `BEGIN CERTIFICATE`"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unlike(&self.key, "private key", error))?;
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

    /// What the files hold; nothing of one that cannot be read.
    fn bytes(&self) -> [Option<Vec<u8>>; 2] {
        [std::fs::read(&self.chain).ok(), std::fs::read(&self.key).ok()]
    }
}

type ServerConfigBuilder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;

/// What connections are taken with, and the task that renews it.
///
/// # Errors
/// When the certificate cannot be used.
pub(crate) fn watch(certificate: Certificate) -> Result<(RustlsConfig, JoinHandle<()>), CertificateError> {
    let mut known = certificate.bytes();
    let config = RustlsConfig::from_config(Arc::new(certificate.read()?));
    let renewed = config.clone();
    let watching = tokio::spawn(async move {
        loop {
            // Who waits is told; who looks every minute needs no telling.
            let _ = tokio::time::timeout(EVERY, certificate.again.notified()).await;
            let now = certificate.bytes();
            if now == known {
                continue;
            }
            match certificate.read() {
                Ok(config) => {
                    renewed.reload_from_config(Arc::new(config));
                    tracing::info!("the certificate was renewed");
                    known = now;
                }
                // In the middle of being replaced, perhaps: the old one holds until both files fit.
                Err(error) => tracing::warn!(%error, "the new certificate cannot be used: the old one is kept"),
            }
        }
    });
    Ok((config, watching))
}
