//! State of the stand-in broker, and its prepared failures.

use kafka_protocol::messages::ApiKey;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The configuration keys of topics, with their defaults.
const KEYS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("flush.ms", "9223372036854775807"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("preallocate", "false"),
    ("retention.ms", "604800000"),
];

/// Additional keys of Confluent's brokers.
/// <https://docs.confluent.io/platform/current/installation/configuration/topic-configs.html>
const KEYS_OF_CONFLUENT: &[(&str, &str)] = &[
    ("confluent.tier.enable", "false"),
    ("confluent.tier.local.hotset.ms", "86400000"),
    ("confluent.value.schema.validation", "false"),
];

/// The keys that the broker supports, with their defaults.
pub(super) fn keys(is_confluent: bool) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    KEYS.iter().chain(KEYS_OF_CONFLUENT.iter().filter(move |_| is_confluent))
}

/// When a call fails: before or after its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// The call that fails, counted from 0. Connection setup and reads count too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) call: usize,
    pub(crate) when: When,
}

/// A prepared error answer, sent after the call's effect or instead of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PreparedError {
    pub(crate) key: ApiKey,
    pub(crate) code: i16,
    pub(crate) has_effect: bool,
}

/// An entry of an access control list: type, name, pattern, principal, host, operation, permission.
pub(crate) type Entry = (i8, String, i8, String, String, i8, i8);

#[derive(Debug, Clone)]
pub(crate) struct TopicState {
    pub(crate) id: Uuid,
    pub(crate) partitions: i32,
    pub(crate) replicas: i16,
    /// The topic's own configuration.
    pub(crate) config: BTreeMap<String, String>,
    /// Number of records in the first partition.
    pub(crate) records: i64,
    /// Number of metadata answers that still omit the topic.
    pub(crate) hidden: usize,
    /// Number of brokers that partitions are being moved to.
    pub(crate) adding: i32,
}

/// State of the broker.
#[derive(Debug, Default)]
pub(crate) struct BrokerState {
    pub(crate) address: String,
    /// Password of `admin`. Without one, the broker needs no authentication.
    pub(crate) password: Option<&'static str>,
    /// Password of `limited`, whose rights on the cluster follow the ACL entries. Only the reported cluster rights
    /// depend on them; every other request is allowed.
    pub(crate) limited: Option<&'static str>,
    /// The broker is a Confluent broker.
    pub(crate) is_confluent: bool,
    /// The caller may not list the configuration keys of a new topic.
    pub(crate) hides_keys: bool,
    /// The broker does not report rights.
    pub(crate) is_silent: bool,
    /// A request that the broker does not support.
    pub(crate) unknown: Option<ApiKey>,
    /// Requests that are denied to every user.
    pub(crate) denied: Vec<ApiKey>,
    /// Number of calls for which the broker is not the controller.
    pub(crate) not_controller_calls: usize,
    /// Number of metadata answers that omit a new topic.
    pub(crate) lag: usize,
    pub(crate) topics: BTreeMap<String, TopicState>,
    pub(crate) acls: Vec<Entry>,
    /// Consumer groups.
    pub(crate) groups: Vec<String>,
    pub(crate) fault: Option<Fault>,
    /// Prepared errors for the next calls.
    pub(crate) prepared_errors: Vec<PreparedError>,
    /// After the first of these requests, the second is denied.
    pub(crate) denied_after: Option<(ApiKey, ApiKey)>,
    /// The timeout of each received request.
    pub(crate) timeouts: Vec<i32>,
    /// Number of returned ACL entries.
    pub(crate) returned_entries: usize,
    /// All received requests.
    pub(crate) log: Vec<ApiKey>,
    /// Number of topics created so far.
    pub(crate) created_topics: u128,
    /// A quota: the first create of each topic is refused with this pause.
    pub(crate) pause: Option<Duration>,
    /// Time of each refusal by the quota.
    pub(crate) throttled: BTreeMap<String, Instant>,
    /// Topics whose create was repeated before the pause was over.
    pub(crate) early: Vec<String>,
    /// Number of concurrent calls that a call briefly waits for.
    pub(crate) min_concurrent: usize,
    /// Number of running calls, and its maximum.
    pub(crate) at_once: usize,
    pub(crate) max_concurrent: usize,
}

impl BrokerState {
    /// Logs a call; returns when it fails, if it does.
    pub(super) fn log_call(&mut self, key: ApiKey) -> Option<When> {
        let call = self.log.len();
        self.log.push(key);
        if let Some((_, denied)) = self.denied_after.filter(|(after, _)| self.log.contains(after) && *after != key) {
            self.denied = vec![denied];
        }
        self.fault.filter(|fault| fault.call == call).map(|fault| fault.when)
    }

    /// The log without connection setup.
    pub(crate) fn requests(&self) -> Vec<ApiKey> {
        let connecting = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
        self.log.iter().filter(|key| !connecting.contains(key)).copied().collect()
    }

    /// Takes the prepared error of a call.
    pub(super) fn take_error(&mut self, key: ApiKey) -> Option<PreparedError> {
        let at = self.prepared_errors.iter().position(|error| error.key == key)?;
        Some(self.prepared_errors.remove(at))
    }

    pub(super) fn is_denied(&self, key: ApiKey) -> bool {
        self.denied.contains(&key)
    }

    /// Counts a running call.
    pub(super) fn start_call(&mut self) {
        self.at_once += 1;
        self.max_concurrent = self.max_concurrent.max(self.at_once);
    }

    /// Returns true once for each topic.
    pub(super) fn is_throttled(&mut self, name: &str) -> bool {
        let Some(pause) = self.pause else { return false };
        match self.throttled.get(name) {
            None => {
                self.throttled.insert(name.to_owned(), Instant::now());
                true
            }
            Some(at) => {
                if at.elapsed() < pause {
                    self.early.push(name.to_owned());
                }
                false
            }
        }
    }

    /// Returns true for the configured number of calls.
    pub(super) fn is_not_controller(&mut self) -> bool {
        let is_not_controller = self.not_controller_calls > 0;
        self.not_controller_calls = self.not_controller_calls.saturating_sub(1);
        is_not_controller
    }
}
