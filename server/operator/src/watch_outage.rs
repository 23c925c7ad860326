//! Outages of the watch of a kind of custom resources.

use crate::api_server::{ApiServer, is_unanswered};
use crate::leader::{PAUSE, TIMEOUT};
use crate::outage::Outage;
use kube::runtime::watcher;
use std::time::Duration;
use terrace_provider::error::with_causes;
use tokio::time::Instant;

/// The longest pause between attempts to watch.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Logs an outage of a watch, unless the whole API server has one.
pub(crate) struct WatchOutage {
    plural: &'static str,
    server: ApiServer,
    /// The longest time of a request without an answer.
    read_timeout: Duration,
    outage: Outage,
    /// The first of successive failures, and the time after which the watch works again.
    failures: Option<(Instant, Instant)>,
}

impl WatchOutage {
    /// For the kind with this name in URLs.
    pub(crate) fn new(plural: &'static str, server: ApiServer, read_timeout: Duration) -> Self {
        let outage =
            Outage::new("the custom resources cannot be watched now", "the custom resources are watched again");
        Self { plural, server, read_timeout, outage, failures: None }
    }

    /// After a reconciliation, which may be that of an object from before an outage. Returns whether an outage ended.
    pub(crate) fn reconciled(&mut self) -> bool {
        self.failures.is_none_or(|(_, until)| Instant::now() > until) && self.outage.ended()
    }

    /// After a failed watch. Returns whether it was logged.
    pub(crate) fn failed(&mut self, error: &watcher::Error) -> bool {
        let is_unanswered = is_unanswered(error);
        let (now, is_out) = (Instant::now(), is_unanswered && self.server.is_out());
        let longest_gap = match error {
            watcher::Error::InitialListFailed(_) | watcher::Error::WatchStartFailed(_) if is_unanswered => {
                LONGEST_PAUSE + self.read_timeout
            }
            _ => LONGEST_PAUSE,
        };
        let first = self.failures.filter(|(_, until)| now <= *until).map_or(now, |(first, _)| first);
        self.failures = (!is_out).then_some((first, now + longest_gap));
        let words = format!("{}: {}", self.plural, with_causes(error));
        // The next attempt to renew the Lease may find the outage. A proxy may close a watch without events, which begins again.
        if is_out || (is_unanswered && first.elapsed() <= PAUSE + TIMEOUT) {
            tracing::debug!(error = words, "the custom resources cannot be watched now");
            return false;
        }
        self.outage.began(&words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_TIMEOUT: Duration = Duration::from_secs(330);

    fn watch() -> (ApiServer, WatchOutage) {
        let server = ApiServer::of(&kube::Config::new("https://h:6443".parse().unwrap()));
        (server.clone(), WatchOutage::new("stacks", server, READ_TIMEOUT))
    }

    fn broken() -> kube::Error {
        kube::Error::Service("connection reset".into())
    }

    /// Whether each of two failures is logged that have this pause.
    async fn twice(watch: &mut WatchOutage, error: &watcher::Error, pause: Duration) -> [bool; 2] {
        let first = watch.failed(error);
        tokio::time::advance(pause).await;
        [first, watch.failed(error)]
    }

    #[tokio::test(start_paused = true)]
    async fn watch_that_fails_alone_is_logged_after_a_lease_period() {
        let period = PAUSE + TIMEOUT + Duration::from_millis(1);
        for (error, pause, is_logged) in [
            (watcher::Error::InitialListFailed(broken()), Duration::from_secs(1), false),
            (watcher::Error::InitialListFailed(broken()), period, true),
            (watcher::Error::InitialListFailed(broken()), READ_TIMEOUT, true),
            (watcher::Error::WatchFailed(broken()), period, true),
            (watcher::Error::WatchFailed(broken()), READ_TIMEOUT, false),
        ] {
            let (_, mut watch) = watch();
            let name = format!("{error:?} after {pause:?}");
            assert_eq!(twice(&mut watch, &error, pause).await, [false, is_logged], "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reconciliation_during_an_outage_does_not_end_it() {
        let (_, mut watch) = watch();
        let refused = || kube::Error::Api(Box::new(kube::core::Status::failure("no", "Forbidden")));
        assert!(watch.failed(&watcher::Error::WatchStartFailed(refused())) && !watch.reconciled());
        tokio::time::advance(LONGEST_PAUSE).await;
        assert!(!watch.failed(&watcher::Error::WatchStartFailed(refused())) && !watch.reconciled(), "the same outage");
        tokio::time::advance(LONGEST_PAUSE + Duration::from_millis(1)).await;
        assert!(watch.reconciled());
    }

    #[tokio::test(start_paused = true)]
    async fn outage_of_the_api_server_hides_that_of_its_watches() {
        let (server, mut watch) = watch();
        server.unanswered("connection refused");
        let pause = PAUSE + TIMEOUT + Duration::from_millis(1);
        assert_eq!(twice(&mut watch, &watcher::Error::WatchStartFailed(broken()), pause).await, [false, false]);
        server.answered();
        assert!(!watch.failed(&watcher::Error::WatchStartFailed(broken())), "it may be older than the answer");
        assert!(watch.failed(&watcher::Error::NoResourceVersion), "the API server answered");
    }
}
