//! Where a store is, as a person writes it: `sqlite:PATH`, `postgres://…`.

use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The place of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file, `sqlite:PATH`; relative paths are relative to the working directory.
    Sqlite(PathBuf),
    /// A SQLite database that lives as long as the store does, `sqlite::memory:`.
    SqliteMemory,
    /// A PostgreSQL database, `postgres://…` or `postgresql://…`.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database, which may hold a password: what is shown of it is user, host and database.
#[derive(Clone)]
pub struct PostgresUrl {
    given: SecretString,
    shown: String,
}

impl PostgresUrl {
    fn new(given: &str) -> Self {
        Self { given: SecretString::from(given), shown: shown(given) }
    }

    /// Whether it can be understood; nothing that it names is looked at.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    #[cfg(feature = "postgres")]
    pub fn check(&self) -> Result<(), String> {
        crate::postgres::understood(self).map(drop)
    }

    /// All of it, for whoever connects.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "nobody connects"))]
    pub(crate) fn expose(&self) -> &str {
        self.given.expose_secret()
    }
}

/// What of a URL is no secret. A password that was not escaped may have any character: whatever stands between the first
/// colon and the last `@` is taken for one, and all parameters for more.
fn shown(given: &str) -> String {
    let rest = given.split_once("://").map_or(given, |(_, rest)| rest);
    let (user, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (credentials.split([':', '/', '?', '@']).next(), place),
        None => (None, rest),
    };
    let place = place.split(['?', '&']).next().unwrap_or_default();
    match user {
        Some(user) => format!("postgres://{user}@{place}"),
        None => format!("postgres://{place}"),
    }
}

/// What of a text that is no place of a store is no secret: a password may follow its scheme, stand before an `@`, or be a
/// parameter.
fn beginning(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.contains(['@', '=', ':']) => format!("{scheme}://…"),
        None if !text.contains(['@', '=']) => text.to_owned(),
        _ => "…".to_owned(),
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.given.expose_secret() == other.given.expose_secret()
    }
}

impl Eq for PostgresUrl {}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.shown).finish()
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A text is no place of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// It does not begin with a known scheme.
    #[error("`{0}` is not a state: expected `sqlite:PATH` or `postgres://…`")]
    UnknownScheme(String),
    /// There is nothing behind `sqlite:`.
    #[error("`sqlite:` names no file: expected `sqlite:PATH`, such as `sqlite:.terrace/state.db`")]
    NoPath,
}

impl StoreUrl {
    /// The same place with a relative path resolved against a folder.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(folder.join(path)),
            other => other,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(PostgresUrl::new(text)));
        }
        let Some(rest) = text.strip_prefix("sqlite:") else {
            return Err(StoreUrlError::UnknownScheme(beginning(text)));
        };
        // `sqlite://relative` and `sqlite:///absolute` are what other tools write.
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            "" => Err(StoreUrlError::NoPath),
            ":memory:" => Ok(Self::SqliteMemory),
            path => Ok(Self::Sqlite(PathBuf::from(path))),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::SqliteMemory => f.write_str("sqlite::memory:"),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> StoreUrl {
        StoreUrl::Sqlite(PathBuf::from(path))
    }

    #[test]
    fn a_sqlite_url_is_a_path() {
        assert_eq!("sqlite:.terrace/state.db".parse(), Ok(file(".terrace/state.db")));
        assert_eq!("sqlite:///var/state.db".parse(), Ok(file("/var/state.db")));
        assert_eq!("sqlite://state.db".parse(), Ok(file("state.db")));
        assert_eq!("sqlite::memory:".parse(), Ok(StoreUrl::SqliteMemory));
        assert_eq!(file("a b.db").to_string(), "sqlite:a b.db");
    }

    #[test]
    fn relative_paths_are_resolved_and_absolute_ones_kept() {
        assert_eq!(file("a.db").relative_to(Path::new("/project")), file("/project/a.db"));
        assert_eq!(file("/a.db").relative_to(Path::new("/project")), file("/a.db"));
    }

    #[test]
    fn what_is_no_state_is_refused_without_repeating_a_password() {
        assert_eq!("sqlite:".parse::<StoreUrl>(), Err(StoreUrlError::NoPath));
        assert!("state.db".parse::<StoreUrl>().unwrap_err().to_string().contains("`state.db`"));
        for wrong in [
            "mysql://me:secret@host/db",
            "postgres:/me:secret@host/db",
            "postgres//me:secret@host/db",
            "me:secret@host/db",
            "me:secret@host://db",
            "host=h user=u password=secret",
        ] {
            let told = wrong.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn of_a_postgres_url_user_host_and_database_are_shown() {
        for (given, shown) in [
            ("postgres://host/db", "postgres://host/db"),
            ("postgres:///db?host=/tmp&port=1", "postgres:///db"),
            ("postgres://me@host:5433/db", "postgres://me@host:5433/db"),
            ("postgresql://me:secret@host/db?sslmode=require", "postgres://me@host/db"),
            ("postgres://me:sec/r?e@t:secret@host/db", "postgres://me@host/db"),
            ("postgres://host/db?password=secret", "postgres://host/db"),
            ("postgres://host/db?user=me@there&password=secret", "postgres://host@there"),
        ] {
            let url: StoreUrl = given.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"), "{url:?}");
            assert_eq!(url, given.parse().unwrap());
        }
        assert_ne!("postgres://me:a@host".parse::<StoreUrl>(), "postgres://me:b@host".parse());
    }
}
