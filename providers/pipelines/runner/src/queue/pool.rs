//! Pools and their workers.

use super::clock::{Moment, milliseconds};
use super::name;
use super::{Queue, QueueError, TransactionError};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use std::time::Duration;

/// After this number of failed starts the next start waits: twice as long each time, at most `LONGEST_PAUSE`
/// milliseconds.
const UNDELAYED_STARTS: u32 = 3;
const LONGEST_PAUSE: i64 = 60_000;
/// Time for which expired workers stay listed, in milliseconds.
const EXPIRED_LISTED: i64 = 24 * 60 * 60 * 1000;

/// A pool of workers.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Number of workers.
    pub size: u32,
    /// Lifetime; nothing if it stays until it is destroyed.
    pub ttl: Option<Duration>,
    /// It accepts no runs, and is removed after its last worker.
    pub is_closing: bool,
    /// It has expired.
    pub is_expired: bool,
    /// The settings of the provider's instance, as JSON.
    pub settings: String,
    /// Call that created it.
    pub mark: Option<String>,
    /// Time of its creation.
    pub created_at: Option<Timestamp>,
    /// Time at which it expires, by the clock.
    pub expires_at: Option<Timestamp>,
    /// Number of workers that ended at their start since the last start that succeeded.
    pub failed_starts: u32,
}

impl Pool {
    /// True if its workers end at their start, one after another.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failed_starts >= UNDELAYED_STARTS
    }
}

/// Desired state of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number of workers.
    pub size: u32,
    /// Lifetime; nothing if it stays until it is destroyed.
    pub ttl: Option<Duration>,
    /// The settings of the provider's instance, as JSON.
    pub settings: &'a str,
    /// Call that creates or changes it.
    pub mark: Option<&'a str>,
}

/// A worker, for people.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Its status.
    pub status: PodStatus,
    /// Run that is assigned to it.
    pub run: Option<String>,
    /// Pipeline of the run.
    pub pipeline: Option<String>,
    /// Folder of the pipeline's specs.
    pub root: Option<String>,
    /// Id of the record of its present attempt.
    pub record: Option<String>,
    /// Time at which it expires.
    pub expires_at: Option<Timestamp>,
    /// Time since its start.
    pub age: Duration,
}

/// Status of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodStatus {
    /// It is starting.
    Pending,
    /// It waits for a run.
    Available,
    /// It executes a run.
    Assigned,
    /// It has expired.
    Expired,
}

impl PodStatus {
    /// Word in the format of the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Assigned => "assigned",
            Self::Expired => "expired",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "available" => Self::Available,
            "assigned" => Self::Assigned,
            "expired" => Self::Expired,
            _ => Self::Pending,
        }
    }
}

/// Columns of a pool, in the order in which [`pool`] reads them.
const COLUMNS: &str = "name, size, ttl, is_closing, settings, mark, created_at, uptime, boot,
    max(0, starts - (SELECT count(*) FROM worker WHERE worker.pool = pool.name AND worker.state = 'pending'))";

fn pool(row: &Row<'_>, now: &Moment) -> Result<Pool, rusqlite::Error> {
    let (ttl, created): (Option<i64>, Moment) =
        (row.get(2)?, Moment { at: row.get(6)?, uptime: row.get(7)?, boot: row.get(8)? });
    let expires = ttl.map(|ttl| created.at.saturating_add(ttl));
    Ok(Pool {
        name: row.get(0)?,
        size: row.get(1)?,
        ttl: ttl.map(duration),
        is_closing: row.get(3)?,
        is_expired: ttl.is_some_and(|ttl| now.since(&created) >= ttl),
        settings: row.get(4)?,
        mark: row.get(5)?,
        created_at: Timestamp::from_millisecond(created.at).ok(),
        expires_at: expires.and_then(|at| Timestamp::from_millisecond(at).ok()),
        failed_starts: row.get(9)?,
    })
}

fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

fn find(transaction: &Transaction<'_>, name: &str, now: &Moment) -> Result<Option<Pool>, TransactionError> {
    let query = format!("SELECT {COLUMNS} FROM pool WHERE name = ?1");
    Ok(transaction.prepare_cached(&query)?.query_row([name], |row| pool(row, now)).optional()?)
}

/// Returns true if a pool accepts no runs; nothing if it does not exist.
pub(super) fn is_closed(
    transaction: &Transaction<'_>,
    name: &str,
    now: &Moment,
) -> Result<Option<bool>, TransactionError> {
    Ok(find(transaction, name, now)?.map(|pool| pool.is_closing || pool.is_expired))
}

/// Refuses a pool that accepts no runs.
pub(super) fn check_open(transaction: &Transaction<'_>, name: &str, now: &Moment) -> Result<(), TransactionError> {
    match find(transaction, name, now)? {
        Some(pool) if pool.is_expired => Err(QueueError::Expired { name: name.to_owned() }.into()),
        Some(pool) if !pool.is_closing => Ok(()),
        _ => {
            let existing = transaction
                .prepare_cached("SELECT name FROM pool WHERE is_closing = 0 ORDER BY name")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            Err(QueueError::NoPool { name: name.to_owned(), existing }.into())
        }
    }
}

/// Refuses a run for any pool if no pool accepts runs.
pub(super) fn check_any_open(transaction: &Transaction<'_>, now: &Moment) -> Result<(), TransactionError> {
    let names: Vec<String> = transaction
        .prepare_cached("SELECT name FROM pool")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        if is_closed(transaction, &name, now)? == Some(false) {
            return Ok(());
        }
    }
    Err(QueueError::NoOpenPool.into())
}

/// Refuses a run that no worker would take: its pool, or each pool, has the size zero.
pub(super) fn check_has_workers(transaction: &Transaction<'_>, pool: Option<&str>) -> Result<(), TransactionError> {
    let query = "SELECT EXISTS (SELECT 1 FROM pool WHERE size > 0 AND is_closing = 0 AND name = coalesce(?1, name))";
    match transaction.prepare_cached(query)?.query_row([pool], |row| row.get(0))? {
        true => Ok(()),
        false => Err(QueueError::NoWorkers.into()),
    }
}

impl Queue {
    /// Creates a pool, or recreates one of that name that expired or is closing. A supervisor starts its workers.
    ///
    /// # Errors
    /// When an open pool has that name, or the queue cannot be written.
    pub fn add_pool(&self, spec: &PoolSpec<'_>) -> Result<(), QueueError> {
        let PoolSpec { name, size, ttl, settings, mark } = *spec;
        let now = Moment::now();
        self.write(|transaction| {
            match find(transaction, name, &now)? {
                Some(pool) if !pool.is_expired && !pool.is_closing => {
                    return Err(QueueError::Exists { name: name.to_owned() }.into());
                }
                Some(_) => {
                    // A worker that still executes a run of the old pool leaves when its row is missing.
                    transaction.execute("DELETE FROM worker WHERE pool = ?1 AND state = 'expired'", [name])?;
                    transaction.execute(
                        "UPDATE pool SET size = ?2, ttl = ?3, is_closing = 0, settings = ?4, mark = ?5, created_at = ?6,
                           uptime = ?7, boot = ?8, starts = 0 WHERE name = ?1",
                        params![name, size, ttl.map(milliseconds), settings, mark, now.at, now.uptime, now.boot],
                    )?;
                }
                None => {
                    transaction.execute(
                        "INSERT INTO pool (name, size, ttl, settings, mark, created_at, uptime, boot)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                        params![name, size, ttl.map(milliseconds), settings, mark, now.at, now.uptime, now.boot],
                    )?;
                }
            }
            Ok(())
        })
    }

    /// Changes a pool: its size, its lifetime, which counts from its creation, and its settings: a worker with former ones leaves
    /// now, or after its present run.
    ///
    /// # Errors
    /// When it does not exist or expired, or the queue cannot be written.
    pub fn change_pool(&self, spec: &PoolSpec<'_>) -> Result<(), QueueError> {
        let PoolSpec { name, size, ttl, settings, mark } = *spec;
        let now = Moment::now();
        self.write(|transaction| {
            check_open(transaction, name, &now)?;
            // A worker leaves when its row is missing.
            transaction.execute(
                "DELETE FROM worker WHERE pool = ?1 AND state IN ('pending', 'available')
                   AND EXISTS (SELECT 1 FROM pool WHERE name = ?1 AND settings <> ?2)",
                params![name, settings],
            )?;
            transaction.execute(
                "UPDATE pool SET size = ?2, ttl = ?3, settings = ?4, mark = ?5, starts = 0 WHERE name = ?1",
                params![name, size, ttl.map(milliseconds), settings, mark],
            )?;
            Ok(())
        })
    }

    /// Closes a pool: it accepts no runs, and its workers leave after their present run.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn close_pool(&self, name: &str) -> Result<(), QueueError> {
        self.write(|transaction| {
            transaction.execute("UPDATE pool SET is_closing = 1 WHERE name = ?1", [name])?;
            Ok(())
        })
    }

    /// Removes closed pools without workers; the process that closed them may be gone.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn remove_closed(&self) -> Result<(), QueueError> {
        const CLOSED: &str = "is_closing = 1 AND NOT EXISTS
            (SELECT 1 FROM worker WHERE worker.pool = pool.name AND worker.state <> 'expired')";
        let is_any: bool = self.read(|transaction| {
            let query = format!("SELECT EXISTS (SELECT 1 FROM pool WHERE {CLOSED})");
            Ok(transaction.prepare_cached(&query)?.query_row([], |row| row.get(0))?)
        })?;
        if !is_any {
            return Ok(());
        }
        self.write(|transaction| {
            transaction.execute(&format!("DELETE FROM pool WHERE {CLOSED}"), [])?;
            Ok(())
        })
    }

    /// Returns a pool.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn pool(&self, name: &str) -> Result<Option<Pool>, QueueError> {
        let now = Moment::now();
        self.read(|transaction| find(transaction, name, &now))
    }

    /// Returns all pools, by name.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn pools(&self) -> Result<Vec<Pool>, QueueError> {
        let now = Moment::now();
        self.read(|transaction| {
            let query = format!("SELECT {COLUMNS} FROM pool ORDER BY name");
            let mut statement = transaction.prepare_cached(&query)?;
            Ok(statement.query_map([], |row| pool(row, &now))?.collect::<Result<_, _>>()?)
        })
    }

    /// Refuses a pool that does not exist or accepts no runs.
    ///
    /// # Errors
    /// When the pool is refused, or the queue cannot be read.
    pub fn check_pool(&self, name: &str) -> Result<(), QueueError> {
        let now = Moment::now();
        self.read(|transaction| check_open(transaction, name, &now))
    }

    /// Names of open pools with too few workers.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn understaffed_pools(&self) -> Result<Vec<String>, QueueError> {
        let now = Moment::now();
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT it.name FROM pool AS it WHERE it.size >
                   (SELECT count(*) FROM worker WHERE worker.pool = it.name AND worker.state <> 'expired') ORDER BY it.name",
            )?;
            let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            let mut short = Vec::new();
            for name in names {
                if is_closed(transaction, &name, &now)? == Some(false) {
                    short.push(name);
                }
            }
            Ok(short)
        })
    }

    /// Generates an unused name of a worker.
    #[must_use]
    pub fn name_of_new_worker() -> String {
        name::of_worker()
    }

    /// Adds a worker to a pool with too few workers; returns false if it has enough, or if failed starts delay the next
    /// one.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn add_worker(&self, pool: &str, worker: &str) -> Result<bool, QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            if is_closed(transaction, pool, &now)?.is_none_or(|is_closed| is_closed) {
                return Ok(false);
            }
            let (missing, starts, started_at): (i64, u32, i64) = transaction.query_row(
                "SELECT it.size - (SELECT count(*) FROM worker WHERE worker.pool = it.name AND worker.state <> 'expired'),
                        it.starts, it.started_at
                 FROM pool AS it WHERE it.name = ?1",
                [pool],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
            if missing <= 0 || is_paused(starts, started_at, now.at) {
                return Ok(false);
            }
            transaction.execute("UPDATE pool SET starts = starts + 1, started_at = ?2 WHERE name = ?1", params![pool, now.at])?;
            transaction.execute(
                "INSERT INTO worker (name, pool, state, created_at) VALUES (?1, ?2, 'pending', ?3)",
                params![worker, pool, now.at],
            )?;
            Ok(true)
        })
    }

    /// Marks a worker as started; returns false if the pool does not need it.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn mark_started(&self, worker: &str) -> Result<bool, QueueError> {
        self.write(|transaction| {
            let changed = transaction
                .execute("UPDATE worker SET state = 'available' WHERE name = ?1 AND state = 'pending'", [worker])?;
            transaction.execute(
                "UPDATE pool SET starts = 0 WHERE name = (SELECT pool FROM worker WHERE name = ?1)",
                [worker],
            )?;
            Ok(changed == 1)
        })
    }

    /// Returns the worker's run if its cancellation is requested, and the principal that requested it.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn cancelled_run_of(&self, worker: &str) -> Result<Option<(String, Option<String>)>, QueueError> {
        self.read(|transaction| {
            let query = "SELECT id, cancelled_by FROM run WHERE worker = ?1 AND state = 'assigned' AND is_cancelled = 1
                         LIMIT 1";
            let mut statement = transaction.prepare_cached(query)?;
            Ok(statement.query_row([worker], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
    }

    /// Names of the workers that have not expired.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn workers(&self) -> Result<Vec<String>, QueueError> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT name FROM worker WHERE state <> 'expired' ORDER BY name")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }

    /// Removes an ended worker; in an expired pool, it stays listed as expired for a day.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn remove_worker(&self, worker: &str) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            let pool: Option<String> = transaction
                .query_row("SELECT pool FROM worker WHERE name = ?1", [worker], |row| row.get(0))
                .optional()?;
            let Some(pool) = pool else { return Ok(()) };
            let is_expired = find(transaction, &pool, &now)?.is_some_and(|pool| pool.is_expired);
            let query = match is_expired {
                true => "UPDATE worker SET state = 'expired' WHERE name = ?1",
                false => "DELETE FROM worker WHERE name = ?1",
            };
            transaction.execute(query, [worker])?;
            transaction.execute(
                "DELETE FROM worker WHERE state = 'expired'
                   AND created_at < ?1 - coalesce((SELECT it.ttl FROM pool AS it WHERE it.name = worker.pool), 0)",
                [now.at.saturating_sub(EXPIRED_LISTED)],
            )?;
            Ok(())
        })
    }

    /// Returns all workers, by pool and age.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn pods(&self) -> Result<Vec<Pod>, QueueError> {
        let now = Moment::now();
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT worker.name, worker.pool, worker.state, run.id, run.pipeline, run.root, worker.created_at,
                        pool.created_at + pool.ttl, run.record
                 FROM worker JOIN pool ON pool.name = worker.pool
                 LEFT JOIN run ON run.worker = worker.name AND run.state = 'assigned'
                 ORDER BY worker.pool, worker.created_at, worker.name",
            )?;
            let pods = statement.query_map([], |row| {
                let expires_at: Option<i64> = row.get(7)?;
                Ok(Pod {
                    name: row.get(0)?,
                    pool: row.get(1)?,
                    status: PodStatus::of(&row.get::<_, String>(2)?),
                    run: row.get(3)?,
                    pipeline: row.get(4)?,
                    root: row.get(5)?,
                    record: row.get(8)?,
                    expires_at: expires_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
                    age: duration(now.at.saturating_sub(row.get(6)?)),
                })
            })?;
            Ok(pods.collect::<Result<_, _>>()?)
        })
    }
}

/// Returns true while failed starts delay the next start. A clock that was set back ends the delay.
fn is_paused(starts: u32, started_at: i64, now: i64) -> bool {
    let Some(more) = starts.checked_sub(UNDELAYED_STARTS) else { return false };
    let pause = 1000_i64.checked_shl(more).filter(|pause| *pause > 0).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
    (0..pause).contains(&now.saturating_sub(started_at))
}
