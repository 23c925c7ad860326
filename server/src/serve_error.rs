//! Errors that end the server.

use crate::metrics::MetricsError;
use crate::tls::CertificateError;
use terrace_engine::store::StoreError;

/// Errors that end the server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The server cannot accept connections.
    #[error("cannot accept connections: {0}")]
    Listen(#[from] std::io::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The store does not return its identity.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client cannot be built.
    #[error("cannot build an HTTP client: {0}")]
    Client(String),
    /// Another part of the process collects metrics already.
    #[error("cannot collect metrics: {0}")]
    Metrics(#[from] MetricsError),
}
