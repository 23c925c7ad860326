//! What a path asks for. It is decoded once, part by part, and a part that could mean anything but a name is none.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The page of a folder.
pub(super) const INDEX: &str = "index.html";
/// What stays as it is in a part of a path: the unreserved characters of RFC 3986.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A page of a site.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SitePath {
    /// The site.
    pub(super) name: String,
    /// The path of the file; of a folder, that of its page.
    pub(super) key: String,
    /// It is the site, without the slash that makes it a folder.
    pub(super) is_bare: bool,
    /// It ends in a slash.
    pub(super) is_folder: bool,
}

impl SitePath {
    /// Reads what follows `/sites/`; nothing for what names nothing.
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

/// One part: a name, and nothing that leads anywhere else.
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

/// A path as it stands in an address.
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
            let asked = SitePath::of(path).unwrap();
            assert_eq!((asked.name.as_str(), asked.key.as_str(), asked.is_folder), ("a", key, is_folder), "{path}");
        }
        assert!(SitePath::of("a").unwrap().is_bare);
    }

    #[test]
    fn what_leads_elsewhere_names_nothing() {
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
