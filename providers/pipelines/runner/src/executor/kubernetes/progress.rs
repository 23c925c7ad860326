//! Time limit of a wait for a run, which a progressing copy of its files extends.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Progress of the copy of results.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    /// Notes progress.
    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The end of the wait, if progress extends it beyond this deadline.
    fn extended(&self, deadline: Instant, limit: Duration) -> Option<Instant> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last?.checked_add(limit).filter(|later| *later > deadline)
    }

    /// Waits until the limit has passed since now, and since the last progress; without a limit, for ever. Returns the
    /// limit.
    pub(super) async fn stalled(&self, limit: Option<Duration>) -> Duration {
        let Some((limit, mut deadline)) = limit.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?)))
        else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep_until(deadline).await;
            match self.extended(deadline, limit) {
                Some(later) => deadline = later,
                None => return limit,
            }
        }
    }
}

/// A reader that notes progress.
pub(super) struct Noting<R> {
    pub(super) inner: R,
    pub(super) progress: Progress,
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.note();
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn limit_starts_again_with_each_progress() {
        let (limit, progress) = (Duration::from_secs(60), Progress::default());
        let before = Instant::now();
        let deadline = before + limit;
        assert_eq!(progress.extended(deadline, limit), None);
        let read = Noting { inner: io::empty(), progress: progress.clone() }.read(&mut [0]).unwrap();
        assert_eq!(read, 0);
        let extended = progress.extended(before + Duration::from_secs(59), limit).unwrap();
        assert!(extended >= deadline && extended <= Instant::now() + limit);
        assert_eq!(progress.extended(extended, limit), None, "no progress since");
        // Progress of the past does not count.
        assert_eq!(progress.stalled(Some(Duration::ZERO)).await, Duration::ZERO);
    }
}
