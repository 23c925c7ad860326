//! Reviewed plans, hidden in the comment that shows them.
//!
//! The first line of a comment is a marker with the name of the job and the kind of the comment. The second is the record
//! of a comment with plans: which plan of which commit has which digest. Readers must look for both only in comments of
//! the token's own account, because any account can write such lines. Other workflows of the repository write with the same
//! account: only the code of an entry proves that terrace wrote it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

const BEFORE_RECORD: &str = "<!-- terrace:record:1 ";
const AFTER: &str = " -->";

/// The kind of a comment or issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The plans of a request.
    Plan,
    /// The outcome after the merge.
    Apply,
    /// The drift of a stack.
    Drift,
}

impl Kind {
    /// The beginning of the marker.
    fn begin(self) -> String {
        let kind = match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Drift => "drift",
        };
        format!("<!-- terrace:pr:{kind}:")
    }
}

/// The first line of a comment or issue. `name` tells those of several jobs, or the issues of several stacks, apart.
#[must_use]
pub fn marker(kind: Kind, name: &str) -> String {
    format!("{}{}{AFTER}", kind.begin(), BASE64.encode(name))
}

/// The name in the marker of a text; `None` without a marker of this kind.
#[must_use]
pub fn marked_name(kind: Kind, text: &str) -> Option<String> {
    let encoded = text.lines().next()?.trim_end().strip_prefix(&kind.begin())?.strip_suffix(AFTER)?;
    String::from_utf8(BASE64.decode(encoded).ok()?).ok()
}

/// True if a text begins with the marker as its first line.
#[must_use]
pub fn is_marked(text: &str, marker: &str) -> bool {
    text.lines().next().is_some_and(|line| line.trim_end() == marker)
}

/// The plans that a comment shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The number of the request.
    pub request: u64,
    /// The digest of the planned commit of its branch.
    pub commit: String,
    /// The plans.
    pub plans: Vec<Reviewed>,
}

/// A plan that reviewers saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The stack: `sales.orders.0@prod`.
    pub stack: String,
    /// The digest of the plan.
    pub digest: String,
    /// A keyed digest of this entry under the state key of the environment; `None` without a key, and then the entry proves
    /// nothing.
    pub code: Option<String>,
}

/// The job that writes and reads a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer<'a> {
    /// The URL of the repository in the API of its forge.
    pub repository: &'a str,
    /// The name of the job.
    pub name: &'a str,
}

impl Reviewed {
    /// The text that the code authenticates. A code of another job, request or repository does not fit, even under the
    /// same key.
    #[must_use]
    pub fn authenticated(&self, record: &Record, writer: Writer<'_>) -> Vec<u8> {
        let Self { stack, digest, code: _ } = self;
        let fields = (writer.repository, writer.name, record.request, &record.commit, stack, digest);
        // JSON is unambiguous: no field can flow into the next one. Serialising texts cannot fail.
        let fields = serde_json::to_vec(&fields).unwrap_or_default();
        [b"terrace reviewed plan, version 2\0".as_slice(), &fields].concat()
    }
}

impl Record {
    /// The hidden line of the record.
    #[must_use]
    pub fn to_line(&self) -> String {
        // Serialising texts cannot fail.
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{BEFORE_RECORD}{}{AFTER}", BASE64.encode(json))
    }

    /// The record of a comment: its second line.
    #[must_use]
    pub fn of_comment(text: &str) -> Option<Self> {
        let line = text.lines().nth(1)?.trim_end();
        let encoded = line.strip_prefix(BEFORE_RECORD)?.strip_suffix(AFTER)?;
        serde_json::from_slice(&BASE64.decode(encoded).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let plan = Reviewed { stack: "a--> b@prod".to_owned(), digest: "ab".repeat(32), code: None };
        Record { request: 7, commit: "cd".repeat(20), plans: vec![plan] }
    }

    #[test]
    fn record_survives_in_a_hidden_line() {
        let record = record();
        let line = record.to_line();
        assert_eq!(line.matches("-->").count(), 1, "no name ends the hidden line: {line}");
        let marker = marker(Kind::Plan, "terrace");
        let text = format!("{marker}\r\n{line}\r\n### Plan\n");
        assert!(is_marked(&text, &marker));
        assert_eq!(marked_name(Kind::Plan, &text).as_deref(), Some("terrace"));
        assert_eq!(marked_name(Kind::Drift, &text), None);
        assert_eq!(Record::of_comment(&text), Some(record));
        assert_eq!(Record::of_comment(&format!("{marker}\n\n{line}")), None, "only the second line counts");
        assert_eq!(Record::of_comment(&format!("{marker}\n{line} x")), None);
        assert!(!is_marked(&format!(" {text}"), &marker) && !is_marked("", &marker));
    }

    #[test]
    fn every_field_is_authenticated() {
        let record = record();
        let plan = &record.plans[0];
        let writer = Writer { repository: "https://git.example/repos/a/b", name: "terrace" };
        let text = plan.authenticated(&record, writer);
        let changed = [
            Reviewed { stack: "b@prod".to_owned(), ..plan.clone() },
            Reviewed { digest: "cd".repeat(32), ..plan.clone() },
        ];
        for plan in changed {
            assert_ne!(plan.authenticated(&record, writer), text);
        }
        for record in [Record { request: 8, ..record.clone() }, Record { commit: "ef".repeat(20), ..record.clone() }] {
            assert_ne!(plan.authenticated(&record, writer), text);
        }
        for writer in
            [Writer { name: "other", ..writer }, Writer { repository: "https://git.example/repos/a/c", ..writer }]
        {
            assert_ne!(plan.authenticated(&record, writer), text);
        }
    }
}
