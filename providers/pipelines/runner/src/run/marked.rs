//! Finds the run of a caller that was killed, by the mark of its request, so that a request has one run.

use super::record::{Record, State};
use super::runner::Runner;
use std::io;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Runner {
    /// The run that an interrupted caller started with this mark, after settling it; waits for its processes at most for
    /// `lock_timeout`. `None` if the caller has to start a run: no run has the mark, it was interrupted, or the next run
    /// of the pipeline follows it to its end.
    ///
    /// # Errors
    /// When the records cannot be read: a second run would repeat the first one.
    pub async fn find_marked(
        &self,
        folder: &str,
        pipeline: &str,
        mark: &str,
        lock_timeout: Duration,
    ) -> io::Result<Option<Record>> {
        let Some(found) = self.store.marked(folder, pipeline, mark)? else { return Ok(None) };
        if found.state.is_over() {
            return Ok(Some(found).filter(|found| !self.is_interrupted(found)));
        }
        let cancel = CancellationToken::new();
        let locked = self.store.lock_pipeline(&found.folder, pipeline, lock_timeout, &cancel).await;
        let Ok(pipeline_lock) = locked else { return Ok(None) };
        let settled = match self.settle(&found.run).await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::warn!(mark, %error, "an interrupted run is not settled yet");
                return Ok(None);
            }
        };
        let _ = pipeline_lock.set_current_run(None);
        Ok(settled.filter(|record| !self.is_interrupted(record)))
    }

    /// True for a run that ended with its process, and not by a request.
    #[must_use]
    pub fn is_interrupted(&self, record: &Record) -> bool {
        matches!(record.state, State::Lost | State::Cancelled) && !self.store.is_stop_requested(&record.run)
    }
}
