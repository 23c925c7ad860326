//! Names: their quoting in SQL text, and the limits of PostgreSQL.

pub(crate) use terrace_provider::sql_names::{full_name, parts, quote, quote_all};

use terrace_provider::{Path, ProviderError};

/// Length limit of a name, in bytes of UTF-8 (`NAMEDATALEN` less one). The server truncates longer names without an
/// error: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>.
pub(crate) const MOST_BYTES: usize = 63;

/// A name within a schema: `"schema"."name"`.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote(schema), quote(name))
}

/// Writes a text as an SQL literal. Every session sets `standard_conforming_strings = on`, so that backslashes need no
/// escape.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text or NULL for `COMMENT … IS`.
pub(crate) fn literal_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

/// Refuses names that PostgreSQL would change or reject.
///
/// # Errors
/// `InvalidInput` at the path for a name that is empty, too long, or contains a NUL.
pub(crate) fn check(name: &str, path: &Path) -> Result<(), ProviderError> {
    let refuse = |message: String| ProviderError::invalid(Some(path.clone()), message);
    if name.is_empty() {
        return Err(refuse("a name must have at least one character".to_owned()));
    }
    if name.contains('\0') {
        let shown = name.escape_default();
        return Err(refuse(format!("the name `{shown}` holds a NUL character, which PostgreSQL cannot store")));
    }
    if name.len() > MOST_BYTES {
        let message = format!("the name `{name}` has {} bytes, but PostgreSQL allows at most {MOST_BYTES}", name.len());
        return Err(refuse(message).solution("choose a shorter name; letters beyond ASCII count for two bytes or more"));
    }
    Ok(())
}

/// Refuses reserved names of schemas and roles, and all names that [`check`] refuses.
///
/// # Errors
/// `InvalidInput` at the path.
pub(crate) fn check_own(name: &str, path: &Path) -> Result<(), ProviderError> {
    check(name, path)?;
    if name.starts_with("pg_") {
        let message = format!("`{name}` cannot be used: names that begin with `pg_` belong to PostgreSQL itself");
        return Err(ProviderError::invalid(Some(path.clone()), message).solution("choose another name"));
    }
    Ok(())
}

/// Refuses comments that PostgreSQL cannot store.
///
/// # Errors
/// `InvalidInput` at the path for a comment with a NUL.
pub(crate) fn check_comment(comment: Option<&str>, path: &Path) -> Result<(), ProviderError> {
    match comment {
        Some(comment) if comment.contains('\0') => {
            Err(ProviderError::invalid(Some(path.clone()), "a comment cannot hold a NUL character"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_quotes_of_texts_are_doubled() {
        assert_eq!(literal(r"it's \ here"), r"'it''s \ here'");
    }

    #[test]
    fn invalid_name_is_refused() {
        let path = Path::attribute("name");
        assert!(check("", &path).is_err());
        assert!(check("a\0b", &path).is_err());
        assert!(check(&"a".repeat(63), &path).is_ok());
        assert!(check(&"a".repeat(64), &path).is_err());
        assert!(check(&"ä".repeat(32), &path).is_err(), "bytes count, not letters");
        assert!(check_own("pg_x", &path).is_err());
        assert!(check_own("pgx", &path).is_ok());
    }
}
