//! How a run is taken by a worker, and ends: once. Each of these is one transaction.

use super::clock::Moment;
use super::entry::{COLUMNS, Ending, Entry, Phase, WhyNot, entry, one, text};
use super::pool::is_over;
use super::{Queue, QueueError, REMEMBERED, Refused};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What a worker that asks for work is told.
#[derive(Debug)]
pub enum Taken {
    /// A run is its own now; with the pipelines that it came after and that did not end well.
    Run(Box<Entry>, Vec<String>),
    /// There is nothing to do.
    Nothing,
    /// It is not needed any more: its pool is closed, expired, smaller or gone.
    Leave,
}

/// What became of a wish to call off a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not begun, and ended with that.
    AtOnce,
    /// Its worker is told.
    Soon,
    /// It had ended.
    TooLate,
}

impl Queue {
    /// Takes the next run for a worker, which is `assigned` with that. A run of a pipeline that another worker has right now
    /// is left for later.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn take(&self, worker: &str) -> Result<Taken, QueueError> {
        let now = Moment::now();
        if !self.has_news(worker, &now)? {
            return Ok(Taken::Nothing);
        }
        self.write(|transaction| {
            let pool: Option<String> = transaction
                .query_row("SELECT pool FROM worker WHERE name = ?1", [worker], |row| row.get(0))
                .optional()?;
            let Some(pool) = pool else { return Ok(Taken::Leave) };
            if is_over(transaction, &pool, &now)?.is_none_or(|is_over| is_over) {
                transaction.execute("UPDATE worker SET state = 'expired' WHERE name = ?1", [worker])?;
                return Ok(Taken::Leave);
            }
            if is_surplus(transaction, &pool)? {
                transaction.execute("DELETE FROM worker WHERE name = ?1", [worker])?;
                return Ok(Taken::Leave);
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
            let Some(next) = next else { return Ok(Taken::Nothing) };
            // The first record is found by the id that people were told.
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
            let taken = one(transaction, &next.id)?;
            Ok(taken.map_or(Taken::Nothing, |taken| Taken::Run(Box::new(taken), failed)))
        })
    }

    /// True when a worker may have something to do: who only waits writes nothing.
    fn has_news(&self, worker: &str, now: &Moment) -> Result<bool, QueueError> {
        self.read(|transaction| {
            let pool: Option<String> = transaction
                .prepare_cached("SELECT pool FROM worker WHERE name = ?1")?
                .query_row([worker], |row| row.get(0))
                .optional()?;
            let Some(pool) = pool else { return Ok(true) };
            if is_over(transaction, &pool, now)?.is_none_or(|is_over| is_over) || is_surplus(transaction, &pool)? {
                return Ok(true);
            }
            let query = "SELECT EXISTS (SELECT 1 FROM run WHERE state = 'queued' AND (pool IS NULL OR pool = ?1))";
            Ok(transaction.prepare_cached(query)?.query_row([&pool], |row| row.get(0))?)
        })
    }

    /// Ends a run that a worker has, and makes the worker available.
    ///
    /// # Errors
    /// When it is not the worker's any more, or the queue cannot be written.
    pub fn end(&self, taken: &Entry, ending: &Ending) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            check_owned(transaction, taken)?;
            end(transaction, &taken.id, ending, now.at)?;
            release(transaction, taken)
        })
    }

    /// Puts a run back that a worker has and could not bring to an end; it is as if it had never been taken, but for the
    /// number of attempts.
    ///
    /// # Errors
    /// As [`Queue::end`].
    pub fn give_back(&self, taken: &Entry) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            check_owned(transaction, taken)?;
            transaction.execute(
                "UPDATE run SET state = 'queued', worker = NULL, assigned_at = NULL WHERE id = ?1",
                [&taken.id],
            )?;
            transition(transaction, &taken.id, Phase::Queued.word(), now.at)?;
            release(transaction, taken)
        })
    }

    /// Calls off a run; one that waits is told as called off by whoever does so.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn cancel(&self, id: &str, by: Option<&str>) -> Result<Cancelled, QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            let Some(found) = one(transaction, id)? else { return Ok(Cancelled::TooLate) };
            match found.phase {
                Phase::Ended => Ok(Cancelled::TooLate),
                Phase::Assigned => {
                    transaction.execute("UPDATE run SET is_cancelled = 1 WHERE id = ?1", [id])?;
                    Ok(Cancelled::Soon)
                }
                Phase::Queued => {
                    let what = vec!["stopped before it began".to_owned()];
                    let by = by.map(str::to_owned);
                    end(transaction, id, &Ending::NotRun { why: WhyNot::Cancelled, what, by }, now.at)?;
                    Ok(Cancelled::AtOnce)
                }
            }
        })
    }

    /// The runs that a worker has.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn taken_by(&self, worker: &str) -> Result<Vec<Entry>, QueueError> {
        self.read(|transaction| {
            let query = format!("SELECT {COLUMNS} FROM run WHERE state = 'assigned' AND worker = ?1 ORDER BY number");
            let mut statement = transaction.prepare_cached(&query)?;
            Ok(statement.query_map([worker], entry)?.collect::<Result<_, _>>()?)
        })
    }

    /// Ends the runs that wait for workers who will not come: their pool is gone, closed or expired, or there is none at all.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn end_hopeless(&self) -> Result<usize, QueueError> {
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
                if is_over(transaction, &pool, &now)? == Some(false) {
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
                        format!("no worker took it: the worker pool `{pool}` expired or was destroyed")
                    }
                    None if open.is_empty() => "no worker took it: there is no worker pool any more".to_owned(),
                    _ => continue,
                };
                end(transaction, &id, &Ending::impossible(what), now.at)?;
                ended += 1;
            }
            Ok(ended)
        })
    }

    /// The records of runs that workers have.
    pub(super) fn assigned_records(&self) -> Result<BTreeSet<String>, QueueError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT record FROM run WHERE state = 'assigned'")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }
}

/// True when a pool has more workers than it should.
fn is_surplus(transaction: &Transaction<'_>, pool: &str) -> Result<bool, Refused> {
    Ok(transaction.query_row(
        "SELECT (SELECT count(*) FROM worker WHERE worker.pool = it.name AND worker.state <> 'expired') > it.size
         FROM pool AS it WHERE it.name = ?1",
        [pool],
        |row| row.get(0),
    )?)
}

/// Whoever lost a run has nothing to say about it any more.
fn check_owned(transaction: &Transaction<'_>, taken: &Entry) -> Result<(), Refused> {
    let now = one(transaction, &taken.id)?;
    let is_owned = now
        .is_some_and(|now| now.phase == Phase::Assigned && now.worker == taken.worker && now.attempt == taken.attempt);
    if is_owned { Ok(()) } else { Err(QueueError::TakenAway { run: taken.id.clone() }.into()) }
}

fn release(transaction: &Transaction<'_>, taken: &Entry) -> Result<(), Refused> {
    transaction.execute(
        "UPDATE worker SET state = 'available' WHERE name = ?1 AND state = 'assigned'",
        params![taken.worker],
    )?;
    Ok(())
}

fn end(transaction: &Transaction<'_>, id: &str, ending: &Ending, at: i64) -> Result<(), Refused> {
    transaction.execute(
        "UPDATE run SET state = 'ended', is_good = ?2, ending = ?3, ended_at = ?4 WHERE id = ?1",
        params![id, ending.is_good(), text(ending)?, at],
    )?;
    transition(transaction, id, Phase::Ended.word(), at)?;
    // Long ago, and nobody waits for it any more.
    transaction.execute(
        "DELETE FROM run WHERE state = 'ended' AND number <= (SELECT max(number) FROM run) - ?1
           AND NOT EXISTS (SELECT 1 FROM run_after JOIN run AS later ON later.id = run_after.run
                           WHERE run_after.before = run.id AND later.state <> 'ended')",
        [REMEMBERED],
    )?;
    Ok(())
}

/// Notes where a run is now.
pub(super) fn transition(transaction: &Transaction<'_>, run: &str, state: &str, at: i64) -> Result<(), Refused> {
    transaction.execute(
        "INSERT INTO transition (run, state, attempt, worker, record, at)
         SELECT id, ?2, attempt, worker, record, ?3 FROM run WHERE id = ?1",
        params![run, state, at],
    )?;
    Ok(())
}
