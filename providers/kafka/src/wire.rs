//! Kafka's protocol: connections that are let in, requests and their answers, and which broker is asked.
//!
//! The messages are those of the crate `kafka-protocol`, which is generated from Kafka's own definitions
//! (<https://kafka.apache.org/protocol>). What is here is how they travel.

mod ask;
mod cluster;
mod connection;
mod counted;
mod sasl;
mod scram;
mod stream;
mod tls;

pub(crate) use ask::Ask;
pub(crate) use cluster::{Cluster, address_of};
pub(crate) use sasl::{Credentials, Mechanism};
pub(crate) use tls::{Tls, Unusable};

use std::sync::Arc;
use std::time::Duration;

/// How brokers are reached, and who asks. What is secret in it is never shown.
#[derive(Clone)]
pub(crate) struct Access {
    /// The first brokers to ask, `host:port`.
    pub(crate) bootstrap: Vec<String>,
    /// TLS, where the listener has it.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Who asks, where the listener wants to know it by SASL.
    pub(crate) credentials: Option<Credentials>,
    /// How long one request may take.
    pub(crate) timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// There is no connection: nothing was sent.
    Unreachable(String),
    /// A broker does not let us in: nothing was sent.
    NotLetIn(String),
    /// It was sent, and nobody knows what came of it.
    Lost(String),
    /// What came is no answer of a broker.
    Garbled(String),
    /// The brokers do not know the call: nothing was sent.
    Unsupported(String),
}

impl Unanswered {
    /// True where nothing was sent.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotLetIn(_) | Self::Unsupported(_))
    }
}
