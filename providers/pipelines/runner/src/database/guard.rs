//! Guards of databases: a small process per database that ends it when it expires, and shows its page until then.
//!
//! The process that creates or starts a database starts its guard, which outlives it. A guard holds a lock while it
//! lives, so other processes can see it, and no second one starts. Nothing depends on a guard alone. If it is killed or
//! the machine restarts, the next command that opens the provider starts another, and `terrace serve` checks at
//! intervals.

use super::clock::Moment;
use super::record::{Engine, Record};
use super::{Databases, lock, server};
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Interval between reads of the record, whose deadline may change, and which may be removed.
const PERIOD: Duration = Duration::from_millis(500);
/// File with the port of the page.
const PAGE: &str = "page.json";
/// Time to wait for the page of a new guard.
const PAGE_TIMEOUT: Duration = Duration::from_secs(15);
/// Interval between checks of the page.
const POLL: Duration = Duration::from_millis(20);
/// Number of attempts to get the lock, since a check for a guard holds it for a moment.
const TRIES: usize = 10;

/// A live guard.
#[derive(Debug)]
pub struct Guard {
    _lock: lock::FileLock,
    databases: Databases,
    name: String,
}

impl Databases {
    /// Starts missing guards of all databases. Without a guard program, ends expired databases.
    pub async fn guard_all(&self) {
        let records = match self.list() {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(%error, "databases cannot be read");
                return;
            }
        };
        for record in records.iter().filter(|record| !record.is_expired) {
            if self.guard.is_some() {
                self.start_guard(record);
            } else if let Err(error) = self.reap(&record.name).await {
                tracing::warn!(database = record.name, %error, "an expired database cannot be ended");
            }
        }
    }

    /// Starts a missing guard, and waits for its page.
    pub(super) async fn guard_one(&self, record: &Record) {
        self.start_guard(record);
        if self.guard.is_none() || !record.has_page {
            return;
        }
        let started = Instant::now();
        while started.elapsed() < PAGE_TIMEOUT {
            if self.page_port(&record.name).is_some_and(is_open) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        tracing::warn!(database = record.name, "the page of the database does not start");
    }

    /// Starts a guard if one is needed and none is running.
    pub(super) fn start_guard(&self, record: &Record) {
        let Some(guard) = self.guard.as_ref().filter(|_| is_needed(record)) else { return };
        if lock::is_held(&self.guard_lock(&record.name)) {
            return;
        }
        let mut command = Command::new(&guard.program);
        command.args(&guard.arguments).arg(&self.folder).arg(&record.name);
        // A separate process group protects it from the end of a terminal and from Ctrl-C.
        command.process_group(0).current_dir("/").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = command.spawn() {
            tracing::warn!(database = record.name, %error, "the guard of the database cannot be started: only commands check its deadline");
        }
    }

    pub(super) fn guard_lock(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.guard"))
    }

    /// Becomes the guard of a database; returns nothing if it has one.
    pub async fn become_guard(&self, name: &str) -> Option<Guard> {
        for _ in 0..TRIES {
            if let Some(lock) = lock::try_acquire(&self.guard_lock(name)).ok()? {
                return Some(Guard { _lock: lock, databases: self.clone(), name: name.to_owned() });
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    /// Port of a database's page in its record.
    #[must_use]
    pub fn page_port(&self, name: &str) -> Option<u16> {
        serde_json::from_slice(&fs::read(self.folder_of(name).join(PAGE)).ok()?).ok()
    }
}

/// Returns true if a database needs a guard.
const fn is_needed(record: &Record) -> bool {
    record.deadline.is_some() || record.has_page
}

/// Returns true if the port accepts connections.
fn is_open(port: u16) -> bool {
    TcpStream::connect((super::record::HOST, port)).is_ok()
}

impl Guard {
    /// Records the port of the page.
    pub fn record_page(&self, port: u16) {
        let folder = self.databases.folder_of(&self.name);
        if let Err(error) = crate::files::write(&folder.join(PAGE), &port) {
            tracing::warn!(%error, "the port of the page cannot be recorded");
        }
    }

    /// Returns true if the database is to have a page.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.databases.get(&self.name).is_ok_and(|record| record.is_some_and(|record| record.has_page))
    }

    /// Guards the database until it has expired and ended, was removed, or `stop` is cancelled. Returns true if the
    /// guard is still needed, but `with_page` no longer matches the record.
    pub async fn watch(&self, with_page: bool, stop: &CancellationToken) -> bool {
        let mut guarded: Option<Record> = None;
        loop {
            let now = Moment::now();
            let left = match self.databases.get(&self.name) {
                // A new database of the same name has its own guard.
                Ok(Some(record))
                    if !record.is_expired && guarded.get_or_insert_with(|| record.clone()).id == record.id =>
                {
                    if record.has_page != with_page {
                        return true;
                    }
                    if !is_needed(&record) {
                        return false;
                    }
                    self.anchor(&record, &now).await;
                    record.deadline.as_ref().map_or(PERIOD, |deadline| deadline.left(&now))
                }
                Ok(None) if !self.databases.folder().exists() => {
                    self.end_orphan(guarded.as_ref()).await;
                    return false;
                }
                Ok(_) => return false,
                // Another process may be writing it.
                Err(_) => PERIOD,
            };
            if left.is_zero() {
                match self.databases.reap(&self.name).await {
                    Ok(true) => return false,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "an expired database cannot be ended yet"),
                }
            }
            tokio::select! {
                // Timers stop while the machine is suspended, but lifetimes do not: so sleep only briefly.
                () = tokio::time::sleep(left.clamp(POLL, PERIOD)) => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Stops the server of a removed project: its data may be elsewhere, without a record.
    async fn end_orphan(&self, guarded: Option<&Record>) {
        let Some(record) = guarded.filter(|record| record.engine == Engine::Postgres) else { return };
        if let Err(error) = server::stop(&record.data).await {
            tracing::warn!(%error, "the server of a removed project does not end");
        }
    }

    /// Rewrites the deadline by the uptime of this boot.
    async fn anchor(&self, record: &Record, now: &Moment) {
        if record.deadline.as_ref().and_then(|deadline| deadline.anchored(now)).is_none() {
            return;
        }
        let Ok(_lock) = self.databases.lock(&self.name).await else { return };
        let Ok(Some(mut record)) = self.databases.get(&self.name) else { return };
        if let Some(anchored) = record.deadline.as_ref().and_then(|deadline| deadline.anchored(&Moment::now())) {
            record.deadline = Some(anchored);
            if let Err(error) = self.databases.write(&record) {
                tracing::warn!(%error, "the deadline of a database cannot be recorded");
            }
        }
    }
}
