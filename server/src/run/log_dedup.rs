//! Deduplicates log lines that a request would write again each time it is resumed.

use super::Run;

/// A line: its level and its message.
pub(super) type Line = (&'static str, String);

impl Run<'_> {
    /// Writes lines of a phase, unless they are already its last lines: a worker may have run the request before, in
    /// any process.
    pub(super) async fn log_once(&self, phase: &str, lines: Vec<Line>) {
        if self.claim.fence > 1 && self.is_logged(phase, &lines).await {
            return;
        }
        self.log.lines(phase, lines.iter().map(|(level, message)| (*level, message.as_str()))).await;
    }

    async fn is_logged(&self, phase: &str, lines: &[Line]) -> bool {
        // A repeated line is better than a missing one.
        let Ok(known) = self.shared.store.logs(self.claim.operation, 0).await else { return false };
        let known: Vec<_> = known.iter().filter(|line| line.phase == phase).collect();
        let Some(last) = known.len().checked_sub(lines.len()).and_then(|from| known.get(from..)) else { return false };
        last.iter().zip(lines).all(|(known, (level, message))| known.level == *level && known.message == *message)
    }
}
