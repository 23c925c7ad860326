//! One transaction on a connection. What need not wait for an answer is sent with what follows: its beginning with its first
//! statement, and its end with its last one where that is known to be the last. To go to a database and back takes longer than
//! most statements do.

use super::columns::Columns;
use super::error::Failure;
use deadpool_postgres::{HookError, Object, Pool, PoolError};
use futures_util::future::join;
use futures_util::poll;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To read by one statement, which sees one moment by itself.
    Look,
    /// To read as of one moment.
    Read,
    /// To write. Each statement sees what was committed before it: locks are what keeps others out.
    Write,
}

impl Purpose {
    /// The statement that it begins with.
    const fn begin(self) -> Option<&'static str> {
        match self {
            Self::Look => None,
            Self::Read => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Self::Write => Some("BEGIN ISOLATION LEVEL READ COMMITTED"),
        }
    }
}

/// A transaction on a connection of its own. One that is dropped before its end ends with its connection: the server rolls
/// it back, and nobody gets a connection in the middle of something.
pub(super) struct Session {
    client: Option<Object>,
    purpose: Purpose,
    is_begun: AtomicBool,
    is_heard: AtomicBool,
    is_in_vain: AtomicBool,
}

impl Session {
    /// Takes a connection. The transaction begins with its first statement.
    pub(super) async fn on(pool: &Pool, purpose: Purpose) -> Result<Self, Failure> {
        let client = pool.get().await.map_err(unwrapped)?;
        let unset = AtomicBool::default;
        Ok(Self { client: Some(client), purpose, is_begun: unset(), is_heard: unset(), is_in_vain: unset() })
    }

    fn client(&self) -> Result<&Object, Failure> {
        self.client.as_ref().ok_or_else(|| Failure::Unreadable("its connection is gone".to_owned()))
    }

    /// True when a statement was answered.
    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// Waits for what is asked; begins before where that was not done. Both are sent in this order, and answered so.
    async fn begun<T>(&self, client: &Object, asked: impl Future<Output = T>) -> (Result<(), Error>, T) {
        let begin = match self.is_begun.load(Ordering::Relaxed) {
            true => None,
            false => self.purpose.begin(),
        };
        let Some(begin) = begin else { return (Ok(()), asked.await) };
        // Whatever becomes of the answers, it was sent.
        self.is_begun.store(true, Ordering::Relaxed);
        let (begun, answered) = join(client.batch_execute(begin), asked).await;
        (self.heard(begun), answered)
    }

    fn heard<T>(&self, answered: Result<T, Error>) -> Result<T, Error> {
        if answered.is_ok() {
            self.is_heard.store(true, Ordering::Relaxed);
        }
        answered
    }

    /// The answer to what does not end the transaction.
    async fn answered<T>(&self, client: &Object, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        let (begun, answered) = self.begun(client, asked).await;
        begun?;
        Ok(self.heard(answered)?)
    }

    /// The rows that a statement gives.
    pub(super) async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        self.answered(client, client.query(&statement, parameters)).await
    }

    /// The rows that two statements give, the second of which sees what was there when the first one had ended.
    pub(super) async fn both(
        &self,
        (first, its): (&str, Parameters<'_>),
        (second, of_it): (&str, Parameters<'_>),
    ) -> Result<(Vec<Row>, Vec<Row>), Failure> {
        let client = self.client()?;
        let (first, second) = (client.prepare_cached(first).await?, client.prepare_cached(second).await?);
        let asked = async {
            let (first, second) = join(client.query(&first, its), client.query(&second, of_it)).await;
            Ok((first?, second?))
        };
        self.answered(client, asked).await
    }

    /// What each of the rows is read as.
    pub(super) async fn list<T>(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        each(&self.query(sql, parameters).await?, read)
    }

    /// What the first row is read as, if there is one.
    pub(super) async fn first<T>(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        one(&self.query(sql, parameters).await?, read)
    }

    /// True when a statement gives a row.
    pub(super) async fn exists(&self, sql: &str, parameters: Parameters<'_>) -> Result<bool, Failure> {
        Ok(!self.query(sql, parameters).await?.is_empty())
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        self.answered(client, client.execute(&statement, parameters)).await
    }

    /// Runs a file of statements.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Failure> {
        let client = self.client()?;
        self.answered(client, client.batch_execute(sql)).await
    }

    /// Commits with the statement that is the last one, and gives its rows. What is asked after that is another transaction.
    pub(super) async fn last(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        let asked = async {
            let mut rows = pin!(client.query(&statement, parameters));
            let (rows, ended) = match poll!(rows.as_mut()) {
                // What cannot be sent is not committed.
                Poll::Ready(Err(error)) => return Err(Failure::from(error)),
                Poll::Ready(rows) => (rows, client.batch_execute("COMMIT").await),
                Poll::Pending => join(rows, client.batch_execute("COMMIT")).await,
            };
            self.is_begun.store(false, Ordering::Relaxed);
            match (self.heard(rows), ended) {
                // Then the server ended the transaction without a trace.
                (Err(refused), _) if refused.as_db_error().is_some() => Err(Failure::from(refused)),
                (rows, ended) => rows.and_then(|rows| ended.map(|()| rows)).map_err(Failure::of_commit),
            }
        };
        match self.begun(client, asked).await {
            // What the server does not begin it does not commit.
            (Err(refused), Err(_)) if refused.as_db_error().is_some() => Err(Failure::from(refused)),
            (begun, Ok(rows)) => begun.map(|()| rows).map_err(Failure::of_commit),
            (_, failed) => failed,
        }
    }

    /// Runs a statement, with which the transaction commits where it is the last one.
    pub(super) async fn write(&self, sql: &str, parameters: Parameters<'_>, is_last: bool) -> Result<(), Failure> {
        match is_last {
            true => self.last(sql, parameters).await.map(drop),
            false => self.execute(sql, parameters).await.map(drop),
        }
    }

    /// Lets the transaction end without a trace, though it did what it was to do.
    pub(super) fn leave_no_trace(&self) {
        self.is_in_vain.store(true, Ordering::Relaxed);
    }

    /// Ends the transaction: what failed is rolled back.
    pub(super) async fn end<T>(mut self, done: Result<T, Failure>) -> Result<T, Failure> {
        let is_lost = done.as_ref().is_err_and(|failure| failure.is_gone() || failure.is_in_doubt());
        let client = self.client()?;
        let ended = match () {
            () if !self.is_begun.load(Ordering::Relaxed) => Ok(()),
            () if done.is_ok() && !self.is_in_vain.load(Ordering::Relaxed) => {
                client.batch_execute("COMMIT").await.map_err(Failure::of_commit)
            }
            () => client.batch_execute("ROLLBACK").await.map_err(Failure::from),
        };
        match (done, ended) {
            (done, Ok(())) => {
                if !is_lost {
                    // Back to the others.
                    drop(self.client.take());
                }
                done
            }
            (Ok(_), Err(failure)) => Err(failure),
            // Why it was rolled back says more than that this failed as well.
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

/// What each of the rows is read as.
pub(super) fn each<T>(rows: &[Row], read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    rows.iter().map(|row| read(&mut Columns::of(row))).collect()
}

/// What the first row is read as, if there is one.
pub(super) fn one<T>(
    rows: &[Row],
    read: impl Fn(&mut Columns<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    rows.first().map(|row| read(&mut Columns::of(row))).transpose()
}

/// The error of a connection that could not be set up is one of the server's as any other.
fn unwrapped(error: PoolError) -> Failure {
    match error {
        PoolError::PostCreateHook(HookError::Backend(error)) => Failure::Postgres(error),
        error => Failure::Pool(error),
    }
}
