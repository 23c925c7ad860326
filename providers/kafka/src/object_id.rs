//! Import ids: the attributes that name an object, each percent-encoded, joined by `/`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stays as it is.
const PART: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*').remove(b':').remove(b'=');

/// The id of these parts.
pub(crate) fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().map(|part| utf8_percent_encode(part, PART).to_string()).collect::<Vec<_>>().join("/")
}

/// The parts of an id; nothing where it is none.
pub(crate) fn split<const N: usize>(id: &str) -> Option<[String; N]> {
    let parts = id.split('/').map(|part| percent_decode_str(part).decode_utf8().ok().map(|part| part.into_owned()));
    parts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_apart_as_they_were_put_together() {
        let id = join(["TOPIC", "a/b%c", "User:CN=ü", "*"]);
        assert_eq!(id, "TOPIC/a%2Fb%25c/User:CN=%C3%BC/*");
        assert_eq!(split(&id).unwrap(), ["TOPIC", "a/b%c", "User:CN=ü", "*"]);
        assert_eq!(split::<2>("a"), None);
        assert_eq!(split::<1>("%ff"), None);
    }
}
