//! Deduplicates log lines that a request would write again each time it is resumed.

use super::Run;

/// A line: its level and its message.
pub(super) type Line = (&'static str, String);

impl Run<'_> {
    /// Writes lines of a phase, unless they are the last of it that are there already: somebody may have worked on the request
    /// before, in whichever process.
    pub(super) async fn tell_once(&self, phase: &str, lines: Vec<Line>) {
        if self.claim.fence > 1 && self.is_told(phase, &lines).await {
            return;
        }
        self.log.lines(phase, lines.iter().map(|(level, message)| (*level, message.as_str()))).await;
    }

    async fn is_told(&self, phase: &str, lines: &[Line]) -> bool {
        // Twice is better than never.
        let Ok(told) = self.shared.store.logs(self.claim.operation, 0).await else { return false };
        let told: Vec<_> = told.iter().filter(|line| line.phase == phase).collect();
        let Some(last) = told.len().checked_sub(lines.len()).and_then(|from| told.get(from..)) else { return false };
        last.iter().zip(lines).all(|(told, (level, message))| told.level == *level && told.message == *message)
    }
}
