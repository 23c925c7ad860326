//! Conditions of a status.

use crate::stack::Condition;
use jiff::{Timestamp, Unit};

/// Longest message in the status, in bytes.
const LONGEST_MESSAGE: usize = 4 << 10;

/// The value of a condition, its reason, and its message.
pub(crate) type Verdict = (&'static str, String, String);

/// A text within a limit in bytes.
pub(crate) fn cut(text: &str, limit: usize, note: &str) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}\n{note}", text.get(..end).unwrap_or_default())
}

/// A message within the limit of the status.
pub(crate) fn message(text: &str) -> String {
    cut(text.trim(), LONGEST_MESSAGE, "…")
}

/// Conditions with these verdicts. A condition keeps the time of its last change from `previous`.
pub(crate) fn conditions(
    verdicts: impl IntoIterator<Item = (&'static str, Verdict)>,
    previous: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let now = now.round(Unit::Second).unwrap_or(now);
    let condition = |(kind, (value, reason, text)): (&'static str, Verdict)| {
        let before = previous.iter().find(|before| before.kind == kind && before.status == value);
        Condition {
            kind: kind.to_owned(),
            status: value.to_owned(),
            reason,
            message: message(&text),
            last_transition_time: before.and_then(|before| before.last_transition_time).or(Some(now)),
            observed_generation: generation,
        }
    };
    verdicts.into_iter().map(condition).collect()
}
