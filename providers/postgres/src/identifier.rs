//! Names: their quoting in SQL text, and the limits of PostgreSQL.

use terrace_provider::{Path, ProviderError};

/// Length limit of a name, in bytes of UTF-8 (`NAMEDATALEN` less one). The server truncates longer names without an
/// error: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>.
pub(crate) const MOST_BYTES: usize = 63;

/// Writes a name as an SQL identifier: in double quotes, with inner double quotes doubled.
///
/// [`check`] has refused names with a NUL, which no statement can contain.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names joined for a column list: `"a", "b"`.
pub(crate) fn quote_all<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| quote(name.as_ref())).collect::<Vec<_>>().join(", ")
}

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

/// Joins names with dots, as in `fullName`, with double quotes around ambiguous parts. Quotes do not change the case.
pub(crate) fn full_name<T: AsRef<str>>(parts: &[T]) -> String {
    let written = |part: &T| {
        let part = part.as_ref();
        let is_plain = !part.contains(['.', '"']) && !part.is_empty() && part.trim() == part;
        if is_plain { part.to_owned() } else { quote(part) }
    };
    parts.iter().map(written).collect::<Vec<_>>().join(".")
}

/// Splits the output of [`full_name`]. `None` if a quote is not closed, or a part is empty.
pub(crate) fn parts(full_name: &str) -> Option<Vec<String>> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut rest = full_name.chars().peekable();
    loop {
        let is_quoted = rest.next_if_eq(&'"').is_some();
        loop {
            match rest.next() {
                Some('"') if is_quoted && rest.next_if_eq(&'"').is_none() => break,
                Some('.') if !is_quoted => {
                    parts.push(std::mem::take(&mut part));
                    break;
                }
                Some(letter) => part.push(letter),
                None if is_quoted => return None,
                None => {
                    parts.push(std::mem::take(&mut part));
                    return parts.iter().all(|part| !part.is_empty()).then_some(parts);
                }
            }
        }
        if is_quoted {
            parts.push(std::mem::take(&mut part));
            match rest.next() {
                None => return parts.iter().all(|part| !part.is_empty()).then_some(parts),
                Some('.') => {}
                Some(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inner_quotes_are_doubled() {
        assert_eq!(quote(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_all(["a", "b c"]), r#""a", "b c""#);
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

    #[test]
    fn full_name_is_split_with_and_without_quotes() {
        assert_eq!(parts("Sales.Orders"), Some(vec!["Sales".to_owned(), "Orders".to_owned()]));
        assert_eq!(parts(r#""a.b"."c""d""#), Some(vec!["a.b".to_owned(), "c\"d".to_owned()]));
        for wrong in ["", ".", "a.", ".a", "\"a", "\"a\"b", "a..b"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn full_name_splits_into_its_parts(names in proptest::collection::vec("[^\0]{1,20}", 1..4)) {
            prop_assert_eq!(parts(&full_name(&names)), Some(names));
        }
    }
}
