//! Pods of runs in a namespace.

use super::super::pod::SHELL;
use super::super::pods::{Attached, ClusterPod, ClusterPodState, ClusterPods};
use super::manifest::{CONTAINER, MANAGED, PIPELINE_ID, ROLE, RUN, TERRACE};
use super::retry::{Budget, silent};
use super::{KubernetesExecutor, PODS, REVIEW, in_words};
use async_trait::async_trait;
use serde_json::Value as Json;

#[async_trait]
impl ClusterPods for KubernetesExecutor {
    async fn list(&self) -> Result<Vec<ClusterPod>, String> {
        let selector = [("labelSelector", format!("{}={}", MANAGED.0, MANAGED.1))];
        let pods = Budget::of(REVIEW).persist(silent, || self.client.list(PODS, &selector)).await;
        let pods = pods.map_err(|error| in_words(&error))?;
        let mut pods: Vec<ClusterPod> = pods.iter().filter_map(|pod| of_json(pod, self.client.namespace())).collect();
        pods.sort_by(|one, other| (one.created_at, &one.name).cmp(&(other.created_at, &other.name)));
        Ok(pods)
    }

    async fn shell(&self, pod: &str, words: &[String], has_terminal: bool) -> Result<Attached, String> {
        let words = words.iter().map(String::as_str);
        let command: Vec<&str> = [TERRACE].into_iter().chain(SHELL).chain(["--"]).chain(words).collect();
        self.client.attach(pod, CONTAINER, &command, has_terminal).await.map_err(|error| in_words(&error))
    }
}

/// A pod of the API; nothing for other objects.
fn of_json(pod: &Json, namespace: &str) -> Option<ClusterPod> {
    let metadata = pod.get("metadata")?;
    let text = |map: &str, name: &str| Some(metadata.get(map)?.get(name)?.as_str()?.to_owned());
    Some(ClusterPod {
        name: metadata.get("name")?.as_str()?.to_owned(),
        namespace: namespace.to_owned(),
        role: text("labels", ROLE).unwrap_or_default(),
        state: match pod.pointer("/status/phase").and_then(Json::as_str) {
            Some("Running") => ClusterPodState::Running,
            Some("Succeeded" | "Failed") => ClusterPodState::Ended,
            _ => ClusterPodState::Pending,
        },
        run: text("labels", RUN).zip(text("annotations", PIPELINE_ID)),
        created_at: metadata.get("creationTimestamp")?.as_str()?.parse().ok()?,
    })
}
