//! Answers that are read while the server still writes them, such as streams of events.

use super::in_words;
use super::{Failure, Reply};
use reqwest::Response;
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

/// An answer whose body arrives in parts.
pub struct Streamed {
    response: Response,
    /// The longest pause between two parts.
    pause: Duration,
}

impl Streamed {
    pub(super) fn new(response: Response, pause: Duration) -> Self {
        Self { response, pause }
    }

    /// The next part of the body; `None` at its end.
    ///
    /// # Errors
    /// [`Failure::Lost`] if the connection ends early, or no part arrives in time.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let part = timeout(self.pause, self.response.chunk()).await;
        let part = part.map_err(|_| Failure::Lost("no answer in time".to_owned()))?;
        Ok(part.map_err(|error| Failure::Lost(in_words(&error)))?.map(Into::into))
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streamed({})", self.response.status())
    }
}

/// An answer that is streamed, or a failure answer that is complete.
pub(super) enum Opened {
    Streamed(Streamed),
    Failed(Reply),
}
