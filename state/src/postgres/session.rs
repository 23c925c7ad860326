//! One transaction on a connection. Statements whose answer is not needed at once are sent together: the begin with the
//! first statement, the end with the last one if it is known to be the last. A round trip takes longer than most
//! statements.

use super::columns::Columns;
use super::error::Failure;
use deadpool_postgres::{HookError, Object, Pool, PoolError, TimeoutType};
use futures_util::future::join;
use futures_util::{TryStreamExt, poll};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use terrace_provider::wrap::in_time;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The purpose of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Read with one statement, which sees one snapshot by itself.
    ReadOne,
    /// Read several statements from one snapshot.
    Read,
    /// Write. Each statement sees earlier commits; locks keep other transactions out.
    Write,
}

impl Purpose {
    /// The statement that begins the transaction.
    const fn begin(self) -> Option<&'static str> {
        match self {
            Self::ReadOne => None,
            // A long answer may take longer than a writing statement.
            Self::Read => {
                Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '10min'")
            }
            Self::Write => Some("BEGIN ISOLATION LEVEL READ COMMITTED"),
        }
    }
}

/// Commits without `statement_timeout`: the timeout would end the wait for a synchronous standby, and the server would
/// confirm a commit that the standby lacks.
const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

/// Deadline of statements of migrations, transfers and pruning.
const LONG: Duration = Duration::from_secs(600);

/// A transaction on its own connection. If it is dropped before its end, the connection closes, and the server
/// rolls back. So the pool never gets a connection inside a transaction.
///
/// Each answer has a deadline. A connection that missed it is closed, and never returns to its pool.
pub(super) struct Session {
    client: Option<Object>,
    purpose: Purpose,
    /// The deadline of an answer, in milliseconds.
    deadline: AtomicU64,
    is_late: AtomicBool,
    is_begun: AtomicBool,
    was_answered: AtomicBool,
    must_roll_back: AtomicBool,
}

impl Session {
    /// Takes a connection. The transaction begins with its first statement.
    pub(super) async fn on(pool: &Pool, purpose: Purpose, deadline: Duration) -> Result<Self, Failure> {
        let client = pool.get().await.map_err(unwrapped)?;
        let unset = AtomicBool::default;
        Ok(Self {
            client: Some(client),
            purpose,
            deadline: AtomicU64::new(milliseconds(deadline)),
            is_late: unset(),
            is_begun: unset(),
            was_answered: unset(),
            must_roll_back: unset(),
        })
    }

    /// Raises the limits of the following statements on both sides, for writing transactions.
    pub(super) async fn raise_limits(&self) -> Result<(), Failure> {
        self.deadline.store(milliseconds(LONG), Ordering::Relaxed);
        self.run("SET LOCAL statement_timeout = 0").await
    }

    /// Raises the deadline of the following answers.
    pub(super) fn raise_deadline(&self) {
        self.deadline.store(milliseconds(LONG), Ordering::Relaxed);
    }

    /// True if an answer missed its deadline.
    pub(super) fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Relaxed)
    }

    /// Waits for an answer until its deadline.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        let deadline = Duration::from_millis(self.deadline.load(Ordering::Relaxed));
        in_time(deadline, pin!(answer)).await.map_err(|_| {
            self.is_late.store(true, Ordering::Relaxed);
            Failure::TimedOut(deadline)
        })
    }

    async fn prepared(&self, client: &Object, sql: &str) -> Result<Statement, Failure> {
        Ok(self.in_time(client.prepare_cached(sql)).await??)
    }

    fn client(&self) -> Result<&Object, Failure> {
        self.client.as_ref().ok_or_else(|| Failure::Unreadable("its connection is gone".to_owned()))
    }

    /// True if any statement was answered.
    pub(super) fn was_answered(&self) -> bool {
        self.was_answered.load(Ordering::Relaxed)
    }

    /// Sends a statement, after the begin of the transaction if necessary. Both are sent and answered in this order.
    async fn begun<T>(&self, client: &Object, answer: impl Future<Output = T>) -> (Result<(), Failure>, T) {
        let begin = match self.is_begun.load(Ordering::Relaxed) {
            true => None,
            false => self.purpose.begin(),
        };
        let Some(begin) = begin else { return (Ok(()), answer.await) };
        // It counts as sent, regardless of the answers.
        self.is_begun.store(true, Ordering::Relaxed);
        let begin = async { Ok(self.in_time(client.batch_execute(begin)).await??) };
        let (begun, answered) = join(begin, answer).await;
        (self.note_answer(begun), answered)
    }

    fn note_answer<T, E>(&self, answered: Result<T, E>) -> Result<T, E> {
        if answered.is_ok() {
            self.was_answered.store(true, Ordering::Relaxed);
        }
        answered
    }

    /// The answer to a statement that does not end the transaction.
    async fn answered<T>(
        &self,
        client: &Object,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let (begun, answered) = self.begun(client, answer).await;
        begun?;
        self.note_answer(answered)
    }

    /// The rows of a statement. Each row has the whole deadline: a long answer may take its time while it progresses.
    async fn rows(
        &self,
        client: &Object,
        statement: &Statement,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let stream = self.in_time(client.query_raw(statement, parameters.iter().copied())).await??;
        let (mut stream, mut rows) = (pin!(stream), Vec::new());
        while let Some(row) = self.in_time(stream.try_next()).await?? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// The rows of a statement.
    pub(super) async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let client = self.client()?;
        let statement = self.prepared(client, sql).await?;
        self.answered(client, self.rows(client, &statement, parameters)).await
    }

    /// The rows of two statements. The second one sees the database after the first one has ended.
    pub(super) async fn both(
        &self,
        (first, its): (&str, Parameters<'_>),
        (second, of_it): (&str, Parameters<'_>),
    ) -> Result<(Vec<Row>, Vec<Row>), Failure> {
        let client = self.client()?;
        let (first, second) = (self.prepared(client, first).await?, self.prepared(client, second).await?);
        let answer = async {
            let (first, second) = join(self.rows(client, &first, its), self.rows(client, &second, of_it)).await;
            Ok((first?, second?))
        };
        self.answered(client, answer).await
    }

    /// The rows of a statement, converted.
    pub(super) async fn list<T>(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        each(&self.query(sql, parameters).await?, read)
    }

    /// The first row of a statement, converted, if there is one.
    pub(super) async fn first<T>(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        one(&self.query(sql, parameters).await?, read)
    }

    /// True if a statement returns a row.
    pub(super) async fn exists(&self, sql: &str, parameters: Parameters<'_>) -> Result<bool, Failure> {
        Ok(!self.query(sql, parameters).await?.is_empty())
    }

    /// The number of rows that a statement changed.
    pub(super) async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        let client = self.client()?;
        let statement = self.prepared(client, sql).await?;
        let answer = async { Ok(self.in_time(client.execute(&statement, parameters)).await??) };
        self.answered(client, answer).await
    }

    /// Runs a file of statements.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Failure> {
        let client = self.client()?;
        let answer = async { Ok(self.in_time(client.batch_execute(sql)).await??) };
        self.answered(client, answer).await
    }

    /// Runs the last statement together with the commit, and returns its rows. A later statement starts another
    /// transaction.
    pub(super) async fn last(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let client = self.client()?;
        let statement = self.prepared(client, sql).await?;
        let answer = async {
            let mut rows = pin!(client.query(&statement, parameters));
            let both = match poll!(rows.as_mut()) {
                // A statement that cannot be sent is not committed.
                Poll::Ready(Err(error)) => return Err(Failure::from(error)),
                Poll::Ready(rows) => self.in_time(client.batch_execute(COMMIT)).await.map(|ended| (rows, ended)),
                Poll::Pending => self.in_time(join(rows, client.batch_execute(COMMIT))).await,
            };
            self.is_begun.store(false, Ordering::Relaxed);
            let (rows, ended) = both.map_err(Failure::of_late_commit)?;
            // After a failure the transaction still needs a rollback, if the server has not done it.
            self.is_begun.store(rows.is_err() || ended.is_err(), Ordering::Relaxed);
            match (self.note_answer(rows), ended) {
                // The transaction was rolled back.
                (Err(refused), _) if refused.as_db_error().is_some() => Err(Failure::from(refused)),
                (rows, ended) => rows.and_then(|rows| ended.map(|()| rows)).map_err(Failure::of_commit),
            }
        };
        match self.begun(client, answer).await {
            // If the transaction did not begin, it was not committed.
            (Err(refused), Err(_)) if refused.is_reported() => Err(refused),
            (Err(failure), Ok(_)) => Err(failure.of_commit_too()),
            (Ok(()), Ok(rows)) => Ok(rows),
            (_, failed) => failed,
        }
    }

    /// Runs a statement, together with the commit if it is the last one.
    pub(super) async fn write(&self, sql: &str, parameters: Parameters<'_>, is_last: bool) -> Result<(), Failure> {
        match is_last {
            true => self.last(sql, parameters).await.map(drop),
            false => self.execute(sql, parameters).await.map(drop),
        }
    }

    /// Makes the transaction roll back at its end, although it succeeded.
    pub(super) fn roll_back_at_end(&self) {
        self.must_roll_back.store(true, Ordering::Relaxed);
    }

    /// Ends the transaction: commits, or rolls back after a failure.
    pub(super) async fn end<T>(mut self, done: Result<T, Failure>) -> Result<T, Failure> {
        let is_lost = self.is_late() || done.as_ref().is_err_and(|failure| failure.is_gone() || failure.is_in_doubt());
        let client = self.client()?;
        let ended = match () {
            // A silent connection gets no further statement: the server rolls back when it closes.
            () if self.is_late() || !self.is_begun.load(Ordering::Relaxed) => Ok(()),
            () if done.is_ok() && !self.must_roll_back.load(Ordering::Relaxed) => {
                let ended = self.in_time(client.batch_execute(COMMIT)).await.map_err(Failure::of_late_commit);
                ended.and_then(|ended| ended.map_err(Failure::of_commit))
            }
            () => {
                let ended = self.in_time(client.batch_execute("ROLLBACK")).await;
                ended.and_then(|ended| ended.map_err(Failure::from))
            }
        };
        match (done, ended) {
            (done, Ok(())) => {
                if !is_lost {
                    // Returns the connection to the pool.
                    drop(self.client.take());
                }
                done
            }
            (Ok(_), Err(failure)) => Err(failure),
            // The reason of the rollback matters more than its failure.
            (Err(failure), Err(_)) => Err(failure),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

/// Converts all rows.
pub(super) fn each<T>(rows: &[Row], read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    rows.iter().map(|row| read(&mut Columns::of(row))).collect()
}

/// Converts the first row, if there is one.
pub(super) fn one<T>(
    rows: &[Row],
    read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    rows.first().map(|row| read(&mut Columns::of(row))).transpose()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The error of a connection's setup, in the form of other errors of the server.
fn unwrapped(error: PoolError) -> Failure {
    match error {
        PoolError::PostCreateHook(HookError::Backend(error)) => Failure::Postgres(error),
        // The setup was not answered in time.
        PoolError::PostCreateHook(HookError::Message(_)) => Failure::Pool(PoolError::Timeout(TimeoutType::Create)),
        error => Failure::Pool(error),
    }
}
