//! Deletes Jobs and CronJobs, and waits until they and their pods are gone: two attempts of a run must not overlap.

use super::retry::Budget;
use super::{JOBS, Resource, in_words};
use serde_json::Value as Json;
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
    let deleted = budget.persist(&report, || client.delete(JOBS, name, Propagation::Foreground)).await;
    deleted.map_err(|error| in_words(&error))?;
    wait_until_gone(client, (JOBS, name), |_| true, budget, wait, report).await
}

/// Deletes this object, which was read before, with its Jobs and pods, as [`delete_job`]. A successor with its name stays.
///
/// # Errors
/// As [`delete_job`].
pub(crate) async fn delete_read_and_wait(
    client: &Client,
    (resource, object): (Resource, &Json),
    budget: &Budget,
    wait: Duration,
    report: impl Fn(&ClientError),
) -> Result<(), String> {
    let deleted = budget.persist(&report, || client.delete_read(resource, object, Propagation::Foreground)).await;
    deleted.map_err(|error| in_words(&error))?;
    let name = object.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
    let is_same = |found: &Json| found.pointer("/metadata/uid") == object.pointer("/metadata/uid");
    wait_until_gone(client, (resource, name), is_same, budget, wait, report).await
}

async fn wait_until_gone(
    client: &Client,
    (resource, name): (Resource, &str),
    is_same: impl Fn(&Json) -> bool,
    budget: &Budget,
    wait: Duration,
    report: impl Fn(&ClientError),
) -> Result<(), String> {
    let mut waited = Duration::ZERO;
    loop {
        let found = budget.persist(&report, || client.get(resource, name)).await.map_err(|error| in_words(&error))?;
        if !found.is_some_and(|found| is_same(&found)) {
            return Ok(());
        }
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
}
