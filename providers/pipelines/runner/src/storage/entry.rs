//! Entries of manifests, and the files at a destination that they describe.

use serde::{Deserialize, Serialize};

/// Entry of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
    /// Tag of the content at the destination: an ETag, or the time of the last change.
    pub tag: String,
    /// The source no longer has it, and its removal is not requested.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// Metadata of a file at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Size in bytes.
    pub(crate) size: u64,
    /// Tag that changes with the content: an ETag, or the time of the last change; empty if not available.
    pub(crate) tag: String,
}

impl RemoteFile {
    /// Returns true if it matches the sent file.
    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        self.size == entry.size && bare(&self.tag) == bare(&entry.tag)
    }
}

/// Removes quotes and the weak prefix from an ETag.
fn bare(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_tags_are_ignored() {
        let entry = |tag: &str| Entry { size: 1, sha256: String::new(), tag: tag.to_owned(), left: false };
        let remote = RemoteFile { size: 1, tag: "W/\"a\"".to_owned() };
        assert!(remote.matches(&entry("\"a\"")) && remote.matches(&entry("a")));
        assert!(!remote.matches(&entry("b")) && !RemoteFile { size: 2, ..remote.clone() }.matches(&entry("a")));
    }
}
