//! Import ids: the identity attributes, percent-encoded and joined by `/`.

/// Joins the parts of an identity; each is percent-encoded, so that a `/` in a path or a name stays one part.
pub(crate) fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().map(encode).collect::<Vec<_>>().join("/")
}

/// Splits an id into its parts; one that is left out at the end of a tag assignment is empty. `None` when there are more or
/// fewer than wanted, or one of them is damaged.
pub(crate) fn split(id: &str, wanted: usize) -> Option<Vec<String>> {
    let parts: Vec<String> = id.split('/').map(decode).collect::<Option<_>>()?;
    (parts.len() == wanted).then_some(parts)
}

/// Undoes the encoding of one part. `None` when a `%` is not followed by two hexadecimal digits, or the bytes are not
/// UTF-8.
fn decode(text: &str) -> Option<String> {
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
        let id = join(["A/B c", "100%", "ö"]);
        assert_eq!(id, "A%2FB%20c/100%25/%C3%B6");
        assert_eq!(split(&id, 3), Some(vec!["A/B c".to_owned(), "100%".to_owned(), "ö".to_owned()]));
        assert_eq!(split(&id, 2), None);
    }

    #[test]
    fn damaged_ids_are_refused() {
        for id in ["a%2/T", "a%zz/T", "a/%ff"] {
            assert_eq!(split(id, 2), None, "{id}");
        }
    }
}
