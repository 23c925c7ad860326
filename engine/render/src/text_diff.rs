//! Line differences of two texts.

use super::line::Mark;
use similar::{ChangeTag, TextDiff};
use terrace_language::text::visible;

/// Texts with more lines are not compared by line: the comparison would take too long for an unreadable result.
const MOST_LINES: usize = 10_000;

/// A group of differing lines, with the lines around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// `@@ -3,2 +3,2 @@`.
    pub(crate) header: String,
    /// The harmless lines.
    pub(crate) lines: Vec<(Mark, String)>,
}

/// The hunks of two texts with `context` unchanged lines around each; `None` if the texts are too long.
pub(crate) fn hunks(before: &str, after: &str, context: usize) -> Option<Vec<Hunk>> {
    let lines = before.lines().count() + after.lines().count();
    if lines > MOST_LINES {
        return None;
    }
    let diff = TextDiff::from_lines(before, after);
    let mut unified = diff.unified_diff();
    unified.context_radius(context.min(lines));
    Some(
        unified
            .iter_hunks()
            .map(|hunk| Hunk {
                header: hunk.header().to_string(),
                lines: hunk
                    .iter_changes()
                    .flat_map(|change| {
                        let mark = match change.tag() {
                            ChangeTag::Equal => Mark::Same,
                            ChangeTag::Delete => Mark::Remove,
                            ChangeTag::Insert => Mark::Add,
                        };
                        let text = change.value();
                        let line = text.strip_suffix('\n').unwrap_or(text);
                        let note =
                            change.missing_newline().then(|| (Mark::Plain, "\\ no newline at the end".to_owned()));
                        std::iter::once((mark, visible(line).into_owned())).chain(note)
                    })
                    .collect(),
            })
            .collect(),
    )
}
