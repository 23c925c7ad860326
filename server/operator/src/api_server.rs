//! The API server of the cluster. All parts of the operator share it, so that an outage is one message.

use crate::outage::Outage;
use kube::Config;
use std::error::Error;
use std::iter::successors;
use std::sync::{Arc, Mutex, PoisonError};

/// The API server of the cluster.
#[derive(Clone)]
pub(crate) struct ApiServer(Arc<Mutex<Outage>>);

impl ApiServer {
    /// The server of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let url = &config.cluster_url;
        // The whole URL may have a password.
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let (scheme, host) = (url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default());
        let address = format!("{scheme}://{host}{port}{}", url.path().trim_end_matches('/'));
        let start = format!("the API server of the cluster cannot be reached at `{address}`: the operator tries again");
        Self(Arc::new(Mutex::new(Outage::new(start, "the API server of the cluster answers again"))))
    }

    fn change(&self, change: impl FnOnce(&mut Outage) -> bool) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// True from the first request without an answer until an answer.
    pub(crate) fn is_out(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_logged()
    }

    /// After an answer.
    pub(crate) fn answered(&self) {
        self.change(Outage::ended);
    }

    /// After a request without an answer, for this reason.
    pub(crate) fn unanswered(&self, error: &str) {
        self.change(|outage| outage.began(error));
    }
}

/// True if a request failed because the API server did not answer. The next attempt to read the Lease reports that.
pub(crate) fn is_unanswered(error: &(dyn Error + 'static)) -> bool {
    let of_client =
        successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref::<kube::Error>());
    matches!(of_client, Some(kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::watcher;

    #[test]
    fn broken_watch_is_unanswered_and_a_refused_one_is_not() {
        let broken = || kube::Error::Service("connection refused".into());
        assert!(is_unanswered(&broken()) && is_unanswered(&watcher::Error::WatchFailed(broken())));
        let refused = kube::Error::Api(Box::new(kube::core::Status::failure("no", "Forbidden")));
        assert!(!is_unanswered(&watcher::Error::InitialListFailed(refused)));
        assert!(!is_unanswered(&watcher::Error::NoResourceVersion));
    }
}
