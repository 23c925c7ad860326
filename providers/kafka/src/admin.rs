//! Requests to a cluster about topics, their configuration, and access. Nothing here depends on terrace.

mod acls;
mod cluster;
mod configs;
mod groups;
mod topics;

pub(crate) use acls::{Binding, Filter};
pub(crate) use cluster::Operation;
pub(crate) use configs::Setting;
pub(crate) use topics::{NewTopic, Topic};

use crate::wire::{Access, Cluster, NoAnswer};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// The resource type of a topic in requests about configurations and access.
const TOPIC: i8 = 2;

/// Longest time that brokers may work on a request, so that its effect is visible before the caller stops waiting for
/// it.
pub(crate) const MAX_BROKER_TIMEOUT: Duration = Duration::from_secs(30);

/// Time limit of a probe, which has to end with its retries before its caller stops waiting for it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Client for the admin requests of a cluster.
pub(crate) struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Creates a client without connecting.
    pub(crate) fn new(access: Access) -> Self {
        Self { cluster: Cluster::new(access) }
    }

    /// The caller's principal as brokers name it, if known.
    pub(crate) fn principal(&self) -> Option<String> {
        self.cluster.principal()
    }

    /// Asks all bootstrap brokers at once, and waits at most 10 s. Returns the failure of each if no broker answers.
    pub(crate) async fn probe(&self) -> Result<(), Vec<NoAnswer>> {
        self.cluster.probe(self.cluster.timeout().min(PROBE_TIMEOUT)).await
    }

    /// Time in milliseconds that brokers may work on a request: at most the caller's timeout.
    fn broker_timeout(&self) -> i32 {
        i32::try_from(self.cluster.timeout().min(MAX_BROKER_TIMEOUT).as_millis()).unwrap_or(i32::MAX)
    }
}

/// A string field of a request.
fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
