//! Addresses and credentials of a cluster.

use super::credentials::Credentials;
use super::tls::Tls;
use std::sync::Arc;
use std::time::Duration;

/// Addresses and credentials of a cluster. Never printed with secrets.
#[derive(Clone)]
pub(crate) struct Access {
    /// The bootstrap brokers, `host:port`.
    pub(crate) bootstrap: Vec<String>,
    /// TLS, if the listener uses it.
    pub(crate) tls: Option<Arc<Tls>>,
    /// SASL credentials, if the listener requires them.
    pub(crate) credentials: Option<Credentials>,
    /// Timeout of a request.
    pub(crate) timeout: Duration,
}
