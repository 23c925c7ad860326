//! Events of a run on another machine, one JSON object per line of its output.

use super::archive::Manifest;
use super::{Outcome, StepOutcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbered {
    /// Position in the output, counted from 1: a reader that connects again skips the events that it has.
    pub(super) n: u64,
    /// Time of the event.
    pub(super) at: Timestamp,
    pub(super) event: Event,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// The environment is being created.
    Preparing { done: usize, of: usize, message: String },
    /// A step printed a line.
    Line { step: usize, line: String },
    /// Output of a step so far.
    Progress { step: usize, rows: u64, bytes: u64 },
    /// A step ended.
    Ended { step: usize, outcome: StepOutcome },
    /// The run ended. Its files wait for the reader.
    End {
        outcome: Outcome,
        /// The files that the run wrote.
        results: Manifest,
    },
}

impl Numbered {
    /// Reads a line; returns nothing for other output, such as that of a container runtime.
    pub(super) fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{End, Failed};
    use super::*;

    #[test]
    fn events_are_lines_that_can_be_read_back() {
        let outcome = Outcome {
            end: End::Failed,
            stats: serde_json::Map::from_iter([("hash".to_owned(), "a".into())]),
            rows: 3,
            steps: vec![StepOutcome { rows: 3, exit_code: Some(1), ..StepOutcome::default() }],
            failure: Some(Failed { step: Some(0), log: vec!["two\nlines".to_owned()], ..Failed::new("it failed") }),
            in_place: Vec::new(),
        };
        let event = Numbered {
            n: 7,
            at: "2026-11-28T06:00:00Z".parse().unwrap(),
            event: Event::End { outcome, results: Manifest { files: 2, bytes: 30, digest: "00".to_owned() } },
        };
        let line = serde_json::to_string(&event).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert!(line.starts_with(r#"{"n":7,"at":"2026-11-28T06:00:00Z","event":{"end":{""#), "{line}");
        assert_eq!(Numbered::parse(&line), Some(event));
        assert_eq!(Numbered::parse("exec format error"), None);
    }
}
