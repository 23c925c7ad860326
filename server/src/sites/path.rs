//! Paths of sites. Each part is decoded once; a part that could be anything but a plain name is refused.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The page of a folder.
pub(super) const INDEX: &str = "index.html";
/// The characters that stay unencoded in a part: the unreserved ones of RFC 3986.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A page of a site.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SitePath {
    /// The name of the site.
    pub(super) name: String,
    /// The path of the file; for a folder, that of its index page.
    pub(super) key: String,
    /// True for the site without the final slash.
    pub(super) is_bare: bool,
    /// True if the path ends in a slash.
    pub(super) is_folder: bool,
}

impl SitePath {
    /// Parses the path after `/sites/`; `None` if it is invalid.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (name, rest) = match path.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let name = part(name)?;
        let Some(rest) = rest else { return Some(Self { name, key: String::new(), is_bare: true, is_folder: false }) };
        let is_folder = rest.is_empty() || rest.ends_with('/');
        let inner = rest.strip_suffix('/').unwrap_or(rest);
        let mut parts: Vec<String> = match rest {
            "" => Vec::new(),
            _ => inner.split('/').map(part).collect::<Option<_>>()?,
        };
        if is_folder {
            parts.push(INDEX.to_owned());
        }
        Some(Self { name, key: parts.join("/"), is_bare: false, is_folder })
    }
}

/// Decodes one part: a plain name without separators.
fn part(text: &str) -> Option<String> {
    let digits = |rest: &str| rest.chars().take(2).filter(char::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(digits) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?.into_owned();
    let is_name = !matches!(decoded.as_str(), "" | "." | "..");
    let is_plain = |c: char| !matches!(c, '/' | '\\') && !c.is_control();
    (is_name && decoded.chars().all(is_plain)).then_some(decoded)
}

/// Percent-encodes a path.
pub(super) fn encoded(path: &str) -> String {
    path.split('/').map(|part| utf8_percent_encode(part, PART).to_string()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_files_and_folders() {
        for (path, key, is_folder) in [
            ("a/", "index.html", true),
            ("a/b", "b", false),
            ("a/b/", "b/index.html", true),
            ("a/b%20c/d%23", "b c/d#", false),
            ("a/%C3%BC", "ü", false),
        ] {
            let parsed = SitePath::of(path).unwrap();
            assert_eq!((parsed.name.as_str(), parsed.key.as_str(), parsed.is_folder), ("a", key, is_folder), "{path}");
        }
        assert!(SitePath::of("a").unwrap().is_bare);
    }

    #[test]
    fn invalid_paths_are_refused() {
        for path in [
            "",
            "/",
            "a//",
            "a//b",
            "a/b//c",
            "a/..",
            "a/../b",
            "a/%2e%2e/b",
            "a/%2E%2e",
            "a/.",
            "a/b%2fc",
            "a/b%5cc",
            "a/b\\c",
            "a/%00",
            "a/b%0ac",
            "a/%",
            "a/%2",
            "a/%zz",
            "a/%ff",
            "../a",
            "%2e%2e/a",
            "./a",
        ] {
            assert_eq!(SitePath::of(path), None, "{path}");
        }
    }
}
