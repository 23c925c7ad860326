//! The mark of the call that created an object. It shows whether a lost call created an object.
//!
//! Tables, views and indexes have the mark as a comment in their `CREATE` text; databases have it in the application id
//! of the file header.

use terrace_provider::{Attempt, Call};

/// The call that created an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark(String);

impl Mark {
    /// The mark of a call.
    pub(crate) fn of_call(call: &Call) -> Self {
        Self::new(&call.operation, &call.step)
    }

    /// The mark that a lost create would leave; `None` if no create was lost.
    pub(crate) fn of_attempt(attempt: &Attempt) -> Option<Self> {
        let lost = attempt.lost_call.as_ref().filter(|_| attempt.prior.is_none())?;
        Some(Self::new(&lost.operation, &lost.step))
    }

    fn new(operation: &str, step: &str) -> Self {
        // Replaces every character that could end a comment with a hyphen.
        let plain = |text: &str| {
            text.chars().map(|c| if c.is_alphanumeric() || "._:".contains(c) { c } else { '-' }).collect::<String>()
        };
        Self(format!("terrace {} {}", plain(operation), plain(step)))
    }

    /// The comment with the mark.
    pub(crate) fn to_comment(&self) -> String {
        format!("/* {} */", self.0)
    }

    /// The mark in a comment.
    pub(crate) fn from_comment(comment: &str) -> Option<Self> {
        let text = comment.strip_prefix("/*")?.strip_suffix("*/")?.trim();
        text.starts_with("terrace ").then(|| Self(text.to_owned()))
    }

    /// The mark as the application id of a database file: the FNV-1a hash of its text, never zero because zero means
    /// "none".
    pub(crate) fn to_application_id(&self) -> i32 {
        let hash =
            self.0.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash.max(1).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_read_back_from_its_comment() {
        let mark = Mark::new("0197-ab", "step */ 3");
        assert_eq!(mark.to_comment(), "/* terrace 0197-ab step----3 */");
        assert_eq!(Mark::from_comment(&mark.to_comment()), Some(mark));
        assert_eq!(Mark::from_comment("/* somebody else */"), None);
    }
}
