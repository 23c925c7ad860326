//! Ids for `terrace import`: the values of the identity, percent-encoded and joined by `/`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The unreserved characters of RFC 3986, which stay unencoded.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Joins the parts of an identity. It encodes each part, so that a `/` in a path or a name does not split it.
pub fn join<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> String {
    let encode = |part: T| utf8_percent_encode(part.as_ref(), PART).to_string();
    parts.into_iter().map(encode).collect::<Vec<_>>().join("/")
}

/// Splits an id into this number of parts, which may be empty; `None` if the number differs or a part is malformed.
#[must_use]
pub fn split(id: &str, count: usize) -> Option<Vec<String>> {
    let parts: Vec<String> = id.split('/').map(decode).collect::<Option<_>>()?;
    (parts.len() == count).then_some(parts)
}

/// Decodes one part. `None` if a `%` is not followed by two hexadecimal digits, or if the bytes are not UTF-8: a
/// mistyped id must fail, not name another object.
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
    fn id_splits_into_its_original_parts() {
        let id = join(["data/a b.db", "100%", "", "größe"]);
        assert_eq!(id, "data%2Fa%20b.db/100%25//gr%C3%B6%C3%9Fe");
        assert_eq!(split(&id, 4).unwrap(), ["data/a b.db", "100%", "", "größe"]);
    }

    #[test]
    fn malformed_id_is_refused() {
        for id in ["", "a", "a/b/c", "a%2/b", "a%zz/b", "a/%ff", "a/%", "a/%é"] {
            assert_eq!(split(id, 2), None, "{id}");
        }
    }
}
