//! What keeps a database: a small process of its own that ends it when its time is over, and shows its page until then.
//!
//! It is started by whoever makes or starts a database, outlives that, and holds a lock for as long as it lives: so everybody
//! can see whether there is one, and nobody starts two. Nothing depends on it alone: when it was killed, or the machine was
//! started anew, the next command that opens the provider starts another, and `terrace serve` looks every now and then.

use super::clock::Moment;
use super::record::{Engine, Record};
use super::{Databases, lock, server};
use crate::run::write_whole;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// How often a record is looked at: its time may be changed, and it may go.
const PERIOD: Duration = Duration::from_millis(500);
/// The file with the port of the page.
const PAGE: &str = "page.json";
/// How long whoever started a guard waits for its page.
const STARTING: Duration = Duration::from_secs(15);
/// How often it looks.
const POLL: Duration = Duration::from_millis(20);
/// Who only looks whether there is a guard holds the lock for a moment: it is tried so often.
const TRIES: usize = 10;

/// How a guard is started: this program with these arguments, the folder of all databases, and the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardProgram {
    /// The program.
    pub program: PathBuf,
    /// What it is called with first.
    pub arguments: Vec<String>,
}

/// A guard, as long as it lives.
#[derive(Debug)]
pub struct Guard {
    _lock: lock::Held,
    databases: Databases,
    name: String,
}

impl Databases {
    /// Sees to it that each database has what keeps it, or ends what is due where nothing can keep it.
    pub async fn guard_all(&self) {
        let records = match self.list() {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(%error, "databases cannot be looked at");
                return;
            }
        };
        for record in records.iter().filter(|record| !record.is_expired) {
            if self.guard.is_some() {
                self.start_guard(record);
            } else if let Err(error) = self.reap(&record.name).await {
                tracing::warn!(database = record.name, %error, "a database whose time is over cannot be ended");
            }
        }
    }

    /// Starts a guard where there is none, and waits for its page.
    pub(super) async fn guard_one(&self, record: &Record) {
        self.start_guard(record);
        if self.guard.is_none() || !record.has_page {
            return;
        }
        let begun = Instant::now();
        while begun.elapsed() < STARTING {
            if self.page_port(&record.name).is_some_and(is_open) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        tracing::warn!(database = record.name, "the page of the database does not come up");
    }

    /// Starts a guard where there is none and one is needed.
    pub(super) fn start_guard(&self, record: &Record) {
        let Some(guard) = self.guard.as_ref().filter(|_| is_needed(record)) else { return };
        if lock::is_held(&self.guard_lock(&record.name)) {
            return;
        }
        let mut command = Command::new(&guard.program);
        command.args(&guard.arguments).arg(&self.folder).arg(&record.name);
        // It is nobody's job: neither the end of a terminal nor Ctrl-C in it is about it.
        command.process_group(0).current_dir("/").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = command.spawn() {
            tracing::warn!(database = record.name, %error, "what keeps the database cannot be started: commands look after it");
        }
    }

    pub(super) fn guard_lock(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.guard"))
    }

    /// Becomes the guard of a database; nothing where it has one.
    pub async fn become_guard(&self, name: &str) -> Option<Guard> {
        for _ in 0..TRIES {
            if let Some(lock) = lock::try_hold(&self.guard_lock(name)).ok()? {
                return Some(Guard { _lock: lock, databases: self.clone(), name: name.to_owned() });
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    /// The port at which a database's page was said to be.
    #[must_use]
    pub fn page_port(&self, name: &str) -> Option<u16> {
        serde_json::from_slice(&fs::read(self.folder_of(name).join(PAGE)).ok()?).ok()
    }
}

/// True when a database needs what keeps it.
const fn is_needed(record: &Record) -> bool {
    record.deadline.is_some() || record.has_page
}

/// True when something takes connections there.
fn is_open(port: u16) -> bool {
    TcpStream::connect((super::record::HOST, port)).is_ok()
}

impl Guard {
    /// Says where the page is.
    pub fn tell_page(&self, port: u16) {
        let folder = self.databases.folder_of(&self.name);
        if let Err(error) = write_whole(&folder.join(PAGE), &port) {
            tracing::warn!(%error, "where the page is cannot be written down");
        }
    }

    /// True when the database wants a page.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.databases.get(&self.name).is_ok_and(|record| record.is_some_and(|record| record.has_page))
    }

    /// Keeps the database until its time is over and it is ended, or it is gone, or somebody wants this to stop. Answers true
    /// where it is still to be kept, and what is wanted of its page is not what it was (`with_page`) any more.
    pub async fn keep(&self, with_page: bool, stop: &CancellationToken) -> bool {
        let mut kept: Option<Record> = None;
        loop {
            let now = Moment::now();
            let left = match self.databases.get(&self.name) {
                // Another one of that name has a guard of its own.
                Ok(Some(record))
                    if !record.is_expired && kept.get_or_insert_with(|| record.clone()).id == record.id =>
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
                    self.end_orphan(kept.as_ref()).await;
                    return false;
                }
                Ok(_) => return false,
                // It may be written right now.
                Err(_) => PERIOD,
            };
            if left.is_zero() {
                match self.databases.reap(&self.name).await {
                    Ok(true) => return false,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "a database whose time is over cannot be ended yet"),
                }
            }
            tokio::select! {
                // A sleeping machine's time counts, and the timer's does not go on then: so it is short.
                () = tokio::time::sleep(left.clamp(POLL, PERIOD)) => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Stops a server whose project somebody removed: its data may lie elsewhere, and nobody knows of it any more.
    async fn end_orphan(&self, kept: Option<&Record>) {
        let Some(record) = kept.filter(|record| record.engine == Engine::Postgres) else { return };
        if let Err(error) = server::stop(&record.data).await {
            tracing::warn!(%error, "the server of a project that was removed does not end");
        }
    }

    /// Writes down what is left by the clock of this boot.
    async fn anchor(&self, record: &Record, now: &Moment) {
        if record.deadline.as_ref().and_then(|deadline| deadline.anchored(now)).is_none() {
            return;
        }
        let Ok(_held) = self.databases.hold(&self.name).await else { return };
        let Ok(Some(mut record)) = self.databases.get(&self.name) else { return };
        if let Some(anchored) = record.deadline.as_ref().and_then(|deadline| deadline.anchored(&Moment::now())) {
            record.deadline = Some(anchored);
            if let Err(error) = self.databases.write(&record) {
                tracing::warn!(%error, "how long a database is kept cannot be written down");
            }
        }
    }
}
