//! Creation of databases.
//!
//! The order is: the record, the guard, the data, and last the mark in the record that all is complete. If a command is
//! killed on the way, the record remains, so that the rest can be found and removed.

use super::clock::{Deadline, Moment};
use super::databases::{Databases, GRACE};
use super::error::{DatabaseError, DatabaseErrorKind, operation_error};
use super::record::{self, Engine, Record};
use super::{account, programs, server};
use crate::executor::Executor;
use crate::executor::local::LocalExecutor;
use jiff::{SignedDuration, Timestamp};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

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

impl Databases {
    /// Default engine: PostgreSQL if it is installed, or else SQLite.
    #[must_use]
    pub fn default_engine(&self) -> Engine {
        if programs::are_installed(self.programs.as_deref()) { Engine::Postgres } else { Engine::Sqlite }
    }

    /// Creates a database. It first removes the rest of an expired or incomplete database.
    ///
    /// # Errors
    /// When it exists, cannot be created, or is cancelled; then nothing remains.
    pub async fn create(&self, spec: &DatabaseSpec, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        let engine = spec.engine.unwrap_or_else(|| self.default_engine());
        spec.check(engine)?;
        let programs = match engine {
            Engine::Postgres => Some(programs::for_new(self.programs.as_deref())?),
            Engine::Sqlite => None,
        };
        let lock = self.lock(&spec.name).await?;
        if let Some(leftover) = self.get(&spec.name)? {
            if leftover.is_whole && !leftover.is_expired && !leftover.is_due(&Moment::now()) {
                return Err(DatabaseError::new(
                    DatabaseErrorKind::AlreadyExists,
                    format!("the database `{}` exists already", spec.name),
                )
                .hint("give it another name, or import it"));
            }
            self.end_server(&leftover).await?;
            self.remove_files(&leftover)?;
        }
        let folder = self.folder_of(&spec.name);
        let id = uuid::Uuid::now_v7().to_string();
        let account = if engine == Engine::Postgres { account::choose(&self.folder)? } else { None };
        let data = match engine {
            Engine::Postgres => account::place(&folder, &id, account.as_ref()).join("data"),
            Engine::Sqlite => folder.join("database.db"),
        };
        let mut record = Record {
            id,
            name: spec.name.clone(),
            engine,
            made_at: Timestamp::now(),
            is_whole: false,
            is_stopped: false,
            is_expired: false,
            is_fresh: spec.is_fresh,
            ttl: spec.ttl.clone(),
            deadline: spec.deadline(&Moment::now())?,
            port: spec.port,
            is_port_fixed: spec.port.is_some(),
            has_page: spec.has_page,
            data,
            account,
            version: None,
            mark: spec.mark.clone(),
        };
        let created = self.create_recorded(&mut record, programs.as_ref(), cancel).await;
        if let Err(error) = created {
            // The first error is reported, not those of the cleanup.
            let _ = LocalExecutor.end_leftover_processes(&record.process_mark(), GRACE).await;
            let _ = self.forget(&record, lock);
            return Err(error);
        }
        drop(lock);
        self.guard_one(&record).await;
        Ok(record)
    }

    async fn create_recorded(
        &self,
        record: &mut Record,
        programs: Option<&programs::Programs>,
        cancel: &CancellationToken,
    ) -> Result<(), DatabaseError> {
        let folder = self.folder_of(&record.name);
        let created = crate::private::folder(&folder).and_then(|()| match &record.account {
            Some(_) if record.data.starts_with(&folder) => account::open(&folder),
            _ => Ok(()),
        });
        created.map_err(|error| operation_error("create the folder of", &record.name, &error))?;
        self.write(record)?;
        self.start_guard(record);
        match programs {
            None => {
                // Users who may read the project must not read the data of its pipelines.
                let file = File::options().create_new(true).write(true).mode(0o600).open(&record.data);
                file.map_err(|error| operation_error("create the file of", &record.name, &error))?;
            }
            Some(programs) => {
                let password = record::new_password()?;
                record::store_password(&folder, &password)
                    .map_err(|error| operation_error("store the password of", &record.name, &error))?;
                server::initialise(programs, &folder, record, &password, cancel).await?;
                let version = fs::read_to_string(record.data.join("PG_VERSION")).ok();
                record.version = version.map(|version| version.trim().to_owned());
                server::start(programs, &folder, record, cancel).await?;
            }
        }
        record.is_whole = true;
        // The lifetime begins when the database is ready.
        record.deadline = DatabaseSpec::from_record(record).deadline(&Moment::now())?;
        self.write(record)
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
