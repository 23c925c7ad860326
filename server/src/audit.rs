//! The audit log of the server: every call that changes something, and every call that is refused.
//!
//! An entry goes to the log (`terrace::audit`, one JSON object a line) and to the store, where entries make a chain. Refused
//! and failed calls are limited by address and caller, so that they cannot fill either; the suppressed ones are counted.

use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use terrace_engine::store::{AuditEntry, AuditOutcome, ServerStore};
use tokio::time::{Instant, timeout};

/// The target of the log.
pub const TARGET: &str = "terrace::audit";
/// Refused or failed calls of an address and caller that get entries within [`WINDOW`].
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and callers with a count each; all others share a count.
const MOST_KEYS: usize = 1_024;
/// How long an answer waits for its entry. The entry is written all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes the audit log.
pub(crate) struct Audit {
    store: Arc<dyn ServerStore>,
    throttle: Throttle,
}

impl Audit {
    pub(crate) fn new(store: Arc<dyn ServerStore>) -> Arc<Self> {
        Arc::new(Self { store, throttle: Throttle::default() })
    }

    /// Writes the entry of a change before its call is answered; those of other calls while they are.
    pub(crate) async fn record(self: &Arc<Self>, entry: AuditEntry, peer: Option<IpAddr>) {
        let entry = match entry.outcome {
            AuditOutcome::Accepted | AuditOutcome::Done => Some(entry),
            AuditOutcome::Refused | AuditOutcome::Failed => self.throttle.admit(peer, entry, Instant::now()),
        };
        let Some(entry) = entry else { return };
        let is_change = matches!(entry.outcome, AuditOutcome::Accepted | AuditOutcome::Done);
        let audit = Arc::clone(self);
        let writing = tokio::spawn(async move { audit.write(vec![entry]).await });
        if is_change && timeout(PATIENCE, writing).await.is_err() {
            tracing::warn!(
                "the store takes long to write the audit log: a call is answered before its entry is written"
            );
        }
    }

    /// Writes how a change ended that was accepted before.
    pub(crate) async fn ended(&self, entry: AuditEntry) {
        self.write(vec![entry]).await;
    }

    /// Writes the counts of calls that were left out, as their time is over. At the end of the server it is, for all.
    pub(crate) async fn flush(&self, is_last: bool) {
        let now = if is_last { Instant::now() + WINDOW } else { Instant::now() };
        self.write(self.throttle.due(now)).await;
    }

    /// Writes the counts again and again.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WINDOW / 4).await;
            self.flush(false).await;
        }
    }

    async fn write(&self, entries: Vec<AuditEntry>) {
        if entries.is_empty() {
            return;
        }
        for entry in &entries {
            log(entry);
        }
        if let Err(error) = self.store.audit(entries).await {
            tracing::error!(%error, "the audit log in the store cannot be written: the entry is in this log alone");
        }
    }
}

/// Logs an entry.
pub fn log(entry: &AuditEntry) {
    let mut fields = json!(entry);
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("at".to_owned(), jiff::Timestamp::now().to_string().into());
    }
    fields.sort_all_objects();
    // The whole line is JSON.
    tracing::info!(target: TARGET, "{fields}");
}

/// Lets so many entries pass in a while.
#[derive(Default)]
struct Throttle(Mutex<HashMap<String, Passed>>);

struct Passed {
    since: Instant,
    count: u32,
    suppressed: u64,
    last: AuditEntry,
}

impl Throttle {
    /// The entry, with the number of those before it that did not pass; nothing where it does not pass.
    fn admit(&self, peer: Option<IpAddr>, entry: AuditEntry, now: Instant) -> Option<AuditEntry> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = format!("{} {}", peer.map(network).unwrap_or_default(), entry.actor);
        if all.len() >= MOST_KEYS && !all.contains_key(&key) {
            key = String::new();
        }
        let passed =
            all.entry(key).or_insert_with(|| Passed { since: now, count: 0, suppressed: 0, last: entry.clone() });
        if now.duration_since(passed.since) >= WINDOW {
            let suppressed = std::mem::take(&mut passed.suppressed);
            (passed.since, passed.count) = (now, 1);
            return Some(AuditEntry { suppressed, ..entry });
        }
        if passed.count < MOST {
            passed.count += 1;
            return Some(entry);
        }
        passed.suppressed += 1;
        passed.last = entry;
        None
    }

    /// One entry for all that did not pass in a time that is over: the last of them, with the number of the others.
    fn due(&self, now: Instant) -> Vec<AuditEntry> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        all.retain(|_, passed| {
            let is_over = now.duration_since(passed.since) >= WINDOW;
            if is_over && passed.suppressed > 0 {
                due.push(AuditEntry { suppressed: passed.suppressed - 1, ..passed.last.clone() });
            }
            !is_over
        });
        due
    }
}

/// What addresses are counted by: one host may have all of a network of IPv6.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(actor: &str) -> AuditEntry {
        AuditEntry::new(actor, "provision", AuditOutcome::Refused)
    }

    #[test]
    fn refused_calls_are_counted_where_they_are_left_out() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let peer: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        let passed = (0..100).filter(|_| throttle.admit(peer, refused("eve"), now).is_some()).count();
        assert_eq!(passed, 10);
        assert!(throttle.admit(peer, refused("ada"), now).is_some(), "another caller");
        assert!(throttle.admit(Some("192.0.2.2".parse().unwrap()), refused("eve"), now).is_some(), "another address");
        assert!(throttle.due(now).is_empty());
        let due = throttle.due(now + WINDOW);
        // The last suppressed call is the entry itself.
        assert_eq!(due.iter().map(|entry| (entry.actor.as_str(), entry.suppressed)).collect::<Vec<_>>(), [("eve", 89)]);
        assert!(throttle.due(now + WINDOW).is_empty());
    }

    #[test]
    fn next_refused_call_counts_those_before_it() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..15 {
            throttle.admit(None, refused("eve"), now);
        }
        assert_eq!(throttle.admit(None, refused("eve"), now + WINDOW).unwrap().suppressed, 5);
        assert!(throttle.due(now + WINDOW).is_empty());
    }

    #[test]
    fn addresses_share_a_count_by_network_and_counts_are_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let passed = |host: u128| {
            let peer = IpAddr::from(((0x2001_0db8_u128 << 96) | host).to_be_bytes());
            throttle.admit(Some(peer), refused("unknown"), now).is_some()
        };
        assert_eq!((0..100).filter(|host| passed(*host)).count(), 10);
        assert_eq!((0..10_000).filter(|net| passed(*net << 64)).count(), MOST_KEYS - 1 + 10);
    }
}
