//! Deletes Jobs and CronJobs, and waits until they and their pods are gone: two attempts of a run must not overlap.

use super::retry::Budget;
use super::{JOBS, Resource, in_words};
use std::time::Duration;
use terrace_provider_kubernetes::client::{Client, ClientError, Propagation};

/// Interval between checks for the end of a deletion.
const POLL: Duration = Duration::from_millis(200);

/// Deletes a Job with its pods, and waits for at most `wait` until they are gone, without the time of outages.
///
/// # Errors
/// With a message for people, when the cluster refuses, does not answer within the budget, or the wait is over.
pub(crate) async fn delete_job(
    client: &Client,
    name: &str,
    budget: &Budget,
    wait: Duration,
    report: impl Fn(&ClientError),
) -> Result<(), String> {
    delete_and_wait(client, (JOBS, name), budget, wait, report).await
}

/// Deletes an object with its Jobs and pods, as [`delete_job`].
///
/// # Errors
/// As [`delete_job`].
pub(crate) async fn delete_and_wait(
    client: &Client,
    (resource, name): (Resource, &str),
    budget: &Budget,
    wait: Duration,
    report: impl Fn(&ClientError),
) -> Result<(), String> {
    let failed = |error: ClientError| in_words(&error);
    budget.persist(&report, || client.delete(resource, name, Propagation::Foreground)).await.map_err(failed)?;
    let mut waited = Duration::ZERO;
    while budget.persist(&report, || client.get(resource, name)).await.map_err(failed)?.is_some() {
        if waited >= wait {
            return Err(format!(
                "the cluster has not removed it within {} s; if a node is lost, remove its pod by `kubectl delete pod \
                 --force -l job-name={name}`",
                wait.as_secs()
            ));
        }
        tokio::time::sleep(POLL).await;
        waited = waited.saturating_add(POLL);
    }
    Ok(())
}
