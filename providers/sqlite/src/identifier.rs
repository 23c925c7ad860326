//! Names of tables, views, indexes and columns: the one place that writes them into SQL text, and what SQLite refuses.

use terrace_provider::{Path, ProviderError};

/// Writes a name as an SQL identifier: in double quotes, with inner double quotes doubled.
///
/// Names were checked by [`check`] before; a NUL, which would cut the statement short, cannot be in them.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names joined for a column list: `"A", "B"`.
pub(crate) fn quote_all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// SQLite compares names without regard to the case of ASCII letters.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Refuses names that SQLite cannot hold.
///
/// # Errors
/// `InvalidInput` at the path, for an empty name or one that holds a NUL.
pub(crate) fn check(name: &str, path: &Path) -> Result<(), ProviderError> {
    if name.is_empty() {
        return Err(ProviderError::invalid(Some(path.clone()), "a name must have at least one character"));
    }
    if name.contains('\0') {
        let message = format!("the name `{}` holds a NUL character, which SQLite cannot store", name.escape_default());
        return Err(ProviderError::invalid(Some(path.clone()), message));
    }
    Ok(())
}

/// Refuses names of tables, views and indexes that SQLite keeps for itself, and all that [`check`] refuses.
///
/// # Errors
/// `InvalidInput` at the path.
pub(crate) fn check_object(name: &str, path: &Path) -> Result<(), ProviderError> {
    check(name, path)?;
    if name.get(..7).is_some_and(|prefix| is_same(prefix, "sqlite_")) {
        let message = format!("`{name}` cannot be used: names that begin with `sqlite_` belong to SQLite itself");
        return Err(ProviderError::invalid(Some(path.clone()), message).solution("choose another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_quotes_are_doubled() {
        assert_eq!(quote(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_all(["a", "b c"]), r#""a", "b c""#);
    }

    #[test]
    fn what_sqlite_cannot_hold_is_refused() {
        let path = Path::attribute("name");
        assert!(check("", &path).is_err());
        assert!(check("a\0b", &path).is_err());
        assert!(check_object("SQLite_x", &path).is_err());
        assert!(check_object("sqlitex", &path).is_ok());
        assert!(check_object("äöüß€…", &path).is_ok());
    }
}
