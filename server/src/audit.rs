//! Audit log of the server: every changing call, and every refused call.
//!
//! An entry goes to the log (`terrace::audit`, one JSON object a line) and to the store, where entries make a chain.
//! Refused and failed calls are limited by address and by caller, so that they cannot fill either. Suppressed ones are
//! counted.

use crate::listen::Peer;
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use terrace_engine::store::{AuditEntry, AuditLog, AuditOutcome, Usage};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// The target of the log.
pub const TARGET: &str = "terrace::audit";
/// Entries for refused or failed calls of one caller from one address within [`WINDOW`].
const MOST_OF_ADDRESS: u32 = 10;
/// The same for one caller from all addresses. Callers without a known token count as one caller.
const MOST_OF_CALLER: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and callers with a count of their own; all others share one count.
const MOST_KEYS: usize = 1_024;
/// Entries of refused or failed calls that may wait for the store. Further entries go to the log only.
const MOST_PENDING: usize = 4_096;
/// Interval at which entries of refused and failed calls are written, in one transaction.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer waits for its entry. The entry is written even after that.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The audit log of a server. A task writes entries into the store, in the order of the calls.
pub struct Audit {
    store: Arc<dyn AuditLog>,
    throttle: Throttle,
    pending: Mutex<Pending>,
    /// Wakes the writer for an entry that a call waits for.
    urgent: Notify,
    end: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Entries that are not in the store yet.
#[derive(Default)]
struct Pending {
    entries: Vec<AuditEntry>,
    /// The calls that wait for them.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Audit {
    /// Starts the writer in the current Tokio runtime.
    #[must_use]
    pub fn start(store: Arc<dyn AuditLog>) -> Arc<Self> {
        let audit = Arc::new(Self {
            store,
            throttle: Throttle::default(),
            pending: Mutex::default(),
            urgent: Notify::new(),
            end: CancellationToken::new(),
            writer: Mutex::default(),
        });
        let writer = tokio::spawn(Arc::clone(&audit).run_writer());
        *audit.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        audit
    }

    /// Records a call. The entry of a change, and of each use of pipelines, is written before its call is answered.
    /// Other entries are written later, in batches.
    pub async fn record(&self, entry: AuditEntry) {
        match entry.outcome {
            AuditOutcome::Accepted | AuditOutcome::Done => self.change(entry).await,
            AuditOutcome::Refused | AuditOutcome::Failed => match self.throttle.admit(entry, Instant::now()) {
                Some(entry) if entry.usage.is_some() => self.change(entry).await,
                Some(entry) => self.enqueue(entry),
                None => {}
            },
        }
    }

    /// Writes the start or the end of a change.
    pub(crate) async fn change(&self, entry: AuditEntry) {
        log(&entry);
        let (written, is_written) = oneshot::channel();
        {
            let mut pending = self.pending();
            pending.entries.push(entry);
            pending.waiting.push(written);
        }
        self.urgent.notify_one();
        if timeout(ENTRY_TIMEOUT, is_written).await.is_err() {
            tracing::warn!(
                "the store takes long to write the audit log: a change continues before its entry is written"
            );
        }
    }

    /// Writes all remaining entries with the counts of suppressed calls, and ends the writer.
    pub async fn end(&self) {
        self.end.cancel();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && timeout(ENTRY_TIMEOUT, writer).await.is_err()
        {
            tracing::error!("the store takes long to write the audit log: its last entries are only in this log");
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs an entry, and queues it for the writer.
    fn enqueue(&self, entry: AuditEntry) {
        log(&entry);
        let mut pending = self.pending();
        if pending.entries.len() < MOST_PENDING {
            pending.entries.push(entry);
        } else {
            tracing::error!("the store takes long to write the audit log: an entry is only in this log");
        }
    }

    async fn run_writer(self: Arc<Self>) {
        let mut pause = interval(WRITE_INTERVAL);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.urgent.notified() => {}
                _ = pause.tick() => self.enqueue_counts(Instant::now()),
                () = self.end.cancelled() => break,
            }
            self.write().await;
        }
        self.enqueue_counts(Instant::now() + WINDOW);
        self.write().await;
    }

    /// Queues the counts of suppressed calls whose window is over.
    fn enqueue_counts(&self, now: Instant) {
        self.throttle.due(now).into_iter().for_each(|entry| self.enqueue(entry));
    }

    /// Writes the pending entries, in one transaction.
    async fn write(&self) {
        let Pending { entries, waiting } = std::mem::take(&mut *self.pending());
        if entries.is_empty() {
            return;
        }
        let count = entries.len();
        if let Err(error) = self.store.audit(entries).await {
            tracing::error!(%error, count, "the audit log in the store cannot be written: entries are only in this log");
        }
        for written in waiting {
            // The call may have been answered already.
            let _ = written.send(());
        }
    }
}

/// Writes an entry to the log.
pub fn log(entry: &AuditEntry) {
    let mut fields = json!(entry);
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("at".to_owned(), jiff::Timestamp::now().to_string().into());
    }
    fields.sort_all_objects();
    // The whole line is JSON.
    tracing::info!(target: TARGET, "{fields}");
}

/// The actor of a call without a known token.
pub const UNKNOWN: &str = "unknown";

/// The longest `X-Request-Id` in the audit log, in characters.
const LONGEST_REQUEST_ID: usize = 128;
/// The longest target in the audit log, in characters.
const LONGEST_TARGET: usize = 256;

/// The facts that the audit log takes from the head of a call.
#[derive(Debug, Clone)]
pub struct Head {
    target: String,
    request_id: Option<String>,
    peer: Option<IpAddr>,
    /// The use of pipelines, for calls about them.
    usage: Option<Usage>,
}

impl Head {
    /// The facts of a call.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let request_id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        Self {
            target: format!("{} {}", request.method(), full_path(matched, request.uri().path())),
            request_id: request_id.map(str::to_owned),
            peer: peer.map(|ConnectInfo(peer)| peer.address().ip().to_canonical()),
            usage: usage_action(request.method(), matched).map(|action| Usage {
                action: action.to_owned(),
                client_version: client_version(request.headers()),
                ..Usage::default()
            }),
        }
    }

    /// The use of pipelines, for calls about them.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage.clone()
    }

    /// The same call with the object that its body names.
    #[must_use]
    pub fn about(self, object: &str) -> Self {
        Self { target: format!("{}: {object}", self.target), ..self }
    }

    /// The entry of the call.
    #[must_use]
    pub fn entry(&self, actor: &str, action: &str, outcome: AuditOutcome, status: StatusCode) -> AuditEntry {
        AuditEntry {
            target: self.target.chars().take(LONGEST_TARGET).collect(),
            status: Some(status.as_u16()),
            request_id: self.request_id.as_ref().map(|id| id.chars().take(LONGEST_REQUEST_ID).collect()),
            peer: self.peer.map(|peer| peer.to_string()),
            ..AuditEntry::new(actor, action, outcome)
        }
    }
}

/// The routes of pipelines, below `/api/v1/pipelines`, with the actions of the usage log.
const PIPELINES: [(Method, &str, &str); 12] = [
    (Method::GET, "", "list"),
    (Method::GET, "/runs", "list"),
    (Method::GET, "/runs/{id}", "list"),
    (Method::GET, "/pods", "list"),
    (Method::GET, "/databases", "list"),
    (Method::GET, "/databases/{name}", "list"),
    (Method::POST, "/runs", "run"),
    (Method::POST, "/runs/{id}/cancel", "cancel"),
    (Method::GET, "/runs/{id}/logs", "logs"),
    (Method::GET, "/runs/{id}/events", "logs"),
    (Method::POST, "/databases/{name}/extend", "db.extend"),
    (Method::POST, "/databases/{name}/stop", "db.stop"),
];

/// The beginning of the routes of webhooks, which report pushes.
const HOOKS: &str = "/hooks/";

/// The action of a route in the usage log; `None` for routes that are not about pipelines.
fn usage_action(method: &Method, route: &str) -> Option<&'static str> {
    if route.starts_with(HOOKS) {
        return Some("deploy");
    }
    let path = route.strip_prefix("/api/v1/pipelines")?;
    let method = if method == Method::HEAD { &Method::GET } else { method };
    PIPELINES.iter().find(|(of, below, _)| of == method && *below == path).map(|(_, _, action)| *action)
}

/// The longest name of a client, in characters.
const LONGEST_CLIENT: usize = 128;

fn client_version(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(agent.chars().take(LONGEST_CLIENT).collect())
}

/// The full path of a call. A nested router has removed the first parts; the route still has them.
fn full_path(route: &str, path: &str) -> String {
    let nesting = route.matches('/').count().saturating_sub(path.matches('/').count());
    let nesting: Vec<&str> = route.split('/').take(nesting + 1).collect();
    nesting.join("/") + path
}

/// Limits entries of refused and failed calls, by address and by caller.
#[derive(Default)]
struct Throttle(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    of_addresses: HashMap<String, Count>,
    of_callers: HashMap<String, Count>,
}

/// Calls within [`WINDOW`].
struct Count {
    since: Instant,
    passed: u32,
    suppressed: u64,
    /// The last suppressed call.
    last: Option<AuditEntry>,
}

impl Count {
    /// The count of a key. All keys beyond the limit share one count.
    fn of(all: &mut HashMap<String, Self>, mut key: String, now: Instant) -> &mut Self {
        if all.len() >= MOST_KEYS && !all.contains_key(&key) {
            key.clear();
        }
        all.entry(key).or_insert(Self { since: now, passed: 0, suppressed: 0, last: None })
    }

    fn has_room(&mut self, most: u32, now: Instant) -> bool {
        if now.duration_since(self.since) >= WINDOW {
            (self.since, self.passed) = (now, 0);
        }
        self.passed < most
    }

    fn suppress(&mut self, entry: AuditEntry) {
        self.suppressed += 1;
        self.last = Some(entry);
    }

    /// Counts a call that passes, and returns the number of suppressed calls before it.
    fn pass(&mut self) -> u64 {
        self.passed += 1;
        self.last = None;
        std::mem::take(&mut self.suppressed)
    }

    /// One entry for all suppressed calls: the last of them, with the number of the others.
    fn summary(&mut self) -> Option<AuditEntry> {
        let last = self.last.take()?;
        Some(AuditEntry { suppressed: self.suppressed.saturating_sub(1), ..last })
    }
}

impl Throttle {
    /// The entry with the number of suppressed entries before it; `None` if the limit suppresses this entry, too.
    fn admit(&self, entry: AuditEntry, now: Instant) -> Option<AuditEntry> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { of_addresses, of_callers } = &mut *counts;
        let peer = entry.peer.as_deref().and_then(|peer| peer.parse().ok());
        let key = format!("{} {}", peer.map(network).unwrap_or_default(), entry.actor);
        let of_address = Count::of(of_addresses, key, now);
        if !of_address.has_room(MOST_OF_ADDRESS, now) {
            of_address.suppress(entry);
            return None;
        }
        let of_caller = Count::of(of_callers, entry.actor.clone(), now);
        if !of_caller.has_room(MOST_OF_CALLER, now) {
            of_caller.suppress(entry);
            return None;
        }
        let suppressed = of_address.pass() + of_caller.pass();
        Some(AuditEntry { suppressed, ..entry })
    }

    /// The entries of the counts whose window is over.
    fn due(&self, now: Instant) -> Vec<AuditEntry> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        let Counts { of_addresses, of_callers } = &mut *counts;
        for all in [of_addresses, of_callers] {
            all.retain(|_, count| {
                let is_over = now.duration_since(count.since) >= WINDOW;
                if is_over {
                    due.extend(count.summary());
                }
                !is_over
            });
        }
        due
    }
}

/// The key by which addresses are counted. One host may own a whole /64 network of IPv6.
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
    use async_trait::async_trait;
    use terrace_engine::store::{AuditPage, StoreError};

    fn refused(actor: &str) -> AuditEntry {
        AuditEntry::new(actor, "provision", AuditOutcome::Refused)
    }

    fn refused_at(peer: impl Into<IpAddr>, actor: &str) -> AuditEntry {
        AuditEntry { peer: Some(peer.into().to_string()), ..refused(actor) }
    }

    #[test]
    fn path_of_a_nested_route_is_whole() {
        for (route, path, whole) in [
            ("/v1/provision", "/v1/provision", "/v1/provision"),
            ("/api/v1/leases/{id}", "/leases/x", "/api/v1/leases/x"),
            ("/adapter/v1/provision/{token}/status", "/v1/provision/a/status", "/adapter/v1/provision/a/status"),
            ("", "/somewhere", "/somewhere"),
        ] {
            assert_eq!(full_path(route, path), whole);
        }
    }

    #[test]
    fn suppressed_calls_are_counted() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let passed = (0..100).filter(|_| throttle.admit(refused_at([192, 0, 2, 1], "eve"), now).is_some()).count();
        assert_eq!(passed, 10);
        assert!(throttle.admit(refused_at([192, 0, 2, 1], "ada"), now).is_some(), "another caller");
        assert!(throttle.admit(refused_at([192, 0, 2, 2], "eve"), now).is_some(), "another address");
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
            throttle.admit(refused("eve"), now);
        }
        assert_eq!(throttle.admit(refused("eve"), now + WINDOW).unwrap().suppressed, 5);
        assert!(throttle.due(now + WINDOW).is_empty());
    }

    #[test]
    fn addresses_share_a_count_by_network_and_counts_are_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let passed = |host: u128| {
            let peer = ((0x2001_0db8_u128 << 96) | host).to_be_bytes();
            throttle.admit(refused_at(peer, UNKNOWN), now).is_some()
        };
        assert_eq!((0..100).filter(|host| passed(*host)).count(), 10);
        for net in 1..10_000 {
            passed(net << 64);
        }
        let counts = throttle.0.lock().unwrap();
        assert_eq!((counts.of_addresses.len(), counts.of_callers.len()), (MOST_KEYS + 1, 1));
    }

    #[test]
    fn unknown_callers_of_many_addresses_get_sixty_entries_a_minute() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let admit = |net: u32, now| throttle.admit(refused_at(net.to_be_bytes(), UNKNOWN), now);
        assert_eq!((0..10_000).filter(|net| admit(*net, now).is_some()).count(), 60);
        // A known caller keeps its own share.
        assert!(throttle.admit(refused("ada"), now).is_some());
        let due = throttle.due(now + WINDOW);
        assert_eq!(
            due.iter().map(|entry| entry.suppressed).collect::<Vec<_>>(),
            [9_939],
            "one entry stands for the others"
        );
        assert_eq!((0..100).filter(|net| admit(*net, now + WINDOW).is_some()).count(), 60);
        assert_eq!(admit(0, now + 2 * WINDOW).unwrap().suppressed, 40);
    }

    /// A log that counts its transactions.
    #[derive(Default)]
    struct Log {
        transactions: Mutex<Vec<Vec<AuditEntry>>>,
    }

    #[async_trait]
    impl AuditLog for Log {
        async fn audit(&self, entries: Vec<AuditEntry>) -> Result<u64, StoreError> {
            let count = entries.len() as u64;
            self.transactions.lock().unwrap().push(entries);
            Ok(count)
        }

        async fn audit_page(&self, _: u64, _: usize) -> Result<AuditPage, StoreError> {
            Ok(AuditPage::default())
        }

        async fn prune_audit(&self, _: Duration) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    impl Log {
        fn actors(&self) -> Vec<Vec<String>> {
            let transactions = self.transactions.lock().unwrap();
            transactions.iter().map(|entries| entries.iter().map(|entry| entry.actor.clone()).collect()).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_calls_are_written_together() {
        let log = Arc::new(Log::default());
        let audit = Audit::start(Arc::<Log>::clone(&log));
        tokio::time::sleep(WRITE_INTERVAL / 2).await;
        for caller in ["ada", "bob", "eve"] {
            audit.record(refused(caller)).await;
        }
        assert!(log.actors().is_empty());
        tokio::time::sleep(WRITE_INTERVAL).await;
        assert_eq!(log.actors(), [["ada", "bob", "eve"]]);
        // A change waits for its entry, and the writer writes earlier entries with it.
        audit.record(refused("ada")).await;
        audit.record(AuditEntry::new("joe", "provision", AuditOutcome::Accepted)).await;
        assert_eq!(log.actors()[1..], [["ada", "joe"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_use_of_pipelines_is_written_before_its_answer() {
        let log = Arc::new(Log::default());
        let audit = Audit::start(Arc::<Log>::clone(&log));
        audit.record(AuditEntry { usage: Some(Usage::default()), ..refused("ada") }).await;
        assert_eq!(log.actors(), [["ada"]]);
        for _ in 0..20 {
            audit.record(AuditEntry { usage: Some(Usage::default()), ..refused("ada") }).await;
        }
        assert_eq!(log.actors().len(), 10, "others are counted");
    }

    #[tokio::test(start_paused = true)]
    async fn suppressed_calls_are_written_at_the_end() {
        let log = Arc::new(Log::default());
        let audit = Audit::start(Arc::<Log>::clone(&log));
        for _ in 0..15 {
            audit.record(refused("eve")).await;
        }
        audit.end().await;
        let suppressed: Vec<u64> = log.transactions.lock().unwrap().iter().flatten().map(|it| it.suppressed).collect();
        assert_eq!((suppressed.len(), suppressed.last()), (11, Some(&4)));
    }
}
