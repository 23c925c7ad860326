//! Reasons that an object is not ready: its events, its pods and their logs.

use crate::cluster::{Cluster, Kind, part, uid_of};
use crate::target::Target;
use serde_json::Value as Json;

/// Limit of events for an object.
const MOST_EVENTS: usize = 4;
/// Limit of pods with details.
const MOST_PODS: usize = 3;
/// Last lines of a log.
const LOG_LINES: usize = 8;
/// Bytes of a log that the server sends at most.
const LOG_BYTES: usize = 16_384;
/// Longest line, in characters.
const LONGEST_LINE: usize = 200;

/// The reasons, a line each. Omits unreadable parts: the report accompanies another failure.
pub(crate) async fn reasons(cluster: &Cluster, target: &Target, object: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(uid) = uid_of(object) {
        lines.extend(events(cluster, &target.namespace, &uid).await);
    }
    for pod in pods(cluster, target, object).await.iter().filter(|pod| !is_ready(pod)).take(MOST_PODS) {
        lines.extend(of_pod(cluster, &target.namespace, pod).await);
    }
    lines
}

/// The newest warnings about an object, or its newest events.
async fn events(cluster: &Cluster, namespace: &str, uid: &str) -> Vec<String> {
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let path = format!("/api/v1/namespaces/{}/events", part(namespace));
    let selector = [("fieldSelector", format!("involvedObject.uid={uid}"))];
    let Ok(mut events) = cluster.list_at(&path, &selector).await else { return Vec::new() };
    let text = |event: &Json, name: &str| event.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    if events.iter().any(|event| text(event, "type") == "Warning") {
        events.retain(|event| text(event, "type") == "Warning");
    }
    events.sort_by_key(|event| text(event, "lastTimestamp"));
    let newest = events.iter().rev().take(MOST_EVENTS);
    newest.map(|event| short(&format!("event {}: {}", text(event, "reason"), text(event, "message")))).collect()
}

/// The pods of a workload, or the pod itself.
async fn pods(cluster: &Cluster, target: &Target, object: &Json) -> Vec<Json> {
    if target.kind == "Pod" {
        return vec![object.clone()];
    }
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Json::as_object);
    let Some(labels) = labels.filter(|labels| !labels.is_empty()) else { return Vec::new() };
    let label = |(name, value): (&String, &Json)| format!("{name}={}", value.as_str().unwrap_or_default());
    let selector = labels.iter().map(label).collect::<Vec<_>>().join(",");
    let kind =
        Kind { api_version: "v1".to_owned(), kind: "Pod".to_owned(), plural: "pods".to_owned(), is_namespaced: true };
    cluster.list(&kind, &target.namespace, &[("labelSelector", selector)]).await.unwrap_or_default()
}

fn is_ready(pod: &Json) -> bool {
    crate::ready::of(pod, None) == crate::ready::Readiness::Ready
}

async fn of_pod(cluster: &Cluster, namespace: &str, pod: &Json) -> Vec<String> {
    let name = pod.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default();
    let mut lines: Vec<String> = states(pod).into_iter().map(|state| short(&format!("pod {name}: {state}"))).collect();
    if let Some(uid) = uid_of(pod) {
        let events = events(cluster, namespace, &uid).await;
        lines.extend(events.into_iter().map(|event| short(&format!("pod {name}: {event}"))));
    }
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/log?tailLines={LOG_LINES}&limitBytes={LOG_BYTES}",
        part(namespace),
        part(name)
    );
    // The log of a container that ended is that of its previous run.
    let mut log = cluster.text(&path).await.unwrap_or_default();
    if log.trim().is_empty() {
        log = cluster.text(&format!("{path}&previous=true")).await.unwrap_or_default();
    }
    lines.extend(log.lines().map(|line| short(&format!("pod {name} | {line}"))));
    lines
}

/// The reasons in the status of a pod.
fn states(pod: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let text = |value: &Json, at: &str| value.pointer(at).and_then(Json::as_str).unwrap_or_default().to_owned();
    for list in ["initContainerStatuses", "containerStatuses"] {
        let statuses = pod.pointer(&format!("/status/{list}")).and_then(Json::as_array);
        for status in statuses.into_iter().flatten() {
            let container = text(status, "/name");
            for state in ["waiting", "terminated"] {
                let Some(details) = status.pointer(&format!("/state/{state}")) else { continue };
                let (reason, message) = (text(details, "/reason"), text(details, "/message"));
                let message = if message.is_empty() { message } else { format!(": {message}") };
                if reason != "Completed" {
                    found.push(format!("container {container} is {state}: {reason}{message}"));
                }
            }
        }
    }
    let conditions = pod.pointer("/status/conditions").and_then(Json::as_array);
    let scheduled = conditions.into_iter().flatten().find(|it| text(it, "/type") == "PodScheduled");
    if let Some(condition) = scheduled.filter(|it| text(it, "/status") == "False") {
        found.push(format!("it is not scheduled: {}", text(condition, "/message")));
    }
    found
}

fn short(line: &str) -> String {
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_of_a_pod_name_its_containers() {
        let pod = json!({"status": {
            "initContainerStatuses": [{"name": "first", "state": {"terminated": {"reason": "Completed"}}}],
            "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "no image"}}}],
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}],
        }});
        assert_eq!(
            states(&pod),
            ["container web is waiting: ErrImageNeverPull: no image", "it is not scheduled: 0/1 nodes are available"]
        );
    }
}
