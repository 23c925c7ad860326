//! Connection to a database server, with retries of queries and commits after an outage.

use super::columns;
use super::connection::{self, ConnectionClass};
use super::error::Failure;
use super::session::{self, Parameters, Purpose, Session};
use crate::clock::Clock;
use crate::columns::ReadColumns;
use crate::url::PostgresUrl;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use terrace_store::StoreError;
use tokio::runtime::Runtime;
use tokio_postgres::Row;
use uuid::Uuid;

/// Maximum retries of a transaction after conflicts.
const MOST_RETRIES: usize = 8;
/// The longest pause before such a retry.
const LONGEST_CONFLICT_PAUSE: Duration = Duration::from_millis(500);

/// How long a call waits for a server that vanished while in use. A restarting server is back within this time, and
/// leases without a renewal are still valid.
pub(super) const OUTAGE_WAIT: Duration = Duration::from_secs(12);

/// The shared context of all work on sessions.
#[derive(Clone)]
pub(super) struct Context {
    /// `None` if the database's clock is used.
    pub(super) clock: Option<Arc<dyn Clock>>,
    /// The origin by which this store recognises its own notifications.
    pub(super) origin: Arc<str>,
    /// True if an earlier attempt may have committed: its connection was lost before the answer.
    pub(super) is_repeated: bool,
}

impl Context {
    /// The time of a test clock, for statements that otherwise read the database's clock:
    /// `coalesce($1, clock_timestamp())`.
    pub(super) fn test_time(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| columns::time(clock.now()))
    }

    /// The current time of the store.
    pub(super) async fn now(&self, session: &Session) -> Result<Timestamp, Failure> {
        match &self.clock {
            Some(clock) => Ok(clock.now()),
            None => parse_time(&session.query(NOW, &[]).await?),
        }
    }

    /// The rows of a statement, and the time of the store after it.
    pub(super) async fn then_now(
        &self,
        session: &Session,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<(Vec<Row>, Timestamp), Failure> {
        match &self.clock {
            Some(clock) => Ok((session.query(sql, parameters).await?, clock.now())),
            None => {
                let (rows, now) = session.both((sql, parameters), (NOW, &[])).await?;
                Ok((rows, parse_time(&now)?))
            }
        }
    }
}

/// The current time of the database.
const NOW: &str = "SELECT clock_timestamp()";

/// The time in the answer of a database.
fn parse_time(rows: &[Row]) -> Result<Timestamp, Failure> {
    let time = session::one(rows, |columns| columns.time())?;
    time.ok_or_else(|| Failure::Unreadable("the database does not tell the time".to_owned()))
}

/// A database, and the thread that talks to it.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) driver: connection::Driver,
    pub(super) pool: Pool,
    /// The connections for [`ConnectionClass::Renewal`] and [`ConnectionClass::Call`].
    calls: Pool,
    pub(super) context: Context,
    /// True after a call has waited in vain: until the server answers again, no call waits.
    is_unavailable: Arc<AtomicBool>,
    runtime: Option<Runtime>,
}

impl Drop for Server {
    /// The last owner of a store may be a task, which must not wait for a thread.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Server {
    /// Creates a server without connecting.
    pub(super) fn new(url: &PostgresUrl, clock: &Arc<dyn Clock>) -> Result<Self, StoreError> {
        let refuse = |reason| StoreError::Unavailable { action: "opened", reason };
        let driver = connection::driver(url).map_err(refuse)?;
        let pool = connection::pool(&driver, ConnectionClass::Work).map_err(refuse)?;
        let calls = connection::pool(&driver, ConnectionClass::Call).map_err(refuse)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("state-postgres")
            .enable_all()
            .build()
            .map_err(|error| refuse(format!("cannot start a thread: {error}")))?;
        let clock = (!clock.is_system_clock()).then(|| Arc::clone(clock));
        Ok(Self {
            url: url.to_string(),
            driver,
            pool,
            calls,
            context: Context { clock, origin: Uuid::now_v7().to_string().into(), is_repeated: false },
            is_unavailable: Arc::default(),
            runtime: Some(runtime),
        })
    }

    /// Runs work on the store's own thread, to its end.
    pub(super) async fn run<T, W>(&self, action: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let stopped = || StoreError::Unavailable { action, reason: "its thread has stopped".to_owned() };
        let done = self.runtime.as_ref().ok_or_else(stopped)?.spawn(work).await.map_err(|_| stopped())?;
        done.map_err(|failure| failure.into_store_error(action, &self.url))
    }

    /// The connections of a class.
    fn connections(&self, class: ConnectionClass) -> Connections {
        let pool = match class {
            ConnectionClass::Work => &self.pool,
            ConnectionClass::Renewal | ConnectionClass::Call => &self.calls,
        };
        Connections { class, pool: pool.clone(), all: [self.pool.clone(), self.calls.clone()] }
    }

    /// Reads. During an outage, the call waits up to `outage_wait`.
    pub(super) async fn read<T, W>(&self, action: &'static str, outage_wait: Duration, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'s> FnOnce(&'s Session, &'s Context) -> BoxFuture<'s, Result<T, Failure>>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.read_as(ConnectionClass::Work, Purpose::Read, action, outage_wait, work).await
    }

    /// Reads for a class, in one or several statements.
    pub(super) async fn read_as<T, W>(
        &self,
        class: ConnectionClass,
        purpose: Purpose,
        action: &'static str,
        outage_wait: Duration,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'s> FnOnce(&'s Session, &'s Context) -> BoxFuture<'s, Result<T, Failure>>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let (connections, context, is_unavailable) =
            (self.connections(class), self.context.clone(), Arc::clone(&self.is_unavailable));
        let reading = async move {
            let mut backoff = Backoff::of(outage_wait, &is_unavailable);
            loop {
                match connections.attempt(purpose, &context, |session, context| work.clone()(session, context)).await {
                    Err(failure) if failure.is_gone() && backoff.wait_after(&failure).await => {}
                    done => {
                        backoff.note_success(&done);
                        return done;
                    }
                }
            }
        };
        self.run(action, with_limit(class.longest(purpose), Failure::TimedOut, reading)).await
    }

    /// Writes. If transactions lock in different orders, the server aborts one of them, and the store retries it, as it
    /// does after an outage. If the connection is lost during the commit, the result is in doubt. Work that detects its
    /// own earlier commit (`OnUnknownCommit::Repeat`) is repeated; for other work the call fails.
    pub(super) async fn write<T, W>(
        &self,
        class: ConnectionClass,
        on_unknown_commit: OnUnknownCommit,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'s> Fn(&'s Session, &'s Context) -> BoxFuture<'s, Result<T, Failure>> + Send + Sync + 'static,
    {
        let (connections, mut context, is_unavailable) =
            (self.connections(class), self.context.clone(), Arc::clone(&self.is_unavailable));
        let writing = async move {
            let (mut backoff, mut left, mut in_doubt) = (Backoff::of(OUTAGE_WAIT, &is_unavailable), MOST_RETRIES, None);
            loop {
                let done = connections.attempt(Purpose::Write, &context, &work).await;
                backoff.note_success(&done);
                let failure = match done {
                    Err(Failure::UnknownCommit) => return Err(in_doubt.unwrap_or(Failure::UnknownCommit)),
                    Err(failure) => failure,
                    done => return done,
                };
                let is_conflict = failure.is_transient() && left > 0;
                let is_lost =
                    failure.is_gone() || (failure.is_in_doubt() && on_unknown_commit == OnUnknownCommit::Repeat);
                left -= usize::from(is_conflict);
                let will_retry = match is_conflict {
                    true => backoff.pause_for_conflict().await,
                    false => is_lost && backoff.wait_after(&failure).await,
                };
                if !will_retry {
                    return Err(match (failure, in_doubt) {
                        (refused @ Failure::Refused(_), _) => refused,
                        // The doubt about the commit matters more than the later failure.
                        (failure, in_doubt) => in_doubt.unwrap_or(failure),
                    });
                }
                if failure.is_in_doubt() {
                    context.is_repeated = true;
                    in_doubt = Some(failure);
                }
            }
        };
        let timed_out = |_| Failure::InDoubt(None);
        self.run("written", with_limit(class.longest(Purpose::Write), timed_out, writing)).await
    }
}

/// Ends work at a limit, so that each call gets an answer.
async fn with_limit<T>(
    longest: Duration,
    timed_out: impl FnOnce(Duration) -> Failure,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(longest, work).await.unwrap_or_else(|_| Err(timed_out(longest)))
}

/// The connections of a class.
struct Connections {
    class: ConnectionClass,
    pool: Pool,
    /// The connections of all classes.
    all: [Pool; 2],
}

impl Connections {
    /// Runs work in one transaction. Replaces connections that broke while idle. After a missed deadline, replaces all
    /// connections of the same age: a router that dropped one may have dropped all.
    async fn attempt<T, W>(&self, purpose: Purpose, context: &Context, work: W) -> Result<T, Failure>
    where
        W: for<'s> Fn(&'s Session, &'s Context) -> BoxFuture<'s, Result<T, Failure>>,
    {
        let mut stale = 0;
        loop {
            let begun = Instant::now();
            let session = Session::on(&self.pool, purpose, self.class.deadline(purpose)).await?;
            let done = work(&session, context).await;
            let was_answered = session.was_answered();
            match session.end(done).await {
                Err(failure) if failure.is_late() => {
                    self.all.iter().for_each(|pool| drop(pool.retain(|_, metrics| metrics.created > begun)));
                    return Err(failure);
                }
                Err(failure) if failure.is_gone() && !was_answered && stale < self.pool.status().max_size => stale += 1,
                done => return done,
            }
        }
    }
}

/// How to handle a commit without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnUnknownCommit {
    /// Report that the outcome is unknown.
    Report,
    /// Repeat the work: doing it twice is harmless.
    Repeat,
}

/// The pauses between attempts.
struct Backoff<'a> {
    /// An answer has missed its deadline before.
    was_late: bool,
    until: Instant,
    next: ExponentialBackoff,
    is_unavailable: &'a AtomicBool,
}

impl<'a> Backoff<'a> {
    fn of(longest: Duration, is_unavailable: &'a AtomicBool) -> Self {
        let next = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(500))
            .without_max_times()
            .with_jitter();
        Self { was_late: false, until: Instant::now() + longest, next: next.build(), is_unavailable }
    }

    /// Ends the outage if the server answered, with any result.
    fn note_success<T>(&self, done: &Result<T, Failure>) {
        let is_silent =
            |failure: &Failure| failure.is_gone() || failure.is_in_doubt() || matches!(failure, Failure::Pool(_));
        if !done.as_ref().is_err_and(is_silent) {
            self.is_unavailable.store(false, Ordering::Relaxed);
        }
    }

    /// Pauses for a conflicting transaction; always true, because the server is there.
    async fn pause_for_conflict(&mut self) -> bool {
        tokio::time::sleep(self.next.next().unwrap_or(LONGEST_CONFLICT_PAUSE)).await;
        true
    }

    /// Like [`Self::wait`], but without a pause after the first missed deadline: the next attempt uses a new
    /// connection.
    async fn wait_after(&mut self, failure: &Failure) -> bool {
        let is_first = failure.is_late() && !std::mem::replace(&mut self.was_late, true);
        is_first && !self.is_unavailable.load(Ordering::Relaxed) || self.wait().await
    }

    /// Pauses; false if this call or any other call has waited long enough.
    async fn wait(&mut self) -> bool {
        let is_in_time = |_: &Duration| Instant::now() < self.until && !self.is_unavailable.load(Ordering::Relaxed);
        match self.next.next().filter(is_in_time) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            None => {
                self.is_unavailable.store(true, Ordering::Relaxed);
                false
            }
        }
    }
}
