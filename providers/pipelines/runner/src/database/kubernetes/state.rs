//! State of a database, from its objects in the cluster.

use super::super::clock::{Deadline, Moment};
use super::super::record::{Engine, InCluster, Record, Status};
use super::manifest::{CONTAINER, Description, PORT, has_fields, object_name};
use jiff::Timestamp;
use serde_json::Value as Json;
use std::time::Duration;

/// Reasons of a waiting container that do not end by themselves.
const STUCK: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];
/// Time for a problem that a node tries again, such as an image that cannot be pulled.
pub(super) const SHORT: Duration = Duration::from_secs(60);
/// Number of starts of a server that ends at once.
const MOST_STARTS: u64 = 2;

fn text<'a>(value: &'a Json, at: &str) -> &'a str {
    value.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

fn number(value: &Json, at: &str) -> u64 {
    value.pointer(at).and_then(Json::as_u64).unwrap_or_default()
}

/// Returns true if the server accepts connections, and no older pod runs.
pub(super) fn is_ready(stateful_set: &Json) -> bool {
    number(stateful_set, "/status/observedGeneration") == number(stateful_set, "/metadata/generation")
        && number(stateful_set, "/status/readyReplicas") > 0
        && number(stateful_set, "/status/updatedReplicas") > 0
}

/// Returns true if no pod is left.
pub(super) fn is_stopped(stateful_set: &Json) -> bool {
    number(stateful_set, "/status/observedGeneration") == number(stateful_set, "/metadata/generation")
        && number(stateful_set, "/status/replicas") == 0
}

/// Returns true if a database has expired by the clock of the cluster.
pub(super) fn is_due(description: &Description, now: Timestamp) -> bool {
    description.expires_at.is_some_and(|at| at <= now)
}

/// Returns true if a StatefulSet differs from the manifest of terrace. Items of lists have no `kind`.
fn is_changed(stateful_set: &Json, description: &Description) -> bool {
    let manifest = description.stateful_set(None);
    ["/metadata", "/spec"].iter().any(|part| match (stateful_set.pointer(part), manifest.pointer(part)) {
        (Some(found), Some(wanted)) => !has_fields(found, wanted),
        _ => true,
    })
}

/// The record of a StatefulSet in a namespace, at a time of the cluster's clock; nothing for one of another owner.
pub(super) fn record(stateful_set: &Json, namespace: &str, now: Timestamp) -> Option<Record> {
    let description = Description::read(stateful_set)?;
    let status = match &description {
        found if found.is_expired || is_due(found, now) => Status::Expired,
        found if !found.is_whole => Status::Creating,
        found if is_changed(stateful_set, found) => Status::Changed,
        found if found.is_stopped => Status::Stopped,
        _ => Status::Running,
    };
    let deadline = description.expires_at.map(|at| {
        let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        Deadline::at(at, left, &Moment::now())
    });
    Some(Record {
        id: description.id,
        engine: Engine::Postgres,
        made_at: text(stateful_set, "/metadata/creationTimestamp").parse().unwrap_or(Timestamp::UNIX_EPOCH),
        is_whole: description.is_whole,
        is_stopped: description.is_stopped,
        is_expired: status == Status::Expired,
        is_fresh: description.is_fresh,
        ttl: description.ttl,
        deadline,
        port: Some(PORT),
        is_port_fixed: false,
        has_page: description.has_page,
        data: Default::default(),
        account: None,
        version: None,
        mark: description.mark,
        cluster: Some(InCluster {
            host: format!("{}.{namespace}.svc", object_name(&description.name)),
            namespace: namespace.to_owned(),
            status,
            is_ready: is_ready(stateful_set),
            claim: description.claim,
            image: description.image,
        }),
        name: description.name,
    })
}

/// Why a server does not accept connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// For people.
    pub(super) message: String,
    /// Time after which it will not end by itself; nothing for any time.
    pub(super) patience: Option<Duration>,
    /// The log of the ended container has the cause.
    pub(super) is_in_log: bool,
}

/// The problem of a pod, which may not exist; `events` are those of the pod and of the StatefulSet.
pub(super) fn problem(pod: Option<&Json>, events: &[Json]) -> Option<Problem> {
    let waits = |message: String| Some(Problem { message, patience: None, is_in_log: false });
    let warning = events.iter().filter(|event| text(event, "/type") == "Warning");
    let newest = warning.max_by_key(|event| text(event, "/lastTimestamp").to_owned());
    let newest = newest.map(|event| format!("{}: {}", text(event, "/reason"), text(event, "/message")));
    let Some(pod) = pod else { return newest.and_then(waits) };
    let statuses = pod.pointer("/status/containerStatuses").and_then(Json::as_array).into_iter().flatten();
    if let Some(container) = statuses.into_iter().find(|status| text(status, "/name") == CONTAINER) {
        let (reason, message) = (text(container, "/state/waiting/reason"), text(container, "/state/waiting/message"));
        let has_ended =
            container.pointer("/lastState/terminated").is_some() || container.pointer("/state/terminated").is_some();
        if has_ended {
            let is_memory = ["/lastState/terminated/reason", "/state/terminated/reason"]
                .iter()
                .any(|at| text(container, at) == "OOMKilled");
            let message = if is_memory { "the server needs more memory" } else { "the server ended" };
            let patience = (number(container, "/restartCount") >= MOST_STARTS).then_some(Duration::ZERO);
            return Some(Problem { message: message.to_owned(), patience, is_in_log: true });
        }
        let is_image = ["ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"].contains(&reason);
        return match reason {
            "" if container.pointer("/state/running").is_some() => {
                waits("the server does not accept connections yet".to_owned())
            }
            "" | "ContainerCreating" | "PodInitializing" => newest.and_then(waits),
            reason => {
                let message = match is_image {
                    true => format!("the image `{}` cannot be pulled: {message}", text(container, "/image")),
                    false => format!("the container cannot start: {reason}: {message}"),
                };
                let patience = if STUCK.contains(&reason) { Duration::ZERO } else { SHORT };
                Some(Problem { message, patience: Some(patience), is_in_log: false })
            }
        };
    }
    let conditions = pod.pointer("/status/conditions").and_then(Json::as_array).into_iter().flatten();
    let mut unscheduled = conditions.filter(|it| text(it, "/type") == "PodScheduled" && text(it, "/status") == "False");
    match unscheduled.next() {
        Some(condition) => waits(format!("the pod cannot be scheduled: {}", text(condition, "/message"))),
        None => newest.and_then(waits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: Json) -> Json {
        json!({"status": {"containerStatuses": [{"name": "database", "image": "i@sha256:0", "state": status}]}})
    }

    #[test]
    fn problem_of_a_pod_is_named() {
        let of = |pod: Json| problem(Some(&pod), &[]).map(|it| (it.message, it.patience, it.is_in_log)).unwrap();
        let waiting = |reason: &str| pod(json!({"waiting": {"reason": reason, "message": "m"}}));
        let message = "the image `i@sha256:0` cannot be pulled: m".to_owned();
        assert_eq!(of(waiting("ErrImagePull")), (message, Some(SHORT), false));
        assert_eq!(of(waiting("InvalidImageName")).1, Some(Duration::ZERO));
        assert_eq!(of(pod(json!({"running": {}}))).0, "the server does not accept connections yet");
        let mut ended = waiting("CrashLoopBackOff");
        ended["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 1}});
        ended["status"]["containerStatuses"][0]["restartCount"] = 1.into();
        assert_eq!(of(ended.clone()), ("the server ended".to_owned(), None, true));
        ended["status"]["containerStatuses"][0]["restartCount"] = 2.into();
        assert_eq!(of(ended).1, Some(Duration::ZERO));
        let unscheduled = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "no node fits"}]}});
        assert_eq!(of(unscheduled).0, "the pod cannot be scheduled: no node fits");
        let event = json!({"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota"});
        assert_eq!(problem(None, &[event]).unwrap().message, "FailedCreate: exceeded quota");
        assert_eq!(problem(None, &[]), None);
    }

    #[test]
    fn status_follows_from_objects_and_clock() {
        let description = Description {
            name: "orders".to_owned(),
            is_whole: true,
            ttl: Some("1h".to_owned()),
            expires_at: Some("2026-11-29T08:00:00Z".parse().unwrap()),
            ..Description::default()
        };
        let at = |description: &Description, now: &str| {
            let object = description.stateful_set(None);
            record(&object, "shop", now.parse().unwrap()).unwrap().cluster.unwrap().status
        };
        assert_eq!(at(&description, "2026-11-29T07:59:59Z"), Status::Running);
        assert_eq!(at(&description, "2026-11-29T08:00:00Z"), Status::Expired);
        let early = "2026-11-29T07:00:00Z";
        assert_eq!(at(&Description { is_expired: true, ..description.clone() }, early), Status::Expired);
        assert_eq!(at(&Description { is_stopped: true, ..description.clone() }, early), Status::Stopped);
        assert_eq!(at(&Description { is_whole: false, ..description.clone() }, early), Status::Creating);
        let mut changed = description.stateful_set(None);
        changed["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["true"]);
        let changed = record(&changed, "shop", early.parse().unwrap()).unwrap();
        assert_eq!(changed.cluster.unwrap().status, Status::Changed);
        assert_eq!(record(&json!({}), "shop", early.parse().unwrap()), None);
    }
}
