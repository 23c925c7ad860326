//! Client side of Kafka's protocol: authenticated connections, requests and answers, and the choice of a broker.
//!
//! The messages are those of the crate `kafka-protocol`, which is generated from Kafka's own definitions
//! (<https://kafka.apache.org/protocol>). This module transports them.

mod cluster;
mod connection;
mod count_check;
mod request;
mod sasl;
mod scram;
mod stream;
mod tls;

pub(crate) use cluster::{Cluster, address_of};
pub(crate) use request::Request;
pub(crate) use sasl::{Credentials, Mechanism};
pub(crate) use tls::{Tls, Unusable};

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

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// The broker rejected the credentials: nothing was sent.
    Rejected(String),
    /// The request was sent; its outcome is unknown.
    Lost(String),
    /// The peer sent bytes that are not a broker's answer.
    Garbled(String),
    /// The brokers do not support the request: nothing was sent.
    Unsupported(String),
}

impl NoAnswer {
    /// Returns true if nothing was sent.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Rejected(_) | Self::Unsupported(_))
    }
}
