//! What the broker keeps, and which call is to fail.

use kafka_protocol::messages::ApiKey;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The configuration keys that topics have, with their defaults.
const KEYS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("flush.ms", "9223372036854775807"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("preallocate", "false"),
    ("retention.ms", "604800000"),
];

/// What topics of Confluent's brokers have besides.
/// <https://docs.confluent.io/platform/current/installation/configuration/topic-configs.html>
const KEYS_OF_CONFLUENT: &[(&str, &str)] = &[
    ("confluent.tier.enable", "false"),
    ("confluent.tier.local.hotset.ms", "86400000"),
    ("confluent.value.schema.validation", "false"),
];

/// The keys that a broker knows, with their defaults.
pub(super) fn keys(is_confluent: bool) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    KEYS.iter().chain(KEYS_OF_CONFLUENT.iter().filter(move |_| is_confluent))
}

/// When a call fails: before it has any effect, or after all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// The one call that fails, counted from 0. What connections need, and what only looks, counts, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) call: usize,
    pub(crate) when: When,
}

/// What a call is answered with instead of its own answer, after its effect or without it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Says {
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
    /// What it has of its own.
    pub(crate) config: BTreeMap<String, String>,
    /// So many records in its first partition.
    pub(crate) records: i64,
    /// So many answers do not know yet that it is there.
    pub(crate) hidden: usize,
    /// So many brokers are to have its partitions, too, which they do not yet.
    pub(crate) adding: i32,
}

/// What the broker keeps.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) address: String,
    /// That of `admin`, which everybody has to give; without one everybody is let in.
    pub(crate) password: Option<&'static str>,
    /// That of `limited`, who may do what entries say, and of whom nothing but that is decided: what they may do to the
    /// cluster is told. Everybody else may do everything.
    pub(crate) limited: Option<&'static str>,
    /// It is one of Confluent.
    pub(crate) is_confluent: bool,
    /// Nobody may know which configuration a new topic has.
    pub(crate) hides_keys: bool,
    /// It does not tell who may do what.
    pub(crate) is_silent: bool,
    /// A call that it does not know.
    pub(crate) unknown: Option<ApiKey>,
    /// Calls that nobody may make.
    pub(crate) denied: Vec<ApiKey>,
    /// Who is not the controller for so many calls.
    pub(crate) elsewhere: usize,
    /// A new topic is not seen by so many questions.
    pub(crate) lag: usize,
    pub(crate) topics: BTreeMap<String, TopicState>,
    pub(crate) acls: Vec<Entry>,
    /// Consumer groups.
    pub(crate) groups: Vec<String>,
    pub(crate) fault: Option<Fault>,
    /// What the next calls are answered with.
    pub(crate) says: Vec<Says>,
    /// The second of the calls may not be made once the first one was.
    pub(crate) denied_after: Option<(ApiKey, ApiKey)>,
    /// How long each request lets the broker work on it.
    pub(crate) patience: Vec<i32>,
    /// So many entries were told.
    pub(crate) told_entries: usize,
    /// Every call.
    pub(crate) log: Vec<ApiKey>,
    /// So many topics came so far.
    pub(crate) born: u128,
    /// A quota: each topic is refused once, with this pause.
    pub(crate) pause: Option<Duration>,
    /// When each topic was refused for the quota.
    pub(crate) throttled: BTreeMap<String, Instant>,
    /// Topics that were asked for again before their pause was over.
    pub(crate) early: Vec<String>,
    /// Calls wait for so many others at once, for a moment.
    pub(crate) gather: usize,
    /// So many calls are worked on, and were at most.
    pub(crate) at_once: usize,
    pub(crate) most_at_once: usize,
}

impl Side {
    /// Notes a call, and says whether it is the one that fails.
    pub(super) fn begins(&mut self, key: ApiKey) -> Option<When> {
        let call = self.log.len();
        self.log.push(key);
        if let Some((_, denied)) = self.denied_after.filter(|(after, _)| self.log.contains(after) && *after != key) {
            self.denied = vec![denied];
        }
        self.fault.filter(|fault| fault.call == call).map(|fault| fault.when)
    }

    /// The log without what connections need.
    pub(crate) fn asked(&self) -> Vec<ApiKey> {
        let connecting = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
        self.log.iter().filter(|key| !connecting.contains(key)).copied().collect()
    }

    /// What a call is answered with instead of its own answer.
    pub(super) fn says(&mut self, key: ApiKey) -> Option<Says> {
        let at = self.says.iter().position(|says| says.key == key)?;
        Some(self.says.remove(at))
    }

    pub(super) fn is_denied(&self, key: ApiKey) -> bool {
        self.denied.contains(&key)
    }

    /// A call that is worked on from now on.
    pub(super) fn enters(&mut self) {
        self.at_once += 1;
        self.most_at_once = self.most_at_once.max(self.at_once);
    }

    /// Whether a topic has to wait, which it has to once.
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

    /// True for as many calls as it is said to be true for.
    pub(super) fn is_elsewhere(&mut self) -> bool {
        let is_elsewhere = self.elsewhere > 0;
        self.elsewhere = self.elsewhere.saturating_sub(1);
        is_elsewhere
    }
}
