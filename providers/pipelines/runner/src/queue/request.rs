//! Runs that callers of a server request: who requested them, requests that are repeated, and ends that the usage log
//! does not have yet.

use super::caller_use::check_requester;
use super::clock::Moment;
use super::entry::{Entry, QueueRequest, insert, one};
use super::limit::{CallerLimits, Demand};
use super::{Queue, QueueError, TransactionError};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeSet;

/// A caller of a server, and its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Its name; nothing if the server requires no tokens.
    pub caller: Option<String>,
    /// Its limits.
    pub limits: CallerLimits,
    /// Its organisation.
    pub organisation: Option<String>,
    /// The limits of its organisation.
    pub organisation_limits: CallerLimits,
    /// Idempotency key together with its caller.
    pub key: Option<String>,
    /// The call, as text: a key may not be reused for another call.
    pub call: String,
    /// Ids of runs that must end first. Unknown ones count as ended.
    pub after: Vec<String>,
}

/// A run that a caller requested.
#[derive(Debug, Clone)]
pub struct RequestedRun {
    /// The run.
    pub entry: Entry,
    /// The name of its caller.
    pub caller: Option<String>,
    /// The organisation of its caller.
    pub organisation: Option<String>,
}

impl Queue {
    /// Adds a run for a caller, and returns its id. A repeated request returns the id of the first one.
    ///
    /// # Errors
    /// When the key belongs to another call, a limit refuses the run, the pool does not exist or expired, no pool is
    /// open or has workers, or the queue cannot be written.
    pub fn enqueue_for(&self, request: &QueueRequest, by: &Requester) -> Result<String, QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            if let Some(id) = earlier(transaction, by)? {
                return Ok(id);
            }
            match &request.pool {
                Some(pool) => super::pool::check_open(transaction, pool, &now)?,
                None => super::pool::check_any_open(transaction, &now)?,
            }
            super::pool::check_has_workers(transaction, request.pool.as_deref())?;
            check_requester(transaction, by, Demand::Run, Some(request), &now)?;
            let id = insert(transaction, request, &now)?;
            for before in &by.after {
                transaction.execute(
                    "INSERT OR IGNORE INTO run_after (run, before) SELECT ?1, id FROM run WHERE id = ?2",
                    [&id, before],
                )?;
            }
            transaction.execute(
                "INSERT INTO request (run, caller, organisation, key, call) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, by.caller, by.organisation, by.key, by.call],
            )?;
            Ok(id)
        })
    }

    /// Returns the run of an earlier request with the same key.
    ///
    /// # Errors
    /// When the key belongs to another call, or the queue cannot be read.
    pub fn earlier_run(&self, by: &Requester) -> Result<Option<String>, QueueError> {
        self.read(|transaction| earlier(transaction, by))
    }

    /// Returns the caller that requested a run, by name.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn caller_of(&self, run: &str) -> Result<Option<String>, QueueError> {
        self.read(|transaction| {
            let query = "SELECT caller FROM request WHERE run = ?1";
            let caller = transaction.prepare_cached(query)?.query_row([run], |row| row.get(0)).optional()?;
            Ok(caller.flatten())
        })
    }

    /// Ids of runs in the queue, waiting and ended ones, newest first: at most `limit` before an id.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn ids_before(&self, before: Option<&str>, limit: usize) -> Result<Vec<String>, QueueError> {
        self.read(|transaction| {
            // Ids sort by time; no id is greater than this text.
            let query = "SELECT id FROM run WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut statement = transaction.prepare_cached(query)?;
            let ids = statement.query_map(params![before.unwrap_or("~"), limit], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Ids of the runs of a pipeline in the queue, as [`Queue::ids_before`]. The id of the pipeline may lack its `./`.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn ids_of_before(&self, pipeline: &str, before: Option<&str>, limit: usize) -> Result<Vec<String>, QueueError> {
        self.read(|transaction| {
            let query = "SELECT id FROM run WHERE pipeline IN (?1, './' || ?1) AND id < ?2 ORDER BY id DESC LIMIT ?3";
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut statement = transaction.prepare_cached(query)?;
            let ids = statement.query_map(params![pipeline, before.unwrap_or("~"), limit], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// True if a record belongs to a further attempt, or to another run whose result a run took. The record of a first attempt has
    /// the id of its run.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn is_later_record(&self, record: &str) -> Result<bool, QueueError> {
        self.read(|transaction| {
            let query = "SELECT EXISTS (SELECT 1 FROM transition WHERE record = ?1 AND record <> run)";
            Ok(transaction.prepare_cached(query)?.query_row([record], |row| row.get(0))?)
        })
    }

    /// Records of a run's attempts, in order; the last one is that of another run if it took the result of that.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn records_of(&self, run: &str) -> Result<Vec<String>, QueueError> {
        self.read(|transaction| {
            let query = "SELECT record FROM transition
                 WHERE run = ?1 AND state IN ('assigned', 'ended') AND record IS NOT NULL
                 GROUP BY record ORDER BY min(number)";
            let mut statement = transaction.prepare_cached(query)?;
            Ok(statement.query_map([run], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }

    /// Requested runs that have ended and are not in the usage log, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn unlogged_ends(&self, limit: usize) -> Result<Vec<RequestedRun>, QueueError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT run.id, request.caller, request.organisation FROM request JOIN run ON run.id = request.run
                 WHERE request.is_logged = 0 AND run.state = 'ended' ORDER BY run.number LIMIT ?1",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found: Vec<(String, Option<String>, Option<String>)> = statement
                .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let mut ends = Vec::with_capacity(found.len());
            for (id, caller, organisation) in found {
                ends.extend(one(transaction, &id)?.map(|entry| RequestedRun { entry, caller, organisation }));
            }
            Ok(ends)
        })
    }

    /// Those of the databases, by their ids, whose expiry is not in the usage log.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn unlogged_expiries(&self, databases: &BTreeSet<String>) -> Result<BTreeSet<String>, QueueError> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM logged_expiry WHERE database = ?1)")?;
            let mut unlogged = BTreeSet::new();
            for database in databases {
                if !statement.query_row([database], |row| row.get(0))? {
                    unlogged.insert(database.clone());
                }
            }
            Ok(unlogged)
        })
    }

    /// Notes that the usage log has the expiry of a database.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn mark_expiry_logged(&self, database: &str) -> Result<(), QueueError> {
        self.write(|transaction| {
            transaction.execute("INSERT OR IGNORE INTO logged_expiry (database) VALUES (?1)", [database])?;
            Ok(())
        })
    }

    /// Notes that the usage log has the end of a run.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn mark_logged(&self, run: &str) -> Result<(), QueueError> {
        self.write(|transaction| {
            transaction.execute("UPDATE request SET is_logged = 1 WHERE run = ?1", [run])?;
            Ok(())
        })
    }
}

/// Returns the run of an earlier request with the same key.
fn earlier(transaction: &Transaction<'_>, by: &Requester) -> Result<Option<String>, TransactionError> {
    let Some(key) = &by.key else { return Ok(None) };
    let query = "SELECT run, call FROM request WHERE key = ?1";
    let found: Option<(String, String)> =
        transaction.prepare_cached(query)?.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match found {
        Some((_, call)) if call != by.call => Err(QueueError::KeyTaken.into()),
        found => Ok(found.map(|(run, _)| run)),
    }
}
