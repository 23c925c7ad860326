//! Polling of long operations until they end.

use super::{Api, Failure, Reply, Request, Within, pause};
use std::time::Duration;

/// Pauses of polling.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// The first pause; each is half as long again as the one before.
    pub first: Duration,
    /// The longest pause, unless an answer requests more.
    pub max: Duration,
}

impl Default for Poll {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), max: Duration::from_secs(10) }
    }
}

impl Api {
    /// Polls until `done` returns an outcome; `None` means that the operation still runs. The first poll has no pause
    /// before it.
    ///
    /// # Errors
    /// The failure of `done`, or [`Failure::Lost`] at the end of the time: the operation may still run.
    pub async fn poll<T, F>(&self, request: &Request, within: &Within, poll: Poll, mut done: F) -> Result<T, Failure>
    where
        F: FnMut(&Reply) -> Result<Option<T>, Failure> + Send,
    {
        let mut backoff = poll.first.min(poll.max);
        loop {
            // Cancellation is checked between polls, so that a finished operation is always noticed.
            let reply = self.send(request, &within.without_cancellation()).await.map_err(|failure| match failure {
                Failure::NotSent(why) => Failure::Lost(why),
                other => other,
            })?;
            if let Some(outcome) = done(&reply)? {
                return Ok(outcome);
            }
            let pause = reply.retry_after.unwrap_or_default().max(pause::jittered(backoff));
            backoff = backoff.saturating_add(backoff / 2).min(poll.max);
            if pause >= within.left() {
                return Err(Failure::Lost("it still ran at the end of its timeout".to_owned()));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = within.cancel.cancelled() => {
                    return Err(Failure::Lost("it still ran when the operation was stopped".to_owned()));
                }
            }
        }
    }
}
