//! The ids of `terrace import`: the values of the identity, percent-encoded and joined by `/`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is: the unreserved characters of RFC 3986.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Joins the parts of an identity; each is encoded, so that a `/` in a path or a name stays one part.
pub fn join<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> String {
    let encode = |part: T| utf8_percent_encode(part.as_ref(), PART).to_string();
    parts.into_iter().map(encode).collect::<Vec<_>>().join("/")
}

/// Splits an id into so many parts, which may be empty; `None` when it has not so many, or one is damaged.
#[must_use]
pub fn split(id: &str, count: usize) -> Option<Vec<String>> {
    let parts: Vec<String> = id.split('/').map(decode).collect::<Option<_>>()?;
    (parts.len() == count).then_some(parts)
}

/// Undoes the encoding of one part. `None` when a `%` is not followed by two hexadecimal digits, or the bytes are not
/// UTF-8: what a person mistyped is told, and not taken for another name.
#[must_use]
pub fn decode(part: &str) -> Option<String> {
    let digits = |rest: &str| rest.chars().take(2).filter(char::is_ascii_hexdigit).count() == 2;
    if !part.split('%').skip(1).all(digits) {
        return None;
    }
    percent_encoding::percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_split_into_what_they_were_joined_from() {
        let id = join(["data/a b.db", "100%", "", "größe"]);
        assert_eq!(id, "data%2Fa%20b.db/100%25//gr%C3%B6%C3%9Fe");
        assert_eq!(split(&id, 4).unwrap(), ["data/a b.db", "100%", "", "größe"]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for id in ["", "a", "a/b/c", "a%2/b", "a%zz/b", "a/%ff", "a/%", "a/%é"] {
            assert_eq!(split(id, 2), None, "{id}");
        }
    }
}
