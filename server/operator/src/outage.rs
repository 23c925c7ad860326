//! Logs an outage at its start, rarely again, and at its end.

use std::time::Duration;
use tokio::time::Instant;

/// The pause until an outage that goes on is logged again.
const REPEAT: Duration = Duration::from_secs(10 * 60);

/// An outage of something that is tried again and again.
pub(crate) struct Outage {
    start: String,
    end: &'static str,
    logged: Option<Instant>,
}

impl Outage {
    /// `start` and `end` are the messages.
    pub(crate) fn new(start: impl Into<String>, end: &'static str) -> Self {
        Self { start: start.into(), end, logged: None }
    }

    /// After a failure. Returns whether it was logged.
    pub(crate) fn began(&mut self, error: &str) -> bool {
        let is_due = self.logged.is_none_or(|at| at.elapsed() >= REPEAT);
        match is_due {
            true => {
                self.logged = Some(Instant::now());
                tracing::warn!(error, "{}", self.start);
            }
            false => tracing::debug!(error, "{}", self.start),
        }
        is_due
    }

    /// True if it was logged, and has not ended.
    pub(crate) fn is_logged(&self) -> bool {
        self.logged.is_some()
    }

    /// After a success. Returns whether an outage ended.
    pub(crate) fn ended(&mut self) -> bool {
        let is_end = self.logged.take().is_some();
        if is_end {
            tracing::info!("{}", self.end);
        }
        is_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn outage_is_logged_at_its_start_rarely_again_and_at_its_end() {
        let mut outage = Outage::new("down", "up");
        assert!(!outage.ended());
        assert_eq!([outage.began("a"), outage.began("b"), outage.ended(), outage.ended()], [true, false, true, false]);
        assert_eq!([outage.began("c"), outage.began("c")], [true, false]);
        tokio::time::advance(REPEAT).await;
        assert_eq!([outage.began("c"), outage.began("c")], [true, false]);
    }
}
