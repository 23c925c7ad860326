//! The ids of `terrace import`: the values of the identity, percent-encoded and joined by `/`.

/// Joins parts.
pub(crate) fn join<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| encode(part.as_ref())).collect::<Vec<_>>().join("/")
}

/// Splits an id into so many parts; `None` when it has not so many, one is empty, or one is damaged.
pub(crate) fn split(id: &str, count: usize) -> Option<Vec<String>> {
    let parts: Vec<String> = id.split('/').map(decode).collect::<Option<_>>()?;
    (parts.len() == count && parts.iter().all(|part| !part.is_empty())).then_some(parts)
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
        let id = join(["sales", "a/b c", "100%"]);
        assert_eq!(id, "sales/a%2Fb%20c/100%25");
        assert_eq!(split(&id, 3), Some(vec!["sales".to_owned(), "a/b c".to_owned(), "100%".to_owned()]));
    }

    #[test]
    fn damaged_ids_are_refused() {
        for id in ["", "a", "a/", "/b", "a/b/c", "a%2/b", "a%zz/b", "a/%ff"] {
            assert_eq!(split(id, 2), None, "{id}");
        }
    }
}
