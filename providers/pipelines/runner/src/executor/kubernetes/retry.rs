//! Repeats requests while the cluster does not answer.

use std::time::Duration;
use terrace_provider_kubernetes::client::ClientError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First pause; it doubles up to the longest one.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// Time for requests.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// End of the time; nothing for no limit.
    deadline: Option<Instant>,
    /// Ends the time early.
    stop: CancellationToken,
}

impl Budget {
    /// This much time from now on.
    pub(crate) fn of(time: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(time), stop: CancellationToken::new() }
    }

    /// All the time that is needed.
    pub(crate) fn unlimited() -> Self {
        Self { deadline: None, stop: CancellationToken::new() }
    }

    /// Ends early if this token is cancelled. A request in progress goes on to its answer, because the cluster may still
    /// carry it out.
    pub(crate) fn until(self, stop: &CancellationToken) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Repeats a request that fails because the server does not answer, and reports each failure.
    ///
    /// # Errors
    /// The last failure at the end of the time, or the first that a later request would have again.
    pub(crate) async fn persist<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        report: impl Fn(&ClientError),
        mut request: impl FnMut() -> F,
    ) -> Result<T, ClientError> {
        let mut pause = FIRST;
        loop {
            match request().await {
                Err(error) if error.is_transient() && !self.is_over() => report(&error),
                answered => return answered,
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
            pause = pause.saturating_mul(2).min(LONGEST);
        }
    }
}

/// Reports nothing.
pub(crate) fn silent(_: &ClientError) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use terrace_provider::{ErrorKind, ProviderError};
    use terrace_provider_kubernetes::client::ClientErrorKind;

    fn failure(kind: ClientErrorKind) -> ClientError {
        ClientError { kind, error: ProviderError::new(ErrorKind::Failed, "no") }
    }

    /// Number of requests until an outage of this length ends, or the time; and whether the last one succeeded.
    async fn requests(budget: Budget, outage: Duration, kind: ClientErrorKind) -> (u32, bool) {
        let (count, begun) = (Cell::new(0), Instant::now());
        let answer = budget.persist(silent, || {
            count.set(count.get() + 1);
            let is_up = begun.elapsed() >= outage;
            async move { if is_up { Ok(()) } else { Err(failure(kind)) } }
        });
        let is_answered = answer.await.is_ok();
        (count.get(), is_answered)
    }

    #[tokio::test]
    async fn request_is_repeated_within_its_time() {
        use ClientErrorKind::{Refused, Unreachable};
        let (short, long) = (FIRST * 2, Duration::from_secs(3600));
        assert!(requests(Budget::of(long), short, Unreachable).await.1);
        assert!(requests(Budget::unlimited(), short, Unreachable).await.1);
        let (count, is_answered) = requests(Budget::of(short), long, Unreachable).await;
        assert!(count > 1 && !is_answered, "{count}");
        assert_eq!(requests(Budget::unlimited(), long, Refused).await, (1, false));
    }

    #[tokio::test]
    async fn stop_ends_the_repetition() {
        let stop = CancellationToken::new();
        let stopping = async {
            tokio::time::sleep(FIRST * 2).await;
            stop.cancel();
        };
        let repeated =
            requests(Budget::unlimited().until(&stop), Duration::from_secs(3600), ClientErrorKind::Unreachable);
        let (answer, ()) = tokio::join!(repeated, stopping);
        assert!(answer.0 > 1 && !answer.1, "{answer:?}");
    }
}
