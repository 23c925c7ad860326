//! Import ids: the identity attributes, percent-encoded and joined by `/`.

/// Joins the parts of an identity; each is percent-encoded, so that a `/` in a path or a name stays one part.
pub(crate) fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().map(encode).collect::<Vec<_>>().join("/")
}

/// Splits the id of an object in a database into path and name. The name is the last part; a path whose own slashes
/// were not encoded is understood too, since that is how a person types it. `None` when a part is missing.
pub(crate) fn split(id: &str) -> Option<(String, String)> {
    let (path, name) = id.rsplit_once('/')?;
    let (path, name) = (decode(path)?, decode(name)?);
    (!path.is_empty() && !name.is_empty()).then_some((path, name))
}

/// Undoes the encoding of one part. `None` when a `%` is not followed by two hexadecimal digits, or the bytes are not
/// UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        // The unreserved characters of RFC 3986.
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_split_into_what_they_were_joined_from() {
        let id = join(["a/b c.db", "100%/x"]);
        assert_eq!(id, "a%2Fb%20c.db/100%25%2Fx");
        assert_eq!(split(&id), Some(("a/b c.db".to_owned(), "100%/x".to_owned())));
    }

    #[test]
    fn plainly_typed_paths_are_understood() {
        assert_eq!(split("data/a.db/T"), Some(("data/a.db".to_owned(), "T".to_owned())));
    }

    #[test]
    fn damaged_ids_are_refused() {
        for id in ["", "a.db", "a.db/", "/T", "a%2/T", "a%zz/T", "a/%ff"] {
            assert_eq!(split(id), None, "{id}");
        }
    }
}
