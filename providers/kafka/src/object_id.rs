//! Import ids: the identifying attributes of an object, each percent-encoded, joined by `/`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters to encode.
const PART: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*').remove(b':').remove(b'=');

/// Joins parts into an id.
pub(crate) fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().map(|part| utf8_percent_encode(part, PART).to_string()).collect::<Vec<_>>().join("/")
}

/// Splits an id into its parts; `None` if the id is malformed.
pub(crate) fn split<const N: usize>(id: &str) -> Option<[String; N]> {
    let parts = id.split('/').map(|part| percent_decode_str(part).decode_utf8().ok().map(|part| part.into_owned()));
    parts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_reverses_join() {
        let id = join(["TOPIC", "a/b%c", "User:CN=ü", "*"]);
        assert_eq!(id, "TOPIC/a%2Fb%25c/User:CN=%C3%BC/*");
        assert_eq!(split(&id).unwrap(), ["TOPIC", "a/b%c", "User:CN=ü", "*"]);
        assert_eq!(split::<2>("a"), None);
        assert_eq!(split::<1>("%ff"), None);
    }
}
