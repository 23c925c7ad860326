//! Time since the last answer of the store, for the probes of the server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use terrace_engine::store::StoreError;

/// The time of the store's last answer. Idle workers call the store every two seconds, busy ones every second.
#[derive(Debug)]
pub(crate) struct LastAnswer {
    begun: Instant,
    /// The time of the last answer, in milliseconds since `begun`.
    at: AtomicU64,
}

impl Default for LastAnswer {
    /// A store that was just opened has answered.
    fn default() -> Self {
        Self { begun: Instant::now(), at: AtomicU64::new(0) }
    }
}

impl LastAnswer {
    /// Notes an answer. A refusal counts as an answer, an unreachable store does not.
    pub(crate) fn note<T>(&self, answer: &Result<T, StoreError>) {
        if !matches!(answer, Err(StoreError::Unavailable { .. })) {
            self.at.store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// How long the store has been silent.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.elapsed().saturating_sub(self.at.load(Ordering::Relaxed)))
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_ends_the_silence() {
        let hour = Duration::from_secs(3_600);
        let last = LastAnswer { begun: Instant::now().checked_sub(hour).unwrap(), at: AtomicU64::new(0) };
        assert!(last.silence() >= hour);
        last.note::<()>(&Err(StoreError::Unavailable { action: "read", reason: "it is away".to_owned() }));
        assert!(last.silence() >= hour);
        last.note::<()>(&Err(StoreError::PlanSpent));
        assert!(last.silence() < hour);
    }
}
