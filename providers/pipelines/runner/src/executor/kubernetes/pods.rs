//! Pods of runs in a namespace.

use super::super::pod::SHELL;
use super::super::pods::{Attached, ClusterPod, ClusterPodState, ClusterPods};
use super::cron_job::{self, CRON_JOB, JOB_UID};
use super::manifest::{CONTAINER, MANAGED, PIPELINE_ID, ROLE, RUN, TERRACE};
use super::retry::{Budget, silent};
use super::{JOBS, KubernetesExecutor, PODS, REVIEW, in_words};
use async_trait::async_trait;
use serde_json::Value as Json;
use std::collections::BTreeMap;

#[async_trait]
impl ClusterPods for KubernetesExecutor {
    async fn list(&self) -> Result<Vec<ClusterPod>, String> {
        let selector = [("labelSelector", format!("{}={}", MANAGED.0, MANAGED.1))];
        let pods = Budget::of(REVIEW).persist(silent, || self.client.list(PODS, &selector)).await;
        let pods = pods.map_err(|error| in_words(&error))?;
        let runs = match pods.iter().any(|pod| text(pod, "labels", CRON_JOB).is_some()) {
            true => self.scheduled_runs().await?,
            false => BTreeMap::new(),
        };
        let namespace = self.client.namespace();
        let mut pods: Vec<ClusterPod> = pods.iter().filter_map(|pod| of_json(pod, namespace, &runs)).collect();
        pods.sort_by(|one, other| (one.created_at, &one.name).cmp(&(other.created_at, &other.name)));
        Ok(pods)
    }

    async fn shell(&self, pod: &str, name: &str, words: &[String], has_terminal: bool) -> Result<Attached, String> {
        let words = words.iter().map(String::as_str);
        let command = [TERRACE].into_iter().chain(SHELL).chain(["--name", name, "--"]).chain(words);
        let command: Vec<&str> = command.collect();
        self.client.attach(pod, CONTAINER, &command, has_terminal).await.map_err(|error| in_words(&error))
    }
}

impl KubernetesExecutor {
    /// Ids of the runs that CronJobs started, by the uid of the Job.
    async fn scheduled_runs(&self) -> Result<BTreeMap<String, String>, String> {
        let selector = [("labelSelector", CRON_JOB.to_owned())];
        let jobs = Budget::of(REVIEW).persist(silent, || self.client.list(JOBS, &selector)).await;
        let jobs = jobs.map_err(|error| in_words(&error))?;
        Ok(jobs.iter().filter_map(cron_job::started).map(|started| (started.uid, started.run)).collect())
    }
}

/// A label or an annotation of a pod.
fn text<'a>(pod: &'a Json, map: &str, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get(map)?.get(name)?.as_str()
}

/// The run of a pod. A pod without a Job, such as a copy for a shell (`kubectl debug`), has none, although it may have the labels.
fn run_of<'a>(pod: &'a Json, scheduled: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| owner.get("kind").and_then(Json::as_str) == Some("Job"))?;
    text(pod, "labels", RUN).or_else(|| scheduled.get(text(pod, "labels", JOB_UID)?).map(String::as_str))
}

/// Returns true for a pod whose server does not accept requests, for example because it crashes or ends.
fn is_unready(pod: &Json) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Json::as_array);
    let is_unready = |it: &Json| it.get("type") == Some(&"Ready".into()) && it.get("status") == Some(&"False".into());
    conditions.is_some_and(|conditions| conditions.iter().any(is_unready))
}

/// A pod of the API; nothing for other objects. `scheduled` has the runs of CronJobs by the uid of the Job.
fn of_json(pod: &Json, namespace: &str, scheduled: &BTreeMap<String, String>) -> Option<ClusterPod> {
    let metadata = pod.get("metadata")?;
    let run = run_of(pod, scheduled).zip(text(pod, "annotations", PIPELINE_ID));
    Some(ClusterPod {
        name: metadata.get("name")?.as_str()?.to_owned(),
        namespace: namespace.to_owned(),
        role: text(pod, "labels", ROLE).unwrap_or_default().to_owned(),
        state: match pod.pointer("/status/phase").and_then(Json::as_str) {
            Some("Running") if !is_unready(pod) => ClusterPodState::Running,
            Some("Succeeded" | "Failed") => ClusterPodState::Ended,
            _ => ClusterPodState::Pending,
        },
        run: run.map(|(run, pipeline)| (run.to_owned(), pipeline.to_owned())),
        created_at: metadata.get("creationTimestamp")?.as_str()?.parse().ok()?,
        node: pod.pointer("/spec/nodeName").and_then(Json::as_str).map(str::to_owned),
    })
}
