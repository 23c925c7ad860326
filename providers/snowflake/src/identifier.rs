//! Quoting of names and texts in statements, and Snowflake's limits.
//!
//! A name in double quotes is taken literally and has at most 255 characters:
//! <https://docs.snowflake.com/en/sql-reference/identifiers-syntax>. A backslash in single quotes escapes:
//! <https://docs.snowflake.com/en/sql-reference/data-types-text>.

pub(crate) use terrace_provider::sql_names::{full_name, parts as split, quote, quote_all};

use terrace_provider::{Path, ProviderError};

/// Length limit of a name, in characters.
pub(crate) const LONGEST: usize = 255;

/// Names joined by dots: `"DB"."SCHEMA"."TABLE"`.
pub(crate) fn qualified<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().map(quote).collect::<Vec<_>>().join(".")
}

/// Writes a text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A pattern for `SHOW … LIKE` that matches the name and perhaps others: it ignores case, and `_` matches any
/// character. The caller compares the results with the name.
pub(crate) fn pattern(name: &str) -> String {
    // A backslash would escape the next character.
    literal(&name.replace('\\', "_"))
}

/// Refuses names that Snowflake cannot store.
///
/// # Errors
/// `InvalidInput` at the path.
pub(crate) fn check(name: &str, path: &Path) -> Result<(), ProviderError> {
    let refuse = |message: String| Err(ProviderError::invalid(Some(path.clone()), message));
    if name.is_empty() {
        return refuse("a name must have at least one character".to_owned());
    }
    let length = name.chars().count();
    if length > LONGEST {
        return refuse(format!("a name has at most {LONGEST} characters in Snowflake, this one has {length}"));
    }
    if name.contains('\0') {
        let message =
            format!("the name `{}` holds a NUL character, which Snowflake cannot store", name.escape_default());
        return refuse(message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(qualified(["a", "b c"]), r#""a"."b c""#);
        assert_eq!(literal(r"it's a \ "), r"'it\'s a \\ '");
        assert_eq!(pattern(r"a\b"), "'a_b'");
    }

    #[test]
    fn invalid_name_is_refused() {
        let path = Path::attribute("name");
        for name in ["", "a\0b", &"x".repeat(256)] {
            assert!(check(name, &path).is_err());
        }
        assert!(check(&"ß".repeat(255), &path).is_ok());
    }
}
