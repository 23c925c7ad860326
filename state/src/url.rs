//! Where a store is, as a person writes it: `sqlite:PATH`, `postgres://…`.

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
    /// A PostgreSQL database, `postgres://…` or `postgresql://…`, without what stands in it.
    Postgres,
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
            return Ok(Self::Postgres);
        }
        let Some(rest) = text.strip_prefix("sqlite:") else {
            // The part before `://` may be followed by a password: the text is repeated up to there only.
            let shown = text.split_once("://").map_or_else(|| text.to_owned(), |(scheme, _)| format!("{scheme}://…"));
            return Err(StoreUrlError::UnknownScheme(shown));
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
            Self::Postgres => f.write_str("postgres://…"),
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
        assert!(!"mysql://me:secret@host/db".parse::<StoreUrl>().unwrap_err().to_string().contains("secret"));
        assert!(!"postgres://me:secret@host/db".parse::<StoreUrl>().unwrap().to_string().contains("secret"));
    }
}
