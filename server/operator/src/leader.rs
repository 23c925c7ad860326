//! Leader election by a Lease of `coordination.k8s.io`: of several operators, one works.
//!
//! A holder renews the Lease. Another process takes it after it has seen no renewal for the whole duration, by its own
//! clock. Each write names the version that was read, so two processes cannot take the Lease at once. A process that
//! cannot renew stops its work before the duration ends.

use crate::api_server::{ApiServer, is_unanswered};
use crate::health::Health;
use crate::outage::Outage;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use std::time::Duration;
use terrace_provider::error::with_causes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a Lease without a renewal belongs to its holder.
const DURATION: Duration = Duration::from_secs(15);
/// How long a holder works without a renewal.
const DEADLINE: Duration = Duration::from_secs(13);
/// The pause between renewals, and between looks at the Lease of another holder.
pub(crate) const PAUSE: Duration = Duration::from_secs(2);
/// The limit of a request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// A candidate for a Lease.
pub(crate) struct Candidate {
    api: Api<Lease>,
    /// The name of the Lease.
    name: String,
    /// The name of this process in the Lease: unique among all processes.
    identity: String,
    health: Health,
    server: ApiServer,
}

/// The newest renewal of a Lease, and when this process saw it first.
struct Seen {
    version: String,
    since: Instant,
}

/// Why a Lease cannot be read or written.
enum LeaseError {
    /// The cluster grants no right to it.
    Forbidden(String),
    /// Another refusal.
    Refused(String),
    /// The API server does not answer, which [`ApiServer`] logs.
    Unanswered,
}

impl Candidate {
    pub(crate) fn new(api: Api<Lease>, name: String, identity: String, health: Health, server: ApiServer) -> Self {
        Self { api, name, identity, health, server }
    }

    /// Waits until this process holds the Lease, or until `stop`. Returns the start of the request that took it, and
    /// `None` after `stop`.
    ///
    /// # Errors
    /// The message of the cluster if it forbids the first look at the Lease. Later refusals are an outage.
    pub(crate) async fn acquire(&self, stop: &CancellationToken) -> Result<Option<Instant>, String> {
        let mut seen = None;
        let mut is_logged = false;
        let mut is_first = true;
        let mut outage = Outage::new("the lease cannot be read or written now", "the lease can be read and written");
        loop {
            let began = Instant::now();
            match self.try_acquire(&mut seen).await {
                Ok(holder) => {
                    outage.ended();
                    let Some(holder) = holder else { return Ok(Some(began)) };
                    if !is_logged {
                        tracing::info!(holder, "another operator leads: waiting");
                    }
                    is_logged = true;
                }
                Err(LeaseError::Forbidden(message)) if is_first => return Err(message),
                Err(LeaseError::Forbidden(message) | LeaseError::Refused(message)) => {
                    outage.began(&message);
                }
                Err(LeaseError::Unanswered) => {}
            }
            is_first = false;
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => return Ok(None),
            }
        }
    }

    /// Renews the Lease until it is lost. `since` is the start of the request that took it.
    pub(crate) async fn keep(&self, since: Instant) {
        keep(since, async || self.try_acquire(&mut None).await).await;
    }

    /// Gives the Lease back, so that the next holder need not wait.
    pub(crate) async fn release(&self) {
        let release = async {
            let mut lease = self.api.get_opt(&self.name).await.ok()??;
            let spec = lease.spec.as_mut()?;
            if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
                return None;
            }
            spec.holder_identity = None;
            self.api.replace(&self.name, &PostParams::default(), &lease).await.ok()
        };
        let _ = tokio::time::timeout(TIMEOUT, release).await;
    }

    /// Takes or renews the Lease if that is possible now. Returns the holder that prevents it.
    async fn try_acquire(&self, seen: &mut Option<Seen>) -> Result<Option<String>, LeaseError> {
        let attempt = tokio::time::timeout(TIMEOUT, self.attempt(seen)).await;
        self.health.attempted(matches!(attempt, Ok(Ok(_))));
        let silence = match attempt {
            Err(_) => "no answer".to_owned(),
            Ok(Err(error)) if is_unanswered(&error) => with_causes(&error),
            Ok(answer) => {
                self.server.answered();
                return answer.map_err(|error| match error {
                    kube::Error::Api(answer) if answer.code == 403 => LeaseError::Forbidden(answer.message),
                    kube::Error::Api(answer) => LeaseError::Refused(answer.message),
                    error => LeaseError::Refused(error.to_string()),
                });
            }
        };
        self.server.unanswered(&silence);
        Err(LeaseError::Unanswered)
    }

    async fn attempt(&self, seen: &mut Option<Seen>) -> Result<Option<String>, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let spec = LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            };
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec) };
            return written(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.resource_version().unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        if let Some(holder) = holder.as_ref().filter(|holder| **holder != self.identity) {
            let lease_duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let lease_duration = lease_duration.map_or(DURATION, Duration::from_secs);
            if !is_expired(seen, version, lease_duration) {
                return Ok(Some(holder.clone()));
            }
        }
        if holder.as_deref() != Some(self.identity.as_str()) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
        // The version within the metadata lets the server refuse a write over a newer one.
        written(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }
}

/// Renews a Lease until it is lost.
///
/// Its duration begins when the API server writes, which may be long before the answer: so the start of a request
/// counts, not its end.
async fn keep(since: Instant, mut renew: impl AsyncFnMut() -> Result<Option<String>, LeaseError>) {
    let mut renewed = since;
    let mut outage = Outage::new("the lease cannot be renewed now", "the lease is renewed again");
    loop {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        match renew().await {
            Ok(None) => {
                outage.ended();
                renewed = began;
            }
            Ok(Some(holder)) => {
                tracing::warn!(holder, "another operator took the lease");
                return;
            }
            Err(LeaseError::Forbidden(message) | LeaseError::Refused(message)) => {
                outage.began(&message);
            }
            Err(LeaseError::Unanswered) => {}
        }
        // The next request may take its whole time.
        if renewed.elapsed() + PAUSE + TIMEOUT > DEADLINE {
            tracing::info!("the lease was not renewed in time: this operator stops leading");
            return;
        }
    }
}

/// The result of a write: another process was faster if the server reports a conflict.
fn written(result: Result<Lease, kube::Error>) -> Result<Option<String>, kube::Error> {
    match result {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(answer)) if answer.code == 409 => Ok(Some("another process".to_owned())),
        Err(error) => Err(error),
    }
}

/// Whether a Lease had no renewal for its whole duration.
fn is_expired(seen: &mut Option<Seen>, version: String, duration: Duration) -> bool {
    match seen {
        Some(seen) if seen.version == version => seen.since.elapsed() >= duration,
        _ => {
            *seen = Some(Seen { version, since: Instant::now() });
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lease_expires_only_without_any_renewal() {
        let mut seen = None;
        assert!(!is_expired(&mut seen, "1".to_owned(), DURATION));
        tokio::time::advance(DURATION - Duration::from_millis(1)).await;
        assert!(!is_expired(&mut seen, "1".to_owned(), DURATION));
        // A renewal restarts the duration.
        assert!(!is_expired(&mut seen, "2".to_owned(), DURATION));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!is_expired(&mut seen, "2".to_owned(), DURATION));
        tokio::time::advance(DURATION).await;
        assert!(is_expired(&mut seen, "2".to_owned(), DURATION));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_renewal_counts_from_its_start() {
        let since = Instant::now();
        let mut renewals = 0;
        let renew = async || {
            renewals += 1;
            // The first renewal and those after the fourth are slow.
            if !(2..=4).contains(&renewals) {
                tokio::time::sleep(TIMEOUT - Duration::from_millis(1)).await;
            }
            match renewals {
                1 => Ok(None),
                _ => Err(LeaseError::Unanswered),
            }
        };
        keep(since, renew).await;
        // The API server may have written the only renewal as soon as its request began.
        let written = since + PAUSE;
        assert!(written.elapsed() <= DEADLINE, "{:?}", written.elapsed());
    }

    #[test]
    fn holder_stops_before_others_may_take_the_lease() {
        assert!(DEADLINE < DURATION);
        assert!(TIMEOUT + PAUSE <= DEADLINE);
    }
}
