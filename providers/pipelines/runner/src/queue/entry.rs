//! Runs that wait for a worker: adding, listing and cancelling them.

use super::assignment::transition;
use super::clock::Moment;
use super::{Queue, QueueError, TransactionError};
use crate::execution_options::ExecutionOptions;
use crate::run::Record;
use crate::run::batch::HoldReason;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Request for a run in the queue.
#[derive(Debug, Clone)]
pub struct QueueRequest {
    /// Pool whose workers may run it; nothing for any pool.
    pub pool: Option<String>,
    /// Folder of the specs.
    pub root: PathBuf,
    /// Name of the folder in records.
    pub folder: String,
    /// Id of the pipeline.
    pub pipeline: String,
    /// Options of the run.
    pub options: Options,
    /// Runs that must end first, by position in the same call; later positions are ignored.
    pub after: Vec<usize>,
}

/// Options of a queued run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Run only if an input changed.
    pub only_dirty: bool,
    /// Run even if dependencies have not been run.
    pub is_forced: bool,
    /// Reuse results that steps cached, while they are valid.
    pub uses_cache: bool,
    /// Maximum time of the run.
    pub timeout: Option<Duration>,
    /// Time to wait for other runs of the pipeline.
    #[serde(rename = "patience")]
    pub lock_timeout: Duration,
    /// Number of retries, if it differs from the pool's settings.
    #[serde(default)]
    pub retries: Option<u32>,
    /// Values of parameters, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Options of its pods.
    #[serde(default, skip_serializing_if = "ExecutionOptions::is_empty")]
    pub execution: ExecutionOptions,
}

/// Phase of a queued run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for a worker.
    Queued,
    /// A worker runs it.
    Assigned,
    /// It ended.
    Ended,
}

impl Phase {
    /// Word in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Assigned => "assigned",
            Self::Ended => "ended",
        }
    }
}

/// Outcome of a queued run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It was run: the record has the result.
    Ran(Box<Record>),
    /// The last result is still valid.
    Clean,
    /// A dependency prevented the run.
    Held {
        /// The dependency.
        by: String,
        /// The reason.
        why: HoldReason,
    },
    /// It was not run.
    NotRun {
        /// The reason.
        why: NotRunReason,
        /// Message, in lines.
        what: Vec<String>,
        /// Principal that cancelled it, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
}

/// Reason why a queued run was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotRunReason {
    /// It was cancelled before its start.
    Cancelled,
    /// Another run of the pipeline did not end in time.
    Taken,
    /// Any other reason: no spec, no environment, no worker.
    Impossible,
}

impl Ending {
    /// Returns true if the pipeline has a valid result.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self {
            Self::Ran(record) => record.state == crate::run::State::Succeeded,
            Self::Clean => true,
            Self::Held { .. } | Self::NotRun { .. } => false,
        }
    }

    /// The same outcome of a run that a principal cancelled before its start.
    pub(super) fn cancelled_by(self, principal: Option<&str>) -> Self {
        match self {
            Self::NotRun { why: why @ NotRunReason::Cancelled, what, by } => {
                Self::NotRun { why, what, by: by.or_else(|| principal.map(str::to_owned)) }
            }
            other => other,
        }
    }

    /// Outcome of a run that did not start, without a known principal.
    pub(crate) const fn not_run(why: NotRunReason, what: Vec<String>) -> Self {
        Self::NotRun { why, what, by: None }
    }

    /// Outcome of a run that cannot be run, with its reason.
    #[must_use]
    pub fn impossible(what: impl Into<String>) -> Self {
        Self::not_run(NotRunReason::Impossible, vec![what.into()])
    }
}

/// State of a queued run.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id; the record of its first attempt has the same id.
    pub id: String,
    /// Pool whose workers may run it.
    pub pool: Option<String>,
    /// Folder of the specs.
    pub root: PathBuf,
    /// Name of the folder in records.
    pub folder: String,
    /// Id of the pipeline.
    pub pipeline: String,
    /// Options of the run.
    pub options: Options,
    /// Its phase.
    pub phase: Phase,
    /// It was cancelled.
    pub is_cancelled: bool,
    /// Principal that cancelled it, if known.
    pub cancelled_by: Option<String>,
    /// Number of attempts.
    pub attempt: u32,
    /// Worker that runs it, or ran it last.
    pub worker: Option<String>,
    /// Record of the last attempt, or of the run whose result it took.
    pub record: Option<String>,
    /// Its outcome.
    pub ending: Option<Ending>,
    /// Time of the request.
    pub queued_at: Timestamp,
    /// Time of its end.
    pub ended_at: Option<Timestamp>,
}

impl Entry {
    /// Returns true for a run that ended without being run. An earlier interrupted attempt may have started its steps:
    /// its record shows that.
    #[must_use]
    pub fn was_not_run(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| !matches!(ending, Ending::Ran(_)))
    }

    /// The run of a schedule in a cluster whose result it took: that run was in progress, and succeeded with the same inputs.
    #[must_use]
    pub fn taken_run(&self) -> Option<&str> {
        match &self.ending {
            Some(Ending::Ran(record)) => record.scheduled_job.as_ref().map(|_| record.run.as_str()),
            _ => None,
        }
    }
}

/// Columns of an entry, in the order in which [`entry`] reads them.
pub(super) const COLUMNS: &str = "id, pool, root, folder, pipeline, options, state, is_cancelled, attempt, worker, record, ending, \
     queued_at, ended_at, cancelled_by";

/// Condition for a run that ended without being run, because that was not possible, or it was cancelled.
const NOT_RUN: &str = "(ending ->> '$.notrun.why' IS NOT NULL OR ending ->> '$.held.by' IS NOT NULL)";

/// Reads a row.
pub(super) fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let phase: String = row.get(6)?;
    Ok(Entry {
        id: row.get(0)?,
        pool: row.get(1)?,
        root: PathBuf::from(row.get::<_, String>(2)?),
        folder: row.get(3)?,
        pipeline: row.get(4)?,
        options: json(5, &row.get::<_, String>(5)?)?,
        phase: match phase.as_str() {
            "queued" => Phase::Queued,
            "assigned" => Phase::Assigned,
            _ => Phase::Ended,
        },
        is_cancelled: row.get(7)?,
        cancelled_by: row.get(14)?,
        attempt: row.get(8)?,
        worker: row.get(9)?,
        record: row.get(10)?,
        ending: row.get::<_, Option<String>>(11)?.map(|text| json(11, &text)).transpose()?,
        queued_at: timestamp(12, row.get(12)?)?,
        ended_at: row.get::<_, Option<i64>>(13)?.map(|at| timestamp(13, at)).transpose()?,
    })
}

fn json<T: for<'a> Deserialize<'a>>(column: usize, text: &str) -> Result<T, rusqlite::Error> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn timestamp(column: usize, at: i64) -> Result<Timestamp, rusqlite::Error> {
    Timestamp::from_millisecond(at)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error)))
}

/// Serializes a value to JSON text.
pub(super) fn text<T: Serialize>(value: &T) -> Result<String, TransactionError> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)).into())
}

impl Queue {
    /// Adds runs to the queue, all or none; returns their ids in the same order.
    ///
    /// # Errors
    /// When a pool does not exist or expired, or the queue cannot be written.
    pub fn enqueue(&self, requests: &[QueueRequest]) -> Result<Vec<String>, QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            let pools: BTreeSet<&str> = requests.iter().filter_map(|request| request.pool.as_deref()).collect();
            pools.into_iter().try_for_each(|pool| super::pool::check_open(transaction, pool, &now))?;
            let mut ids: Vec<String> = Vec::with_capacity(requests.len());
            for request in requests {
                let id = insert(transaction, request, &now)?;
                for before in request.after.iter().filter_map(|position| ids.get(*position)) {
                    transaction
                        .execute("INSERT OR IGNORE INTO run_after (run, before) VALUES (?1, ?2)", [&id, before])?;
                }
                ids.push(id);
            }
            Ok(ids)
        })
    }

    /// Returns a run by id.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, QueueError> {
        self.read(|transaction| one(transaction, id))
    }

    /// Ids of runs and of the records of their attempts that start with this text, each with the id of its run.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn ids_starting_with(&self, text: &str) -> Result<BTreeMap<String, String>, QueueError> {
        let is_of_an_id = !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if !is_of_an_id {
            return Ok(BTreeMap::new());
        }
        self.read(|transaction| {
            let query = "SELECT id, id FROM run WHERE id LIKE ?1
                 UNION SELECT record, run FROM transition WHERE state = 'assigned' AND record LIKE ?1";
            let mut statement = transaction.prepare_cached(query)?;
            let ids = statement.query_map([format!("{text}%")], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Runs of a pipeline that have not ended, or could not start, oldest first.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn of_pipeline(&self, folder: &str, pipeline: &str) -> Result<Vec<Entry>, QueueError> {
        self.read(|transaction| {
            let query = format!(
                "SELECT {COLUMNS} FROM run WHERE folder = ?1 AND pipeline = ?2
                   AND (state <> 'ended' OR {NOT_RUN} AND ending ->> '$.notrun.why' IS NOT 'cancelled')
                 ORDER BY number"
            );
            let mut statement = transaction.prepare_cached(&query)?;
            Ok(statement.query_map([folder, pipeline], entry)?.collect::<Result<_, _>>()?)
        })
    }

    /// The run whose end a waiting run needs: a dependency, or the present run of its pipeline. Nothing if it waits for a worker
    /// only.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn awaited(&self, id: &str) -> Result<Option<Entry>, QueueError> {
        self.read(|transaction| {
            let query = format!(
                "SELECT {COLUMNS} FROM run
                 WHERE state <> 'ended' AND id IN (SELECT before FROM run_after WHERE run = ?1)
                    OR state = 'assigned' AND id <> ?1
                   AND (folder, pipeline) = (SELECT folder, pipeline FROM run WHERE id = ?1)
                 ORDER BY number LIMIT 1"
            );
            Ok(transaction.prepare_cached(&query)?.query_row([id], entry).optional()?)
        })
    }

    /// Runs that have not ended, or ended without being run although a result was needed, newest first: those that match, at most
    /// `limit`.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn without_a_run(&self, limit: usize, matches: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, QueueError> {
        self.read(|transaction| {
            let query = format!("SELECT {COLUMNS} FROM run WHERE state <> 'ended' OR {NOT_RUN} ORDER BY number DESC");
            let mut statement = transaction.prepare_cached(&query)?;
            let entries = statement.query_map([], entry)?;
            let matching = entries.filter(|entry| entry.as_ref().map_or(true, &matches));
            Ok(matching.take(limit).collect::<Result<_, _>>()?)
        })
    }

    /// Returns those of the runs that changed phase after the transition `since`, and the number of the newest
    /// transition for the next call.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn changed(&self, ids: &BTreeSet<String>, since: i64) -> Result<(Vec<Entry>, i64), QueueError> {
        self.read(|transaction| {
            let newest: i64 =
                transaction.query_row("SELECT coalesce(max(number), 0) FROM transition", [], |row| row.get(0))?;
            let mut statement =
                transaction.prepare_cached("SELECT DISTINCT run FROM transition WHERE number > ?1 ORDER BY number")?;
            let changed_ids =
                statement.query_map([since], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            let mut seen = BTreeSet::new();
            let mut entries = Vec::new();
            for id in changed_ids.iter().filter(|id| ids.contains(*id)) {
                if seen.insert(id) {
                    entries.extend(one(transaction, id)?);
                }
            }
            Ok((entries, newest))
        })
    }

    /// Number of waiting runs, and of assigned ones.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn counts(&self) -> Result<(i64, i64), QueueError> {
        self.read(|transaction| {
            let count = |state: &str| {
                transaction.query_row("SELECT count(*) FROM run WHERE state = ?1", [state], |row| row.get(0))
            };
            Ok((count("queued")?, count("assigned")?))
        })
    }
}

/// Adds a waiting run, and returns its id.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    request: &QueueRequest,
    now: &Moment,
) -> Result<String, TransactionError> {
    let id = Uuid::now_v7().to_string();
    transaction.execute(
        "INSERT INTO run (id, pool, root, folder, pipeline, options, state, queued_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?7)",
        params![
            id,
            request.pool,
            request.root.display().to_string(),
            request.folder,
            request.pipeline,
            text(&request.options)?,
            now.at
        ],
    )?;
    transition(transaction, &id, Phase::Queued.word(), now.at)?;
    Ok(id)
}

/// Returns a run by id.
pub(super) fn one(transaction: &Transaction<'_>, id: &str) -> Result<Option<Entry>, TransactionError> {
    let query = format!("SELECT {COLUMNS} FROM run WHERE id = ?1");
    Ok(transaction.prepare_cached(&query)?.query_row([id], entry).optional()?)
}
