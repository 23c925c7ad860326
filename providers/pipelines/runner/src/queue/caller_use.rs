//! The use of callers, which their limits refer to. The queue reads it and adds a run in one transaction, so that two
//! starts at once cannot both take the last place.

use super::clock::Moment;
use super::limit::{CallerLimits, CallerUse, Demand, Exceeded, check, day};
use super::request::Requester;
use super::{Queue, QueueError, QueueRequest, TransactionError};
use jiff::Timestamp;
use rusqlite::{ToSql, Transaction, params};

/// A lifetime that a database gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifetime {
    /// Name of the database.
    pub database: String,
    /// Seconds; nothing for a database that does not end.
    pub seconds: Option<u64>,
}

/// Condition for a result that a run did not take from a run of a schedule, which counts for no caller.
const OWN_RESULT: &str = "ending ->> '$.ran.scheduledJob' IS NULL";

/// Refuses a request beyond the limits of its caller or of the caller's organisation. Callers without names count as one. `run`
/// is the run of a [`Demand::Run`].
pub(super) fn check_requester(
    transaction: &Transaction<'_>,
    by: &Requester,
    demand: Demand,
    run: Option<&QueueRequest>,
    now: &Moment,
) -> Result<(), TransactionError> {
    let own = ("caller", by.caller.as_ref(), &by.limits);
    let shared = by.organisation.as_ref().map(|name| ("organisation", Some(name), &by.organisation_limits));
    for (column, name, limits) in [own].into_iter().chain(shared) {
        if *limits == CallerLimits::default() {
            continue;
        }
        let used = use_of(transaction, column, name, run, now)?;
        let at = Timestamp::from_millisecond(now.at).unwrap_or(Timestamp::UNIX_EPOCH);
        if let Err(exceeded) = check(&used, limits, demand, at) {
            let organisation = name.filter(|_| column == "organisation").cloned();
            return Err(QueueError::OverLimit(Box::new(Exceeded { organisation, ..exceeded })).into());
        }
    }
    Ok(())
}

/// Reads the use of a caller or an organisation. `column` names the column of its name. The results that `run` replaces do not count.
fn use_of(
    transaction: &Transaction<'_>,
    column: &'static str,
    name: Option<&String>,
    run: Option<&QueueRequest>,
    now: &Moment,
) -> Result<CallerUse, TransactionError> {
    let since = Timestamp::from_millisecond(now.at).ok().and_then(day).map_or(now.at, Timestamp::as_millisecond);
    let sum = |query: &str, parameters: &[&dyn ToSql]| -> Result<u64, TransactionError> {
        // A total is a floating-point number, which cannot overflow. Steps report statistics of any type.
        let query = format!("SELECT CAST(({query}) AS INTEGER)");
        let query = query.replace("{runs}", "request JOIN run ON run.id = request.run").replace("{column}", column);
        let query = query.replace("{own}", OWN_RESULT);
        let mut statement = transaction.prepare_cached(&query)?;
        let found: Option<i64> = statement.query_row(parameters, |row| row.get(0))?;
        Ok(found.and_then(|found| u64::try_from(found).ok()).unwrap_or_default())
    };
    let today: [&dyn ToSql; 3] = [&name, &since, &now.at];
    let concurrent_runs =
        sum("SELECT count(*) FROM {runs} WHERE request.{column} IS ?1 AND run.state <> 'ended'", &[&name])?;
    let milliseconds = sum(
        "SELECT total(max(0, coalesce(ended_at, ?3) - max(assigned_at, ?2))) FROM {runs}
         WHERE request.{column} IS ?1 AND assigned_at IS NOT NULL AND coalesce(ended_at, ?3) > ?2",
        &today,
    )?;
    let rows = sum(
        "SELECT total(ending ->> '$.ran.rows') FROM {runs}
         WHERE request.{column} IS ?1 AND run.state = 'ended' AND ended_at BETWEEN ?2 AND ?3 AND {own}",
        &today,
    )?;
    // A result counts for the caller whose run wrote it last. SQLite takes the values of the row with the greatest number.
    let stored_bytes = sum(
        "SELECT total(bytes) FROM (
           SELECT ending ->> '$.ran.stats.bytes' AS bytes, request.{column} AS owner, request.run AS requested, max(run.number)
           FROM run LEFT JOIN request ON request.run = run.id
           WHERE is_good = 1 AND ending ->> '$.ran.stats.bytes' > 0 AND {own} AND NOT (folder IS ?2 AND pipeline IS ?3)
           GROUP BY folder, pipeline)
         WHERE owner IS ?1 AND requested IS NOT NULL",
        &[&name, &run.map(|run| &run.folder), &run.map(|run| &run.pipeline)],
    )?;
    let database_seconds =
        sum("SELECT total(seconds) FROM extension WHERE {column} IS ?1 AND at BETWEEN ?2 AND ?3", &today)?;
    Ok(CallerUse { concurrent_runs, run_seconds: milliseconds / 1000, rows, stored_bytes, database_seconds })
}

impl Queue {
    /// Notes that a caller extends the lifetime of a database.
    ///
    /// # Errors
    /// When a limit refuses it, or the queue cannot be written.
    pub fn note_extension(&self, by: &Requester, database: &str, seconds: u64) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            let life = Lifetime { database: database.to_owned(), seconds: Some(seconds) };
            count(transaction, by, &life, None, &now)
        })
    }

    /// Counts the lifetimes that an operation gives databases, all or none. Those that it counted before a crash count once.
    ///
    /// # Errors
    /// When a limit refuses one, or the queue cannot be written.
    pub fn note_lifetimes(&self, by: &Requester, operation: &str, lives: &[Lifetime]) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            for life in lives {
                let query = "SELECT EXISTS (SELECT 1 FROM extension WHERE operation = ?1 AND database = ?2)";
                let is_counted: bool = transaction
                    .prepare_cached(query)?
                    .query_row([operation, life.database.as_str()], |row| row.get(0))?;
                if !is_counted {
                    count(transaction, by, life, Some(operation), &now)?;
                }
            }
            Ok(())
        })
    }
}

/// Counts a lifetime, unless a limit refuses it.
fn count(
    transaction: &Transaction<'_>,
    by: &Requester,
    life: &Lifetime,
    operation: Option<&str>,
    now: &Moment,
) -> Result<(), TransactionError> {
    let demand = life.seconds.map_or(Demand::EndlessDatabase, Demand::DatabaseSeconds);
    check_requester(transaction, by, demand, None, now)?;
    let seconds = i64::try_from(life.seconds.unwrap_or_default()).unwrap_or(i64::MAX);
    transaction.execute(
        "INSERT INTO extension (caller, organisation, database, seconds, at, operation) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![by.caller, by.organisation, life.database, seconds, now.at, operation],
    )?;
    transaction.execute("DELETE FROM extension WHERE at < ?1 - 172800000", [now.at])?;
    Ok(())
}
