//! Permits for large bodies, and their time limit.

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Permits for the large bodies that the server holds at once.
pub(super) struct LargeBodies {
    all: Arc<Semaphore>,
    /// The permits of one named caller.
    share: usize,
    of_callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The right to hold a large body.
pub(super) struct Permit {
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl LargeBodies {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { all: Arc::new(Semaphore::new(most)), share: most.div_ceil(2), of_callers: Mutex::default() }
    }

    /// Waits for a permit. A named caller leaves half of the permits to others, and waits for its own share first.
    pub(super) async fn acquire(&self, caller: Option<&str>) -> Option<Permit> {
        let own = match caller {
            Some(name) => Some(self.of_caller(name).acquire_owned().await.ok()?),
            None => None,
        };
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Permit { _own: own, _all: all })
    }

    fn of_caller(&self, name: &str) -> Arc<Semaphore> {
        let mut callers = self.of_callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = callers.get(name).and_then(Weak::upgrade) {
            return own;
        }
        callers.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.share));
        callers.insert(name.to_owned(), Arc::downgrade(&own));
        own
    }
}

/// A body that fails unless it arrives completely in time.
pub(super) struct TimedBody {
    inner: Body,
    deadline: Pin<Box<Sleep>>,
}

impl TimedBody {
    pub(super) fn new(inner: Body, limit: Duration) -> Self {
        Self { inner, deadline: Box::pin(sleep(limit)) }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, deadline } = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::stream::{self, StreamExt};
    use tokio::time::Instant;

    #[tokio::test]
    async fn caller_leaves_half_of_the_permits_to_others() {
        let bodies = LargeBodies::new(4);
        let taken = |caller: Option<&'static str>| bodies.acquire(caller).now_or_never().flatten();
        let held = [taken(Some("ada")), taken(Some("ada"))];
        assert!(held.iter().all(Option::is_some) && taken(Some("ada")).is_none());
        let others = [taken(Some("bob")), taken(None)];
        assert!(others.iter().all(Option::is_some) && taken(Some("eve")).is_none(), "there are four");
        drop((held, others));
        let unnamed: Vec<_> = (0..5).map_while(|_| taken(None)).collect();
        assert_eq!(unnamed.len(), 4);
        drop(unnamed);
        assert!(taken(Some("eve")).is_some());
        assert_eq!(bodies.of_callers.lock().unwrap().len(), 1, "callers that hold nothing are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_trickles_fails_at_its_deadline() {
        let trickle = stream::unfold((), |()| async {
            sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b" ")), ()))
        });
        let begun = Instant::now();
        let body = Body::new(TimedBody::new(Body::from_stream(trickle), Duration::from_secs(30)));
        assert!(axum::body::to_bytes(body, 1 << 20).await.is_err());
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
        let whole = Body::from_stream(stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"{}"))]).boxed());
        let body = Body::new(TimedBody::new(whole, Duration::from_secs(30)));
        assert_eq!(axum::body::to_bytes(body, 10).await.unwrap(), "{}");
    }
}
