//! Where descriptors are judged: on the thread of the call, which may have to hand over first what else it has to do.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// A text of that many bytes is short: to hand over takes up to a quarter as long as to judge it.
const SHORT: usize = 32 << 10;
/// What others may well wait for.
const QUICK: Duration = Duration::from_millis(2);

/// How long judging takes, by the last one: blueprints may make much of a short text.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    is_slow: AtomicBool,
}

impl Pace {
    /// What comes of judging a text of so many bytes. Judging keeps a processor busy: whatever else this thread had to do is
    /// done by another one meanwhile, unless that is worth less than it takes. Never is judging given to another thread,
    /// which takes longest.
    pub(crate) fn judged<T>(&self, bytes: usize, judging: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let mut judging = pin!(judging);
        let at_once = match bytes <= SHORT && !self.is_slow.load(Ordering::Relaxed) {
            true => judging.as_mut().poll(&mut Context::from_waker(Waker::noop())),
            false => Poll::Pending,
        };
        let judged = match at_once {
            Poll::Ready(judged) => judged,
            Poll::Pending => block_in_place(|| Handle::current().block_on(judging)),
        };
        self.is_slow.store(begun.elapsed() > QUICK, Ordering::Relaxed);
        judged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_wait_is_waited_for_and_what_is_slow_is_remembered() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let pace = Pace::default();
        runtime.block_on(async {
            assert_eq!(pace.judged(10, async { 1 }), 1);
            let waiting = async {
                tokio::time::sleep(QUICK * 2).await;
                2
            };
            assert_eq!(pace.judged(10, waiting), 2);
            assert!(pace.is_slow.load(Ordering::Relaxed));
            assert_eq!([pace.judged(10, async { 3 }), pace.judged(SHORT + 1, async { 4 })], [3, 4]);
        });
    }
}
