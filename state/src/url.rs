//! Location of a store in the form that users write: `sqlite:PATH`, `postgres://…`.

use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The location of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file, `sqlite:PATH`; relative paths are relative to the working directory.
    Sqlite(PathBuf),
    /// A SQLite database that ends with the store, `sqlite::memory:`.
    SqliteMemory,
    /// A PostgreSQL database, `postgres://…` or `postgresql://…`.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database. It may contain a password, so that only user, host and database are shown.
#[derive(Clone)]
pub struct PostgresUrl {
    given: SecretString,
    shown: String,
}

impl PostgresUrl {
    fn new(given: &str) -> Self {
        Self { given: SecretString::from(given), shown: shown(given) }
    }

    /// Checks that the URL can be parsed, without connecting.
    ///
    /// # Errors
    /// When it cannot, with the reason but without the password.
    #[cfg(feature = "postgres")]
    pub fn check(&self) -> Result<(), String> {
        crate::postgres::parse_url(self).map(drop)
    }

    /// The whole URL, for connecting.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "without PostgreSQL, no code connects"))]
    pub(crate) fn expose(&self) -> &str {
        self.given.expose_secret()
    }
}

/// The parts of a URL that are not secret. An unescaped password may contain any character: everything between the
/// first colon and the last `@` counts as password, and all parameters count as secret.
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

/// The parts that are not secret of a text that is not a valid URL. A password may follow its scheme, precede an `@`,
/// or be a parameter.
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

/// Why a text is not the URL of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// It has no known scheme.
    #[error("`{0}` is not a state: expected `sqlite:PATH` or `postgres://…`")]
    UnknownScheme(String),
    /// Nothing follows `sqlite:`.
    #[error("`sqlite:` has no path: expected `sqlite:PATH`, such as `sqlite:.terrace/state.db`")]
    NoPath,
}

impl StoreUrl {
    /// Resolves a relative path against a folder.
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
        // Other tools write `sqlite://relative` and `sqlite:///absolute`.
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
    fn sqlite_url_is_a_path() {
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
    fn invalid_url_is_refused_without_its_password() {
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
            let message = wrong.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn postgres_url_shows_user_host_and_database() {
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
