//! Names in SQL: quotes around them, and full names such as `schema."my table"`.

/// Writes a name as an SQL identifier: in double quotes, with inner double quotes doubled.
///
/// The caller has refused names with a NUL, which no statement can contain.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names joined for a column list: `"A", "B"`.
pub fn quote_all<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| quote(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Joins names with dots, with double quotes around ambiguous parts. Quotes do not change the case.
pub fn full_name<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> String {
    let written = |part: T| {
        let part = part.as_ref();
        let is_plain = !part.contains(['.', '"']) && !part.is_empty() && part.trim() == part;
        if is_plain { part.to_owned() } else { quote(part) }
    };
    parts.into_iter().map(written).collect::<Vec<_>>().join(".")
}

/// Splits the output of [`full_name`]. `None` if a quote is not closed, or a part is empty.
#[must_use]
pub fn parts(full_name: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = full_name;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted(inner)?,
            None => {
                let (part, after) = rest.split_at_checked(rest.find('.').unwrap_or(rest.len()))?;
                (part.to_owned(), after)
            }
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None => return after.is_empty().then_some(parts),
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
        let Some(more) = after.strip_prefix('"') else { return Some((part, after)) };
        part.push('"');
        rest = more;
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
    }

    #[test]
    fn full_name_is_split_with_and_without_quotes() {
        let parts = |text| parts(text).map(|parts| parts.join("|"));
        assert_eq!(parts("DB.my schema.V").as_deref(), Some("DB|my schema|V"));
        assert_eq!(parts(r#""a.b"."c""d""#).as_deref(), Some(r#"a.b|c"d"#));
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
