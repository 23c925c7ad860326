//! Quoting of names and texts in statements, and Snowflake's limits.
//!
//! A name in double quotes is taken literally and has at most 255 characters:
//! <https://docs.snowflake.com/en/sql-reference/identifiers-syntax>. A backslash in single quotes escapes:
//! <https://docs.snowflake.com/en/sql-reference/data-types-text>.

use terrace_provider::{Path, ProviderError};

/// Length limit of a name, in characters.
pub(crate) const LONGEST: usize = 255;

/// Writes a name as an SQL identifier: in double quotes, with inner double quotes doubled.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names joined for a column list: `"A", "B"`.
pub(crate) fn quote_all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

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

/// The parts of a full name such as `DB.SCHEMA."my table"`. Unquoted parts are taken literally; `None` if a part is
/// empty or malformed.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted(inner)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (part, after) = rest.split_at_checked(end)?;
                (part.to_owned(), after)
            }
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

/// The text up to the closing quote, and the rest.
fn quoted(inner: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = inner;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Some((part, after)),
        }
    }
}

/// A full name with quotes only around parts that need them: parts with a dot or a quote, or with a blank at either
/// end.
pub(crate) fn joined<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let part = |part: &'a str| {
        let needs = part.contains(['.', '"']) || part.trim() != part;
        if needs { quote(part) } else { part.to_owned() }
    };
    parts.into_iter().map(part).collect::<Vec<_>>().join(".")
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
    use proptest::prelude::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quote(r#"a"b"#), r#""a""b""#);
        assert_eq!(qualified(["a", "b c"]), r#""a"."b c""#);
        assert_eq!(literal(r"it's a \ "), r"'it\'s a \\ '");
        assert_eq!(pattern(r"a\b"), "'a_b'");
    }

    #[test]
    fn full_names_are_read() {
        let parts = |text| split(text).map(|parts| parts.join("|"));
        assert_eq!(parts("DB.my schema.V").as_deref(), Some("DB|my schema|V"));
        assert_eq!(parts(r#""a.b"."c""d""#).as_deref(), Some(r#"a.b|c"d"#));
        for text in ["", "a.", ".a", "a..b", r#""a"#, r#""a"b"#] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn invalid_name_is_refused() {
        let path = Path::attribute("name");
        for name in ["", "a\0b", &"x".repeat(256)] {
            assert!(check(name, &path).is_err());
        }
        assert!(check(&"ß".repeat(255), &path).is_ok());
    }

    proptest! {
        #[test]
        fn joined_names_split_into_their_parts(parts in prop::collection::vec("\\PC{1,8}", 1..4)) {
            prop_assert_eq!(split(&joined(parts.iter().map(String::as_str))), Some(parts));
        }
    }
}
