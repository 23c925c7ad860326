//! Whoever calls goes first: work begins where nobody is being answered, or after a moment.

use super::connection::Line;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How long work lets calls go first. A call takes the database a few milliseconds: work that waited for as long is not in the
/// way of the call that it found, and where calls never end it still goes on.
const MOMENT: Duration = Duration::from_millis(5);

/// Who is being answered.
#[derive(Default)]
pub(super) struct Courtesy {
    calls: AtomicUsize,
    nobody: Notify,
}

impl Courtesy {
    /// Takes part in the line until what is answered goes away.
    pub(super) async fn enter(self: &Arc<Self>, line: Line) -> Option<Served> {
        match line {
            Line::Call => {
                self.calls.fetch_add(1, Ordering::AcqRel);
                Some(Served(Arc::clone(self)))
            }
            Line::Work => {
                // Too late is no failure: then it is this one's turn.
                let _ = tokio::time::timeout(MOMENT, self.nobody_called()).await;
                None
            }
        }
    }

    async fn nobody_called(&self) {
        loop {
            let woken = self.nobody.notified();
            if self.calls.load(Ordering::Acquire) == 0 {
                return;
            }
            woken.await;
        }
    }
}

/// A call that is being answered.
pub(super) struct Served(Arc<Courtesy>);

impl Drop for Served {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.nobody.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn work_begins_at_once_where_nobody_calls_and_when_the_last_call_is_answered() {
        let courtesy = Arc::new(Courtesy::default());
        let begin = Instant::now();
        assert!(courtesy.enter(Line::Work).await.is_none());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let (one, other) = (courtesy.enter(Line::Call).await, courtesy.enter(Line::Call).await);
        let work = tokio::spawn({
            let courtesy = Arc::clone(&courtesy);
            async move { courtesy.enter(Line::Work).await.is_none() }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(one);
        tokio::task::yield_now().await;
        assert!(!work.is_finished());
        drop(other);
        assert!(work.await.unwrap());
        assert_eq!(begin.elapsed(), Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_where_calls_never_end() {
        let courtesy = Arc::new(Courtesy::default());
        let _call = courtesy.enter(Line::Call).await;
        let begin = Instant::now();
        courtesy.enter(Line::Work).await;
        assert_eq!(begin.elapsed(), MOMENT);
    }
}
