//! Whoever calls goes first: work begins where nobody is being answered, or after a moment; and while people call, it goes
//! one piece after the other.

use super::connection::Line;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::Instant;

/// How long work lets calls go first. A call takes the database a few milliseconds: work that waited for as long is not in the
/// way of the call that it found, and where calls never end it still goes on.
const MOMENT: Duration = Duration::from_millis(5);

/// How long after a call another one is expected. Where the database has as few processors as calls need, several pieces of
/// work at once double the time that a call takes; one at a time still does some eighty provisions a second.
const SOON: Duration = Duration::from_millis(100);

/// Who is being answered, and when somebody was.
#[derive(Default)]
pub(super) struct Courtesy {
    calls: AtomicUsize,
    nobody: Notify,
    called: Mutex<Option<Instant>>,
    one_by_one: Arc<tokio::sync::Mutex<()>>,
}

/// Takes part in a line until it goes away.
pub(super) enum Turn {
    /// A call is being answered.
    Called(Arc<Courtesy>),
    /// Work goes on, alone where people call.
    Working { _alone: Option<OwnedMutexGuard<()>> },
    /// Nobody waits for it.
    Free,
}

impl Courtesy {
    /// Waits for a turn.
    pub(super) async fn enter(self: &Arc<Self>, line: Line) -> Turn {
        match line {
            Line::Call => {
                self.calls.fetch_add(1, Ordering::AcqRel);
                self.note();
                Turn::Called(Arc::clone(self))
            }
            Line::Keep => Turn::Free,
            Line::Work => {
                // What takes long, as an export does, holds nobody up for long.
                let alone = match self.is_called() {
                    true => tokio::time::timeout(SOON, Arc::clone(&self.one_by_one).lock_owned()).await.ok(),
                    false => None,
                };
                // Too late is no failure: then it is this one's turn.
                let _ = tokio::time::timeout(MOMENT, self.nobody_called()).await;
                Turn::Working { _alone: alone }
            }
        }
    }

    fn note(&self) {
        *self.called.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_called(&self) -> bool {
        let called = *self.called.lock().unwrap_or_else(PoisonError::into_inner);
        called.is_some_and(|at| at.elapsed() < SOON)
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

impl Drop for Turn {
    fn drop(&mut self) {
        if let Self::Called(courtesy) = self {
            courtesy.note();
            if courtesy.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
                courtesy.nobody.notify_waiters();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn enter(courtesy: &Arc<Courtesy>, line: Line) -> (Turn, Duration) {
        let begin = Instant::now();
        (courtesy.enter(line).await, begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_calls_work_waits_for_nothing() {
        let courtesy = Arc::new(Courtesy::default());
        let (_one, waited) = enter(&courtesy, Line::Work).await;
        assert_eq!(waited, Duration::ZERO);
        let (_other, waited) = enter(&courtesy, Line::Work).await;
        assert_eq!(waited, Duration::ZERO, "they go on beside each other");
        assert_eq!(enter(&courtesy, Line::Keep).await.1, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn work_begins_when_the_last_call_is_answered() {
        let courtesy = Arc::new(Courtesy::default());
        let (one, other) = (courtesy.enter(Line::Call).await, courtesy.enter(Line::Call).await);
        let work = tokio::spawn({
            let courtesy = Arc::clone(&courtesy);
            async move { enter(&courtesy, Line::Work).await.1 }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(one);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!work.is_finished());
        drop(other);
        assert_eq!(work.await.unwrap(), Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_where_calls_never_end_and_calls_wait_for_no_work() {
        let courtesy = Arc::new(Courtesy::default());
        let _call = courtesy.enter(Line::Call).await;
        let (_work, waited) = enter(&courtesy, Line::Work).await;
        assert_eq!(waited, MOMENT);
        assert_eq!(enter(&courtesy, Line::Call).await.1, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn while_people_call_work_goes_one_by_one() {
        let courtesy = Arc::new(Courtesy::default());
        drop(courtesy.enter(Line::Call).await);
        let first = courtesy.enter(Line::Work).await;
        let second = tokio::spawn({
            let courtesy = Arc::clone(&courtesy);
            async move { enter(&courtesy, Line::Work).await.1 }
        });
        tokio::time::sleep(Duration::from_millis(7)).await;
        assert!(!second.is_finished());
        drop(first);
        assert_eq!(second.await.unwrap(), Duration::from_millis(7));
        drop(courtesy.enter(Line::Call).await);
        let _long = courtesy.enter(Line::Work).await;
        assert_eq!(enter(&courtesy, Line::Work).await.1, SOON, "one that takes long is not waited for");
        let _first = courtesy.enter(Line::Work).await;
        assert_eq!(enter(&courtesy, Line::Work).await.1, Duration::ZERO, "nobody calls any more");
    }
}
