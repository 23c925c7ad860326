//! What a cluster is asked, in terms of topics, their configuration, and access: without a word of terrace.

mod acls;
mod cluster;
mod configs;
mod groups;
mod topics;

pub(crate) use acls::{Binding, Filter};
pub(crate) use cluster::Operation;
pub(crate) use configs::Setting;
pub(crate) use topics::{NewTopic, Topic};

use crate::wire::{Access, Cluster};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// The resource type of a topic in requests about configurations, and in those about access.
const TOPIC: i8 = 2;

/// Brokers may work on a request for no longer, so that what it does is there by the time at which nobody waits for its
/// effect any more.
pub(crate) const LONGEST_WORK: Duration = Duration::from_secs(30);

/// A cluster.
pub(crate) struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Nobody is connected to yet.
    pub(crate) fn new(access: Access) -> Self {
        Self { cluster: Cluster::new(access) }
    }

    /// Who asks, as brokers call them, where that is known.
    pub(crate) fn principal(&self) -> Option<String> {
        self.cluster.principal()
    }

    /// How long brokers may work on a request, in milliseconds: no longer than its answer is waited for.
    fn patience(&self) -> i32 {
        i32::try_from(self.cluster.timeout().min(LONGEST_WORK).as_millis()).unwrap_or(i32::MAX)
    }
}

/// A text of a request.
fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
