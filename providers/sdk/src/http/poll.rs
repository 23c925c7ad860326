//! What takes long: asked for until it is done.

use super::{Api, Failure, Reply, Request, Within, pause};
use std::time::Duration;

/// How often it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// The first pause; each is half as long again as the one before.
    pub first: Duration,
    /// The longest pause, unless an answer asks for more.
    pub most: Duration,
}

impl Default for Poll {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(10) }
    }
}

impl Api {
    /// Asks until `done` says what came of it, `None` while it still runs. It is asked at once, then after pauses.
    ///
    /// # Errors
    /// What `done` says, or [`Failure::Lost`] where nobody waits any longer: what is asked for may still run.
    pub async fn poll<T, F>(&self, request: &Request, within: &Within, poll: Poll, mut done: F) -> Result<T, Failure>
    where
        F: FnMut(&Reply) -> Result<Option<T>, Failure> + Send,
    {
        let mut usual = poll.first.min(poll.most);
        loop {
            // Whether somebody still waits is looked at between questions, so that what is done is known to be.
            let reply = self.send(request, &within.to_the_end()).await.map_err(|failure| match failure {
                Failure::NotSent(why) => Failure::Lost(why),
                other => other,
            })?;
            if let Some(outcome) = done(&reply)? {
                return Ok(outcome);
            }
            let pause = reply.retry_after.unwrap_or_default().max(pause::jittered(usual));
            usual = usual.saturating_add(usual / 2).min(poll.most);
            if pause >= within.left() {
                return Err(Failure::Lost("it still ran at the end of its time".to_owned()));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = within.cancel.cancelled() => {
                    return Err(Failure::Lost("it still ran when nobody waited any longer".to_owned()));
                }
            }
        }
    }
}
