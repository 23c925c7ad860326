//! The use of callers, which their limits refer to. The queue reads it and adds a run in one transaction, so that two
//! starts at once cannot both take the last place.

use super::clock::Moment;
use super::limit::{CallerLimits, CallerUse, Demand, Exceeded, check, day};
use super::request::Requester;
use super::{Queue, QueueError, TransactionError};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

/// Refuses a request beyond the limits of its caller or of the caller's organisation. Callers without names count as one.
pub(super) fn check_requester(
    transaction: &Transaction<'_>,
    by: &Requester,
    demand: Demand,
    now: &Moment,
) -> Result<(), TransactionError> {
    let own = ("caller", by.caller.as_ref(), &by.limits);
    let shared = by.organisation.as_ref().map(|name| ("organisation", Some(name), &by.organisation_limits));
    for (column, name, limits) in [own].into_iter().chain(shared) {
        if *limits == CallerLimits::default() {
            continue;
        }
        let used = use_of(transaction, column, name, now)?;
        let at = Timestamp::from_millisecond(now.at).unwrap_or(Timestamp::UNIX_EPOCH);
        if let Err(exceeded) = check(&used, limits, demand, at) {
            let organisation = name.filter(|_| column == "organisation").cloned();
            return Err(QueueError::OverLimit(Box::new(Exceeded { organisation, ..exceeded })).into());
        }
    }
    Ok(())
}

/// Reads the use of a caller or an organisation. `column` names the column of its name.
fn use_of(
    transaction: &Transaction<'_>,
    column: &'static str,
    name: Option<&String>,
    now: &Moment,
) -> Result<CallerUse, TransactionError> {
    let since = Timestamp::from_millisecond(now.at).ok().and_then(day).map_or(now.at, Timestamp::as_millisecond);
    let sum = |query: &str, has_times: bool| -> Result<u64, TransactionError> {
        // A total is a floating-point number, which cannot overflow. Steps report statistics of any type.
        let query = format!("SELECT CAST(({query}) AS INTEGER)");
        let query = query.replace("{runs}", "request JOIN run ON run.id = request.run").replace("{column}", column);
        let mut statement = transaction.prepare_cached(&query)?;
        let found: Option<i64> = match has_times {
            true => statement.query_row(params![name, since, now.at], |row| row.get(0))?,
            false => statement.query_row(params![name], |row| row.get(0))?,
        };
        Ok(found.and_then(|found| u64::try_from(found).ok()).unwrap_or_default())
    };
    let concurrent_runs =
        sum("SELECT count(*) FROM {runs} WHERE request.{column} IS ?1 AND run.state <> 'ended'", false)?;
    let milliseconds = sum(
        "SELECT total(max(0, coalesce(ended_at, ?3) - max(assigned_at, ?2))) FROM {runs}
         WHERE request.{column} IS ?1 AND assigned_at IS NOT NULL AND coalesce(ended_at, ?3) > ?2",
        true,
    )?;
    let rows = sum(
        "SELECT total(ending ->> '$.ran.rows') FROM {runs}
         WHERE request.{column} IS ?1 AND run.state = 'ended' AND ended_at BETWEEN ?2 AND ?3",
        true,
    )?;
    // SQLite takes the bytes from the row with the greatest number.
    let stored_bytes = sum(
        "SELECT total(bytes) FROM (
           SELECT ending ->> '$.ran.stats.bytes' AS bytes, max(run.number) FROM {runs}
           WHERE request.{column} IS ?1 AND is_good = 1 AND ending ->> '$.ran.stats.bytes' > 0
           GROUP BY folder, pipeline)",
        false,
    )?;
    let database_seconds =
        sum("SELECT total(seconds) FROM extension WHERE {column} IS ?1 AND at BETWEEN ?2 AND ?3", true)?;
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
            check_requester(transaction, by, Demand::DatabaseSeconds(seconds), &now)?;
            transaction.execute(
                "INSERT INTO extension (caller, organisation, database, seconds, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![by.caller, by.organisation, database, i64::try_from(seconds).unwrap_or(i64::MAX), now.at],
            )?;
            transaction.execute("DELETE FROM extension WHERE at < ?1 - 172800000", [now.at])?;
            Ok(())
        })
    }
}
