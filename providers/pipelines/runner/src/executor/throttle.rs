//! Limits the rate of progress reports.

use super::JobObserver;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Minimum time between two reports of a step.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Passes reports of the output of steps to an observer, for each step at most one in a second. It leaves out older reports, never
/// the newest: a step may print nothing more for long.
pub(super) struct ProgressThrottle {
    /// Time of the last report; at first that of the creation.
    last: Instant,
    /// Rows and bytes without a report, by step.
    pending: BTreeMap<usize, (u64, u64)>,
}

impl Default for ProgressThrottle {
    fn default() -> Self {
        Self { last: Instant::now(), pending: BTreeMap::new() }
    }
}

impl ProgressThrottle {
    /// Notes the output of a step so far. Reports it if the last report is old enough.
    pub(super) fn note(&mut self, observer: &dyn JobObserver, step: usize, rows: u64, bytes: u64) {
        self.pending.insert(step, (rows, bytes));
        if self.last.elapsed() >= PERIOD {
            self.flush(observer);
        }
    }

    /// Reports the pending output.
    pub(super) fn flush(&mut self, observer: &dyn JobObserver) {
        for (step, (rows, bytes)) in std::mem::take(&mut self.pending) {
            observer.progress(step, rows, bytes);
            self.last = Instant::now();
        }
    }

    /// Waits for more output, and meanwhile reports the present one when it is time.
    pub(super) async fn wait<T>(&mut self, observer: &dyn JobObserver, output: impl Future<Output = T>) -> T {
        tokio::pin!(output);
        loop {
            tokio::select! {
                biased;
                output = &mut output => return output,
                () = self.due() => self.flush(observer),
            }
        }
    }

    /// Waits until it is time for a report; for ever without pending output.
    async fn due(&self) {
        match self.pending.is_empty() {
            true => std::future::pending().await,
            false => tokio::time::sleep(PERIOD.saturating_sub(self.last.elapsed())).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::StepOutcome;
    use super::*;
    use jiff::Timestamp;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Reports(Mutex<Vec<(usize, u64)>>);

    impl JobObserver for Reports {
        fn line(&self, _step: usize, _at: Timestamp, _line: &str) {}
        fn progress(&self, step: usize, rows: u64, _bytes: u64) {
            self.0.lock().unwrap().push((step, rows));
        }
        fn ended(&self, _step: usize, _outcome: &StepOutcome) {}
    }

    #[tokio::test(start_paused = true)]
    async fn newest_output_of_each_step_is_reported_after_a_period() {
        let (reports, mut throttle) = (Reports::default(), ProgressThrottle::default());
        let reported = || std::mem::take(&mut *reports.0.lock().unwrap());
        for rows in 1..=1000 {
            throttle.note(&reports, 0, rows, 0);
            throttle.note(&reports, 1, rows * 2, 0);
        }
        assert_eq!(reported(), []);
        throttle.wait(&reports, tokio::time::sleep(PERIOD * 3)).await;
        assert_eq!(reported(), [(0, 1000), (1, 2000)]);
        throttle.note(&reports, 1, 2001, 0);
        throttle.note(&reports, 1, 2002, 0);
        assert_eq!(reported(), [(1, 2001)], "the last report is old");
        throttle.flush(&reports);
        throttle.flush(&reports);
        assert_eq!(reported(), [(1, 2002)]);
    }
}
