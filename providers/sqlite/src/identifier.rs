//! Names of tables, views, indexes and columns: their check and comparison.

pub(crate) use terrace_provider::sql_names::{quote, quote_all};

use terrace_provider::{Path, ProviderError};

/// SQLite compares names without regard to the case of ASCII letters.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Refuses names that SQLite cannot store.
///
/// # Errors
///
/// `InvalidInput` at the path if the name is empty or contains a NUL.
pub(crate) fn check(name: &str, path: &Path) -> Result<(), ProviderError> {
    if name.is_empty() {
        return Err(ProviderError::invalid(Some(path.clone()), "a name must have at least one character"));
    }
    if name.contains('\0') {
        let message =
            format!("the name `{}` contains a NUL character, which SQLite cannot store", name.escape_default());
        return Err(ProviderError::invalid(Some(path.clone()), message));
    }
    Ok(())
}

/// Refuses names that SQLite reserves and all that [`check`] refuses.
///
/// # Errors
///
/// `InvalidInput` at the path.
pub(crate) fn check_object(name: &str, path: &Path) -> Result<(), ProviderError> {
    check(name, path)?;
    if name.get(..7).is_some_and(|prefix| is_same(prefix, "sqlite_")) {
        let message = format!("`{name}` cannot be used: SQLite reserves names that begin with `sqlite_`");
        return Err(ProviderError::invalid(Some(path.clone()), message).solution("choose another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_names_are_refused() {
        let path = Path::attribute("name");
        assert!(check("", &path).is_err());
        assert!(check("a\0b", &path).is_err());
        assert!(check_object("SQLite_x", &path).is_err());
        assert!(check_object("sqlitex", &path).is_ok());
        assert!(check_object("äöüß€…", &path).is_ok());
    }
}
