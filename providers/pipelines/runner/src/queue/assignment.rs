//! Assigns runs to workers, and ends runs: exactly once. Each operation is one transaction.

use super::clock::Moment;
use super::entry::{COLUMNS, Ending, Entry, NotRunReason, Phase, entry, one, text};
use super::pool::is_closed;
use super::{MAX_ENDED_RUNS, Queue, QueueError, TransactionError};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Answer to a worker that requests work.
#[derive(Debug)]
pub enum Assignment {
    /// The worker now owns this run; the names are dependencies that failed.
    Run(Box<Entry>, Vec<String>),
    /// No run is available.
    Nothing,
    /// The worker is not needed: its pool is closed, expired, smaller or gone.
    NotNeeded,
}

/// Effect of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The run had not started, and is ended.
    Ended,
    /// The worker is notified.
    Requested,
    /// The run had ended.
    AlreadyEnded,
}

impl Queue {
    /// Assigns the next run to a worker. It skips a run whose pipeline another worker executes now.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn assign(&self, worker: &str) -> Result<Assignment, QueueError> {
        let now = Moment::now();
        if !self.may_have_work(worker, &now)? {
            return Ok(Assignment::Nothing);
        }
        self.write(|transaction| {
            let pool: Option<String> = transaction
                .query_row("SELECT pool FROM worker WHERE name = ?1", [worker], |row| row.get(0))
                .optional()?;
            let Some(pool) = pool else { return Ok(Assignment::NotNeeded) };
            if is_closed(transaction, &pool, &now)?.is_none_or(|is_closed| is_closed) {
                transaction.execute("UPDATE worker SET state = 'expired' WHERE name = ?1", [worker])?;
                return Ok(Assignment::NotNeeded);
            }
            if is_surplus(transaction, &pool)? {
                transaction.execute("DELETE FROM worker WHERE name = ?1", [worker])?;
                return Ok(Assignment::NotNeeded);
            }
            let query = format!(
                "SELECT {COLUMNS} FROM run WHERE state = 'queued' AND (pool IS NULL OR pool = ?1)
                   AND NOT EXISTS (SELECT 1 FROM run_after JOIN run AS other ON other.id = run_after.before
                                   WHERE run_after.run = run.id AND other.state <> 'ended')
                   AND NOT EXISTS (SELECT 1 FROM run AS other WHERE other.state = 'assigned'
                                   AND other.folder = run.folder AND other.pipeline = run.pipeline)
                 ORDER BY number LIMIT 1"
            );
            let next = transaction.prepare_cached(&query)?.query_row([&pool], entry).optional()?;
            let Some(next) = next else { return Ok(Assignment::Nothing) };
            // The first record has the id that users know.
            let record = if next.attempt == 0 { next.id.clone() } else { Uuid::now_v7().to_string() };
            transaction.execute(
                "UPDATE run SET state = 'assigned', attempt = attempt + 1, worker = ?2, record = ?3, assigned_at = ?4
                 WHERE id = ?1",
                params![next.id, worker, record, now.at],
            )?;
            transaction.execute("UPDATE worker SET state = 'assigned' WHERE name = ?1", [worker])?;
            transition(transaction, &next.id, Phase::Assigned.word(), now.at)?;
            let failed = transaction
                .prepare_cached(
                    "SELECT other.pipeline FROM run_after JOIN run AS other ON other.id = run_after.before
                     WHERE run_after.run = ?1 AND other.is_good = 0 ORDER BY other.number",
                )?
                .query_map([&next.id], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let assigned = one(transaction, &next.id)?;
            Ok(assigned.map_or(Assignment::Nothing, |assigned| Assignment::Run(Box::new(assigned), failed)))
        })
    }

    /// Returns true if the worker may have something to do, so that waiting workers write nothing.
    fn may_have_work(&self, worker: &str, now: &Moment) -> Result<bool, QueueError> {
        self.read(|transaction| {
            let pool: Option<String> = transaction
                .prepare_cached("SELECT pool FROM worker WHERE name = ?1")?
                .query_row([worker], |row| row.get(0))
                .optional()?;
            let Some(pool) = pool else { return Ok(true) };
            if is_closed(transaction, &pool, now)?.is_none_or(|is_closed| is_closed) || is_surplus(transaction, &pool)?
            {
                return Ok(true);
            }
            let query = "SELECT EXISTS (SELECT 1 FROM run WHERE state = 'queued' AND (pool IS NULL OR pool = ?1))";
            Ok(transaction.prepare_cached(query)?.query_row([&pool], |row| row.get(0))?)
        })
    }

    /// Ends a run of a worker, and makes the worker available.
    ///
    /// # Errors
    /// When the worker no longer owns it, or the queue cannot be written.
    pub fn end(&self, assigned: &Entry, ending: &Ending) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            let row = check_owned(transaction, assigned)?;
            let ending = ending.clone().cancelled_by(row.cancelled_by.as_deref());
            end(transaction, &assigned.id, &ending, now.at)?;
            release(transaction, assigned)
        })
    }

    /// Returns an unfinished run of a worker to the queue, as if it had never been assigned; only the attempt counts.
    ///
    /// # Errors
    /// As [`Queue::end`].
    pub fn requeue(&self, assigned: &Entry) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            check_owned(transaction, assigned)?;
            transaction.execute(
                "UPDATE run SET state = 'queued', worker = NULL, assigned_at = NULL WHERE id = ?1",
                [&assigned.id],
            )?;
            transition(transaction, &assigned.id, Phase::Queued.word(), now.at)?;
            release(transaction, assigned)
        })
    }

    /// Cancels a run for a principal; a waiting run ends.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn cancel(&self, id: &str, by: Option<&str>) -> Result<CancelOutcome, QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            let Some(found) = one(transaction, id)? else { return Ok(CancelOutcome::AlreadyEnded) };
            match found.phase {
                Phase::Ended => Ok(CancelOutcome::AlreadyEnded),
                Phase::Assigned => {
                    transaction.execute(
                        "UPDATE run SET is_cancelled = 1, cancelled_by = coalesce(cancelled_by, ?2) WHERE id = ?1",
                        params![id, by],
                    )?;
                    Ok(CancelOutcome::Requested)
                }
                Phase::Queued => {
                    let what = vec!["cancelled before its start".to_owned()];
                    let by = by.map(str::to_owned);
                    end(transaction, id, &Ending::NotRun { why: NotRunReason::Cancelled, what, by }, now.at)?;
                    Ok(CancelOutcome::Ended)
                }
            }
        })
    }

    /// Runs that are assigned to a worker.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn assigned_to(&self, worker: &str) -> Result<Vec<Entry>, QueueError> {
        self.read(|transaction| {
            let query = format!("SELECT {COLUMNS} FROM run WHERE state = 'assigned' AND worker = ?1 ORDER BY number");
            let mut statement = transaction.prepare_cached(&query)?;
            Ok(statement.query_map([worker], entry)?.collect::<Result<_, _>>()?)
        })
    }

    /// Ends waiting runs that no worker can take: their pool is gone, closed or expired, or no pool exists.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn end_unassignable(&self) -> Result<usize, QueueError> {
        let now = Moment::now();
        let waits: bool = self.read(|transaction| {
            Ok(transaction
                .query_row("SELECT EXISTS (SELECT 1 FROM run WHERE state = 'queued')", [], |row| row.get(0))?)
        })?;
        if !waits {
            return Ok(0);
        }
        self.write(|transaction| {
            let pools: Vec<String> = transaction
                .prepare_cached("SELECT name FROM pool")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut open = BTreeSet::new();
            for pool in pools {
                if is_closed(transaction, &pool, &now)? == Some(false) {
                    open.insert(pool);
                }
            }
            let mut statement = transaction.prepare_cached("SELECT id, pool FROM run WHERE state = 'queued'")?;
            let waiting: Vec<(String, Option<String>)> =
                statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            let mut ended = 0;
            for (id, pool) in waiting {
                let what = match &pool {
                    Some(pool) if !open.contains(pool) => {
                        format!("no worker took it: the worker pool `{pool}` expired or was closed")
                    }
                    None if open.is_empty() => "no worker took it: no worker pool exists".to_owned(),
                    _ => continue,
                };
                end(transaction, &id, &Ending::impossible(what), now.at)?;
                ended += 1;
            }
            Ok(ended)
        })
    }

    /// Records of the assigned runs.
    pub(super) fn assigned_records(&self) -> Result<BTreeSet<String>, QueueError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT record FROM run WHERE state = 'assigned'")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }
}

/// Returns true if a pool has too many workers.
fn is_surplus(transaction: &Transaction<'_>, pool: &str) -> Result<bool, TransactionError> {
    Ok(transaction.query_row(
        "SELECT (SELECT count(*) FROM worker WHERE worker.pool = it.name AND worker.state <> 'expired') > it.size
         FROM pool AS it WHERE it.name = ?1",
        [pool],
        |row| row.get(0),
    )?)
}

/// The run as it is now. Refuses a worker that lost it.
fn check_owned(transaction: &Transaction<'_>, assigned: &Entry) -> Result<Entry, TransactionError> {
    let row = one(transaction, &assigned.id)?
        .filter(|row| row.phase == Phase::Assigned && row.worker == assigned.worker && row.attempt == assigned.attempt);
    row.ok_or_else(|| QueueError::NotOwned { run: assigned.id.clone() }.into())
}

fn release(transaction: &Transaction<'_>, assigned: &Entry) -> Result<(), TransactionError> {
    transaction.execute(
        "UPDATE worker SET state = 'available' WHERE name = ?1 AND state = 'assigned'",
        params![assigned.worker],
    )?;
    Ok(())
}

fn end(transaction: &Transaction<'_>, id: &str, ending: &Ending, at: i64) -> Result<(), TransactionError> {
    let record = if let Ending::Ran(record) = ending { Some(&record.run) } else { None };
    transaction.execute(
        "UPDATE run SET state = 'ended', is_good = ?2, ending = ?3, ended_at = ?4, record = coalesce(?5, record) WHERE id = ?1",
        params![id, ending.is_good(), text(ending)?, at, record],
    )?;
    transition(transaction, id, Phase::Ended.word(), at)?;
    // Old runs that no waiting run depends on, that the usage log has, and that count for no limit are removed.
    transaction.execute(
        "DELETE FROM run WHERE state = 'ended' AND number <= (SELECT max(number) FROM run) - ?1
           AND NOT EXISTS (SELECT 1 FROM request WHERE request.run = run.id
                           AND (request.is_logged = 0 OR run.ended_at > ?2 - 86400000))
           AND NOT EXISTS (SELECT 1 FROM run_after JOIN run AS later ON later.id = run_after.run
                           WHERE run_after.before = run.id AND later.state <> 'ended')",
        [MAX_ENDED_RUNS, at],
    )?;
    Ok(())
}

/// Records a transition of a run.
pub(super) fn transition(
    transaction: &Transaction<'_>,
    run: &str,
    state: &str,
    at: i64,
) -> Result<(), TransactionError> {
    transaction.execute(
        "INSERT INTO transition (run, state, attempt, worker, record, at)
         SELECT id, ?2, attempt, worker, record, ?3 FROM run WHERE id = ?1",
        params![run, state, at],
    )?;
    Ok(())
}
