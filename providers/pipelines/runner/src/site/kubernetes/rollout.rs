//! Waits until the servers of sites are ready, and until objects are gone.

use super::manifest::{CONTAINER, Description, PartKind, REVISION, SITE, object_name};
use super::{ClusterSites, DEPLOYMENTS, ENDING, EVENTS, PODS, Resource, failed, is_going, refused, text};
use crate::executor::kubernetes::server_problem::{Problem, last_lines, problem};
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::{ErrorKind, ProviderError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Interval between looks at objects.
const POLL: Duration = Duration::from_millis(300);

fn number(value: &Json, at: &str) -> u64 {
    value.pointer(at).and_then(Json::as_u64).unwrap_or_default()
}

/// Returns true if the new pods of a Deployment are ready, and no old one is left.
fn is_ready(deployment: &Json) -> bool {
    let wanted = number(deployment, "/spec/replicas");
    number(deployment, "/status/observedGeneration") >= number(deployment, "/metadata/generation")
        && ["updatedReplicas", "readyReplicas", "replicas"]
            .iter()
            .all(|field| number(deployment, &format!("/status/{field}")) == wanted)
}

impl ClusterSites {
    /// Waits until the server of a site is ready, and its former server has ended.
    ///
    /// # Errors
    /// With the reason, when it is not within its time, or cannot be.
    pub(super) async fn wait_until_ready(
        &self,
        wanted: &Description,
        cancel: &CancellationToken,
    ) -> Result<(), ProviderError> {
        let begun = Instant::now();
        let mut problem_since: Option<Instant> = None;
        let (name, object) = (wanted.name(), object_name(wanted.name()));
        loop {
            let found = self.client.get(DEPLOYMENTS, &object).await;
            let (pod, problem) = match found {
                // The cluster may answer again.
                Err(error) if error.is_transient() => {
                    (None, Some(Problem { message: error.to_string(), patience: None, is_in_log: false }))
                }
                Err(error) => return Err(refused(error)),
                Ok(None) => return Err(failed(format!("the Deployment `{object}` was removed while it started"))),
                Ok(Some(found)) if is_ready(&found) => return Ok(()),
                Ok(Some(_)) => self.problem(wanted).await?,
            };
            let since = match &problem {
                Some(Problem { patience: Some(_), .. }) => *problem_since.get_or_insert_with(Instant::now),
                _ => {
                    problem_since = None;
                    Instant::now()
                }
            };
            let is_over = begun.elapsed() >= self.start_time;
            if is_over || problem.as_ref().and_then(|it| it.patience).is_some_and(|it| since.elapsed() >= it) {
                return Err(self.not_ready(wanted, pod, problem, begun.elapsed()).await);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => {
                    let message = format!("cancelled while the site `{name}` starts");
                    return Err(ProviderError::new(ErrorKind::Cancelled, message));
                }
            }
        }
    }

    /// The name of the new pod of a site, and why it is not ready.
    async fn problem(&self, wanted: &Description) -> Result<(Option<String>, Option<Problem>), ProviderError> {
        let selector = ("labelSelector", format!("{SITE}={}", wanted.name()));
        let pods = match self.client.list(PODS, &[selector]).await {
            Err(error) if error.is_transient() => return Ok((None, None)),
            pods => pods.map_err(refused)?,
        };
        let revision = wanted.revision();
        let is_new = |pod: &&Json| {
            let found = pod.pointer("/metadata/annotations").and_then(|all| all.get(REVISION));
            !is_going(pod) && found.and_then(Json::as_str) == Some(revision.as_str())
        };
        let newest = |pod: &&Json| text(pod, "/metadata/creationTimestamp").to_owned();
        let pod = pods.iter().filter(is_new).max_by_key(newest);
        let name = pod.map(|pod| text(pod, "/metadata/name").to_owned());
        let selector = match &name {
            Some(name) => format!("involvedObject.kind=Pod,involvedObject.name={name}"),
            None => "involvedObject.kind=ReplicaSet".to_owned(),
        };
        // They only explain a wait.
        let mut events = self.client.list(EVENTS, &[("fieldSelector", selector)]).await.unwrap_or_default();
        if name.is_none() {
            // ReplicaSets have the name of the Deployment with a suffix.
            let beginning = format!("{}-", object_name(wanted.name()));
            events.retain(|event| {
                let suffix = text(event, "/involvedObject/name").strip_prefix(&beginning);
                suffix.is_some_and(|suffix| !suffix.contains('-'))
            });
        }
        Ok((name, problem(CONTAINER, pod, &events)))
    }

    /// The error of a server that does not start.
    async fn not_ready(
        &self,
        wanted: &Description,
        pod: Option<String>,
        problem: Option<Problem>,
        waited: Duration,
    ) -> ProviderError {
        let namespace = self.client.namespace();
        let (message, is_in_log) = match problem {
            Some(problem) => (problem.message, problem.is_in_log),
            None => (format!("it is not ready after {} s", waited.as_secs()), false),
        };
        let error = failed(format!("the server of the site `{}` does not start: {message}", wanted.name()));
        match pod {
            Some(pod) if is_in_log => {
                let lines = last_lines(&self.client, &pod, CONTAINER).await;
                let hint = match lines.iter().any(|line| line.contains("unrecognized subcommand")) {
                    true => "build the image again: its terrace is older, and shows no sites".to_owned(),
                    false => format!("see `kubectl logs {pod} -n {namespace} --previous`"),
                };
                lines.into_iter().fold(error, ProviderError::problem).solution(hint)
            }
            pod => error.solution(match &message {
                it if it.contains("cannot be pulled") => {
                    "correct `image`, or have an administrator give the nodes access to its registry".to_owned()
                }
                it if it.contains("exceeded quota") => {
                    "remove objects of the namespace, or have an administrator raise its quota".to_owned()
                }
                _ => match pod {
                    Some(pod) => format!("see `kubectl describe pod {pod} -n {namespace}`"),
                    None => format!("see `kubectl describe deployment {} -n {namespace}`", object_name(wanted.name())),
                },
            }),
        }
    }

    /// Waits until an object that is being deleted is gone.
    ///
    /// # Errors
    /// When it is not in time.
    pub(super) async fn wait_until_gone(&self, resource: Resource, name: &str) -> Result<(), ProviderError> {
        let begun = Instant::now();
        while self.client.get(resource, name).await.map_err(refused)?.is_some_and(|found| is_going(&found)) {
            self.check_ending(begun, resource, name)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until an object that goes with an owner of this uid is gone.
    ///
    /// # Errors
    /// When it is not in time.
    pub(super) async fn wait_until_removed(
        &self,
        kind: PartKind,
        name: &str,
        owner: &str,
    ) -> Result<(), ProviderError> {
        let begun = Instant::now();
        let is_owned = |found: Json| text(&found, "/metadata/ownerReferences/0/uid") == owner;
        while self.part(&(kind, name.to_owned())).await?.is_some_and(is_owned) {
            self.check_ending(begun, kind.resource(), name)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn check_ending(&self, begun: Instant, resource: Resource, name: &str) -> Result<(), ProviderError> {
        if begun.elapsed() < ENDING {
            return Ok(());
        }
        let namespace = self.client.namespace();
        let (seconds, kind) = (ENDING.as_secs(), resource.plural);
        Err(failed(format!("the cluster has not removed `{name}` ({kind}) within {seconds} s"))
            .solution(format!("see `kubectl describe {kind} {name} -n {namespace}`, then repeat it")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rollout_is_over_when_no_old_pod_is_left() {
        let deployment = |generation: u64, updated: u64, all: u64, ready: u64| {
            json!({
                "metadata": {"generation": 2}, "spec": {"replicas": 1},
                "status": {
                    "observedGeneration": generation, "updatedReplicas": updated, "replicas": all, "readyReplicas": ready,
                },
            })
        };
        assert!(is_ready(&deployment(2, 1, 1, 1)));
        assert!(!is_ready(&deployment(1, 1, 1, 1)), "the change is not seen yet");
        assert!(!is_ready(&deployment(2, 1, 2, 2)), "the old pod is left");
        assert!(!is_ready(&deployment(2, 1, 2, 1)), "the new pod is not ready");
        assert!(!is_ready(&deployment(2, 0, 1, 1)), "the new pod does not exist");
    }
}
