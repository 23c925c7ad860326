//! Desired state of a database.

use super::clock::{Deadline, Moment};
use super::error::{DatabaseError, DatabaseErrorKind};
use super::record::{self, DataClaim, Engine, Record};
use jiff::SignedDuration;
use std::time::Duration;

/// Longest lifetime: a longer one is a typing error, or means for ever.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Prefix of databases that are created for a run.
const RUN_PREFIX: &str = "dppctl-db-";
/// Letters of such a name, and its length.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const LENGTH: usize = 13;

/// Desired state of a database.
#[derive(Debug, Clone, Default)]
pub struct DatabaseSpec {
    /// Its name.
    pub name: String,
    /// Its engine; without it, PostgreSQL if it is installed, or else SQLite.
    pub engine: Option<Engine>,
    /// Lifetime, as in `1h30m`; without it, until it is removed.
    pub ttl: Option<String>,
    /// Port of its server; without it, a free one.
    pub port: Option<u16>,
    /// Show a page with its tables.
    pub has_page: bool,
    /// It is created for a run, and not declared.
    pub is_fresh: bool,
    /// Call that creates it.
    pub mark: Option<String>,
    /// Mark of its first creation, which others with its name do not have; nothing for a database of all projects of its cluster.
    pub owner: Option<String>,
    /// Claim for the data of a server in a cluster; without it, the data ends with its pod.
    pub claim: Option<DataClaim>,
}

/// Parses a lifetime: numbers with `d`, `h`, `m` and `s`.
///
/// # Errors
/// When the text is not a lifetime; the error is for people.
pub fn time_to_live(text: &str) -> Result<Duration, String> {
    // The library also parses `5 minutes ago`, `PT5M` and `-5m`, which are not supported here.
    let is_plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 'd' | 'h' | 'm' | 's' | '.'));
    let signed: Option<SignedDuration> = is_plain.then(|| with_days(text)).flatten();
    let span = signed.and_then(|signed| Duration::try_from(signed).ok());
    let span = span.ok_or("expected numbers with their units, such as `90s`, `5m` or `1h30m`")?;
    match span {
        Duration::ZERO => Err("expected more than zero".to_owned()),
        span if span > LONGEST => {
            Err("expected at most a year (365d); omit it to keep the database until it is removed".to_owned())
        }
        span => Ok(span),
    }
}

/// Parses a duration with days of 24 hours.
fn with_days(text: &str) -> Option<SignedDuration> {
    let (days, rest) = text.split_once('d').unwrap_or(("0", text));
    let days = SignedDuration::from_hours(days.parse::<u32>().ok()?.into()).checked_mul(24)?;
    if rest.is_empty() { Some(days) } else { days.checked_add(rest.parse().ok()?) }
}

impl DatabaseSpec {
    /// Database with a generated name, for a run.
    ///
    /// # Errors
    /// When the system provides no random numbers.
    pub fn for_run(ttl: String) -> Result<Self, DatabaseError> {
        let letters = record::random(LENGTH)?;
        let letters = letters.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 32)));
        let name = RUN_PREFIX.chars().chain(letters.map(|letter| char::from(*letter))).collect();
        Ok(Self { name, ttl: Some(ttl), has_page: true, is_fresh: true, ..Self::default() })
    }

    /// Description of an existing database, to recreate it.
    pub(super) fn from_record(record: &Record) -> Self {
        Self {
            name: record.name.clone(),
            engine: Some(record.engine),
            ttl: record.ttl.clone(),
            port: record.port.filter(|_| record.is_port_fixed),
            has_page: record.has_page,
            is_fresh: record.is_fresh,
            mark: record.mark.clone(),
            owner: record.cluster.as_ref().and_then(|cluster| cluster.owner.clone()),
            claim: record.cluster.as_ref().and_then(|cluster| cluster.claim.clone()),
        }
    }

    /// Refuses values that are not valid.
    ///
    /// # Errors
    /// When a value is not valid for the engine.
    pub fn check(&self, engine: Engine) -> Result<(), DatabaseError> {
        record::check_name(&self.name)?;
        if engine == Engine::Sqlite && self.port.is_some() {
            return Err(DatabaseError::new(
                DatabaseErrorKind::Invalid,
                format!("the database `{}` is a file of SQLite and has no port", self.name),
            )
            .hint("omit `port`, or write `engine: postgres`"));
        }
        self.deadline(&Moment::now()).map(|_| ())
    }

    /// Its deadline.
    pub(super) fn deadline(&self, now: &Moment) -> Result<Option<Deadline>, DatabaseError> {
        let Some(ttl) = &self.ttl else { return Ok(None) };
        let span = time_to_live(ttl)
            .map_err(|why| DatabaseError::new(DatabaseErrorKind::Invalid, format!("`ttl` is `{ttl}`: {why}")))?;
        Ok(Some(Deadline::after(span, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_units_and_limits() {
        for (text, seconds) in [("2s", 2), ("1h", 3600), ("1h30m", 5400), ("7d", 7 * 86400), ("1d12h", 36 * 3600)] {
            assert_eq!(time_to_live(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "1", "-1h", "0s", "1y", "366d", "9000h", "PT1H", "1h ago", "99999999999999999999d", "d", "1d1d"]
        {
            assert!(time_to_live(text).is_err(), "{text}");
        }
    }

    #[test]
    fn database_for_a_run_has_documented_name_form() {
        let (first, second) =
            (DatabaseSpec::for_run("1h".to_owned()).unwrap(), DatabaseSpec::for_run("1h".to_owned()).unwrap());
        assert_eq!(first.name.len(), "dppctl-db-koejijdif48jo".len());
        assert!(first.name.starts_with("dppctl-db-") && record::check_name(&first.name).is_ok());
        assert_ne!(first.name, second.name);
    }

    #[test]
    fn sqlite_database_has_no_port() {
        let spec = DatabaseSpec { name: "x".to_owned(), port: Some(5432), ..DatabaseSpec::default() };
        assert!(spec.check(Engine::Sqlite).unwrap_err().hint.unwrap().contains("engine: postgres"));
        assert!(spec.check(Engine::Postgres).is_ok());
    }
}
