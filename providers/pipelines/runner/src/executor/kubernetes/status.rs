//! State of a run, from its objects in the cluster.

use super::super::End;
use super::super::pod::TERMINATED;
use super::manifest::CONTAINER;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The cause of a pod whose image cannot be pulled.
pub(crate) const IMAGE: &str = "image";
/// Reasons of a waiting container that the kubelet tries again, although they rarely end by themselves.
const REPEATED: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];
/// Reason of a container whose program could not be started. <https://github.com/containerd/containerd/blob/main/internal/cri/server/container_start.go>
const NOT_STARTED: &str = "StartError";
/// Type of an event about a problem.
const WARNING: &str = "Warning";
/// Reasons of a waiting container that do not end by themselves.
const STUCK: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];

/// The state of a run in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Status {
    /// No pod runs yet, with the reason if there is one.
    Waiting(Option<String>),
    /// The pod cannot start for now, and its node tries again.
    Failing {
        /// Outcome of the run if that lasts.
        end: End,
        /// The cause, without details that differ between two tries.
        cause: String,
        /// The cause, for people.
        why: String,
    },
    /// The pod cannot start.
    Stuck {
        /// The cause, as of [`Status::Failing`].
        cause: String,
        /// The cause, for people.
        why: String,
    },
    /// The pod has started; it may have ended.
    Pod(Pod),
    /// The Job failed, and no pod reports its end.
    Failed(JobFailure),
}

/// Why a Job failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JobFailure {
    /// Its time limit is over.
    DeadlineExceeded,
    /// Any other reason.
    Other(String),
}

/// A pod that has started.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    /// How it ended; nothing while it runs.
    pub(crate) end: Option<PodEnd>,
    /// The failure of its Job. The cluster ends the pod, unless its node is gone.
    pub(crate) job_failure: Option<JobFailure>,
}

/// How a pod ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PodEnd {
    /// By itself, with this exit code.
    Exited(i64),
    /// Its node could not start the program: the image lacks it, or the node was disturbed.
    NotStarted(String),
    /// Its memory limit was too low.
    OutOfMemory,
    /// The kubelet evicted it for its own use, such as more disk than its limit: another pod would end alike.
    Evicted(String),
    /// It was deleted or evicted, or its node is gone: the Job replaces it.
    Lost(String),
}

fn text<'a>(value: &'a Json, at: &str) -> &'a str {
    value.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

/// A condition of an object that is true: its reason and its message.
fn condition<'a>(object: &'a Json, name: &str, status: &str) -> Option<(&'a str, &'a str)> {
    let all = object.pointer("/status/conditions")?.as_array()?;
    let found = all.iter().find(|it| text(it, "/type") == name && text(it, "/status") == status)?;
    Some((text(found, "/reason"), text(found, "/message")))
}

/// The state of a run. `seen` names the pods whose end is known; `events` are those of the Job and of a pod that does not
/// run.
pub(crate) fn status(job: &Json, pods: &[Json], events: &[Json], seen: &BTreeSet<String>) -> Status {
    let unseen = pods.iter().filter(|pod| !seen.contains(text(pod, "/metadata/name")));
    // Times of the API sort as texts.
    let newest = unseen.max_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
    if let Some(pod) = newest {
        return match (pod_status(pod), job_failure(job)) {
            (Status::Pod(pod), job_failure) => Status::Pod(Pod { job_failure, ..pod }),
            (Status::Waiting(_) | Status::Failing { .. }, Some(failure)) => Status::Failed(failure),
            (Status::Waiting(None), None) => waiting(pod, events),
            (status, _) => status,
        };
    }
    if let Some(failure) = job_failure(job) {
        return Status::Failed(failure);
    }
    if condition(job, "Complete", "True").is_some() {
        return Status::Failed(JobFailure::Other("its pod ended, and its files are gone".to_owned()));
    }
    let refused = newest_event(events, |event| text(event, "/reason") == "FailedCreate");
    Status::Waiting(refused.map(|event| text(event, "/message").to_owned()))
}

/// The failure of a Job; nothing if it did not fail. `FailureTarget` precedes `Failed` until the pods of the Job have ended.
fn job_failure(job: &Json) -> Option<JobFailure> {
    let (reason, message) = condition(job, "Failed", "True").or_else(|| condition(job, "FailureTarget", "True"))?;
    Some(match reason {
        "DeadlineExceeded" => JobFailure::DeadlineExceeded,
        reason => JobFailure::Other(format!("the Job failed: {reason}: {message}")),
    })
}

/// The time at which a Job ended.
pub(crate) fn end_time(job: &Json) -> Option<Timestamp> {
    let all = job.pointer("/status/conditions").and_then(Json::as_array).into_iter().flatten();
    let mut ends =
        all.filter(|it| ["Complete", "Failed"].contains(&text(it, "/type")) && text(it, "/status") == "True");
    text(ends.next()?, "/lastTransitionTime").parse().ok()
}

/// Returns true if a Job has ended: the cluster removes it later.
pub(crate) fn has_ended(job: &Json) -> bool {
    ["Complete", "Failed"].iter().any(|name| condition(job, name, "True").is_some())
}

/// The newest pod that has not started and has no known end, such as one whose volumes are missing.
pub(crate) fn pending<'a>(pods: &'a [Json], seen: &BTreeSet<String>) -> Option<&'a str> {
    let unseen = pods.iter().filter(|pod| !seen.contains(text(pod, "/metadata/name")));
    let newest = unseen.max_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned())?;
    matches!(pod_status(newest), Status::Waiting(_)).then(|| text(newest, "/metadata/name"))
}

/// The newest of these events; within a second, a normal one before a warning.
fn newest_event(events: &[Json], is_wanted: impl Fn(&Json) -> bool) -> Option<&Json> {
    let wanted = events.iter().filter(|event| is_wanted(event));
    wanted.max_by_key(|event| (text(event, "/lastTimestamp").to_owned(), text(event, "/type") != WARNING))
}

/// State of a waiting pod without a reason of its own: its last event, if that is a warning. A missing volume or sandbox
/// rarely appears later.
fn waiting(pod: &Json, events: &[Json]) -> Status {
    let name = text(pod, "/metadata/name");
    let newest = newest_event(events, |event| text(event, "/involvedObject/name") == name);
    match newest.filter(|event| text(event, "/type") == WARNING) {
        None => Status::Waiting(None),
        Some(event) => {
            let (reason, message) = (text(event, "/reason"), text(event, "/message"));
            let why = format!("the pod cannot start: {reason}: {message}");
            match reason {
                "FailedScheduling" => Status::Waiting(Some(why)),
                _ => Status::Failing { end: End::Broken, cause: reason.to_owned(), why },
            }
        }
    }
}

fn pod_status(pod: &Json) -> Status {
    let name = text(pod, "/metadata/name").to_owned();
    let statuses = pod.pointer("/status/containerStatuses").and_then(Json::as_array).into_iter().flatten();
    let container = statuses.into_iter().find(|container| text(container, "/name") == CONTAINER);
    let lost = lost(pod);
    if let Some(container) = container {
        let node = text(pod, "/spec/nodeName");
        let started = |end| Status::Pod(Pod { name: name.clone(), node: node.to_owned(), end, job_failure: None });
        if let Some(terminated) = container.pointer("/state/terminated") {
            let code = terminated.get("exitCode").and_then(Json::as_i64).unwrap_or_default();
            let end = match (text(terminated, "/reason"), lost) {
                (_, Some(_)) if let Some(why) = evicted(pod) => PodEnd::Evicted(why),
                (_, Some(why)) => PodEnd::Lost(why),
                ("OOMKilled", None) => PodEnd::OutOfMemory,
                (NOT_STARTED, None) => PodEnd::NotStarted(text(terminated, "/message").to_owned()),
                (_, None) if TERMINATED.contains(&code) => PodEnd::Lost("it was asked to end".to_owned()),
                (_, None) => PodEnd::Exited(code),
            };
            return started(Some(end));
        }
        if container.pointer("/state/running").is_some() {
            return started(None);
        }
        let (reason, message) = (text(container, "/state/waiting/reason"), text(container, "/state/waiting/message"));
        let problem = match reason {
            "" | "ContainerCreating" | "PodInitializing" => None,
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
                Some((IMAGE, format!("the image `{}` cannot be pulled: {message}", text(container, "/image"))))
            }
            reason => Some((reason, format!("the container cannot start: {reason}: {message}"))),
        };
        match problem.map(|(cause, why)| (cause.to_owned(), why)) {
            Some((cause, why)) if STUCK.contains(&reason) => return Status::Stuck { cause, why },
            Some((cause, why)) if REPEATED.contains(&reason) => {
                return Status::Failing { end: End::Failed, cause, why };
            }
            Some((_, why)) => return Status::Waiting(Some(why)),
            None => {}
        }
    }
    if let Some(why) = lost.filter(|_| text(pod, "/status/phase") == "Failed") {
        let end = evicted(pod).map_or(PodEnd::Lost(why), PodEnd::Evicted);
        return Status::Pod(Pod { name, node: String::new(), end: Some(end), job_failure: None });
    }
    let unscheduled = condition(pod, "PodScheduled", "False");
    Status::Waiting(unscheduled.map(|(_, message)| format!("the pod cannot be scheduled: {message}")))
}

/// Why the kubelet evicted a pod, and its Job does not replace it: because of the pod itself, or because the kubelet started while
/// its node was low on something. Another pod that has to leave its node has the condition `DisruptionTarget`.
/// <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>,
/// <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/kubelet/kubelet.go> (`rejectPod`)
fn evicted(pod: &Json) -> Option<String> {
    let is_own = text(pod, "/status/reason") == "Evicted" && condition(pod, "DisruptionTarget", "True").is_none();
    let message = text(pod, "/status/message").trim_end().trim_end_matches('.');
    let remedy = if message.contains("ephemeral") { "; increase `disk`" } else { "" };
    is_own.then(|| format!("the pod was evicted: {message}{remedy}"))
}

/// Why a pod is or will be gone, although its program may have run on.
fn lost(pod: &Json) -> Option<String> {
    if let Some((reason, message)) = condition(pod, "DisruptionTarget", "True") {
        return Some(format!("{reason}: {message}"));
    }
    match (text(pod, "/status/reason"), pod.pointer("/metadata/deletionTimestamp")) {
        ("", None) => None,
        ("", Some(_)) => Some("it was deleted".to_owned()),
        (reason, _) => Some(format!("{reason}: {}", text(pod, "/status/message"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: Json) -> Json {
        json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-11-28T06:00:00Z"}, "spec": {"nodeName": "n"},
            "status": status,
        })
    }

    fn container(state: Json) -> Json {
        pod(json!({"containerStatuses": [{"name": "run", "image": "i@sha256:0", "state": state}]}))
    }

    #[track_caller]
    fn check(pod: Json, expected: Status) {
        assert_eq!(status(&json!({}), &[pod], &[], &BTreeSet::new()), expected);
    }

    fn ended(end: PodEnd) -> Status {
        Status::Pod(Pod { name: "p".to_owned(), node: "n".to_owned(), end: Some(end), job_failure: None })
    }

    #[test]
    fn end_of_a_pod_has_a_cause() {
        let running = Pod { name: "p".to_owned(), node: "n".to_owned(), end: None, job_failure: None };
        check(container(json!({"running": {}})), Status::Pod(running));
        check(container(json!({"terminated": {"exitCode": 3, "reason": "Error"}})), ended(PodEnd::Exited(3)));
        check(container(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})), ended(PodEnd::OutOfMemory));
        let why = "exec: \"terrace\": executable file not found in $PATH";
        let not_started = container(json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": why}}));
        check(not_started, ended(PodEnd::NotStarted(why.to_owned())));
        let asked = PodEnd::Lost("it was asked to end".to_owned());
        check(container(json!({"terminated": {"exitCode": 143, "reason": "Error"}})), ended(asked));
        let mut evicted = container(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
        evicted["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "low on memory"}]);
        check(evicted, ended(PodEnd::Lost("TerminationByKubelet: low on memory".to_owned())));
    }

    #[test]
    fn pod_that_exceeds_its_disk_is_not_replaced() {
        let why = "the pod was evicted: Pod ephemeral local storage usage exceeds the total limit of containers 20Mi; increase `disk`";
        let own = json!({"phase": "Failed", "reason": "Evicted", "message":
            "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. "});
        let mut full = container(json!({"terminated": {"exitCode": 130, "reason": "Error"}}));
        full["status"].as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        check(full, ended(PodEnd::Evicted(why.to_owned())));
        let without_container = Pod {
            name: "p".to_owned(),
            node: String::new(),
            end: Some(PodEnd::Evicted(why.to_owned())),
            job_failure: None,
        };
        check(pod(own), Status::Pod(without_container));
    }

    #[test]
    fn pod_of_a_node_that_starts_low_on_processes_ends_with_this_reason() {
        let mut rejected = container(json!({"terminated": {"exitCode": 137, "reason": "Error"}}));
        let status = json!({"phase": "Failed", "reason": "Evicted", "message":
            "Pod was rejected: The node had condition: [PIDPressure]. "});
        rejected["status"].as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        let why = "the pod was evicted: Pod was rejected: The node had condition: [PIDPressure]";
        check(rejected, ended(PodEnd::Evicted(why.to_owned())));
    }

    #[test]
    fn pod_that_waits_has_a_reason() {
        check(pod(json!({"phase": "Pending"})), Status::Waiting(None));
        let condition = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu."}]);
        let why = "the pod cannot be scheduled: 0/1 nodes: Insufficient cpu.".to_owned();
        check(pod(json!({"phase": "Pending", "conditions": condition})), Status::Waiting(Some(why)));
        check(container(json!({"waiting": {"reason": "ContainerCreating"}})), Status::Waiting(None));
        let why = "the image `i@sha256:0` cannot be pulled: not found".to_owned();
        let waiting = |reason: &str| container(json!({"waiting": {"reason": reason, "message": "not found"}}));
        let failing = |why: &str| Status::Failing { end: End::Failed, cause: IMAGE.to_owned(), why: why.to_owned() };
        check(waiting("ErrImagePull"), failing(&why));
        check(waiting("ImagePullBackOff"), failing(&why));
        check(waiting("InvalidImageName"), Status::Stuck { cause: IMAGE.to_owned(), why });
    }

    #[test]
    fn warning_about_a_pending_pod_is_its_reason() {
        let pods = [container(json!({"waiting": {"reason": "ContainerCreating"}}))];
        let event = |pod: &str, reason: &str, message: &str, at: &str| {
            json!({
                "involvedObject": {"name": pod}, "reason": reason, "message": message, "type": "Warning",
                "lastTimestamp": at,
            })
        };
        let of = |events: &[Json]| status(&json!({}), &pods, events, &BTreeSet::new());
        let old = event("p", "FailedScheduling", "0/1 nodes", "1");
        let why = |why: &str| format!("the pod cannot start: {why}");
        assert_eq!(of(std::slice::from_ref(&old)), Status::Waiting(Some(why("FailedScheduling: 0/1 nodes"))));
        let mut events =
            vec![old, event("p", "FailedMount", "no secret", "2"), event("q", "FailedMount", "other", "3")];
        let failing =
            Status::Failing { end: End::Broken, cause: "FailedMount".to_owned(), why: why("FailedMount: no secret") };
        assert_eq!(of(&events), failing);
        let mut pulling = event("p", "Pulling", "", "2");
        pulling["type"] = "Normal".into();
        events.insert(0, pulling);
        assert_eq!(of(&events), Status::Waiting(None), "the volume is mounted now");
        assert_eq!(pending(&pods, &BTreeSet::new()), Some("p"));
        assert_eq!(pending(&pods, &BTreeSet::from(["p".to_owned()])), None);
        assert_eq!(pending(&[container(json!({"running": {}}))], &BTreeSet::new()), None);
    }

    #[test]
    fn job_without_a_pod_has_a_reason() {
        let job = |reason: &str| json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": "m"}]}});
        let of = |job: &Json, events: &[Json]| status(job, &[], events, &BTreeSet::new());
        let failed = |why: &str| Status::Failed(JobFailure::Other(why.to_owned()));
        assert_eq!(of(&job("DeadlineExceeded"), &[]), Status::Failed(JobFailure::DeadlineExceeded));
        assert_eq!(of(&job("BackoffLimitExceeded"), &[]), failed("the Job failed: BackoffLimitExceeded: m"));
        let complete = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        assert_eq!(of(&complete, &[]), failed("its pod ended, and its files are gone"));
        assert_eq!([&complete, &job("x"), &json!({})].map(has_ended), [true, true, false]);
        assert_eq!(of(&json!({}), &[]), Status::Waiting(None));
        let event = |reason: &str, message: &str| json!({"reason": reason, "message": message, "lastTimestamp": "1"});
        let events = [event("SuccessfulCreate", "x"), event("FailedCreate", "exceeded quota: pods")];
        assert_eq!(of(&json!({}), &events), Status::Waiting(Some("exceeded quota: pods".to_owned())));
    }

    #[test]
    fn failed_job_is_known_although_its_pod_runs() {
        let failure = |name: &str| {
            let job =
                json!({"status": {"conditions": [{"type": name, "status": "True", "reason": "DeadlineExceeded"}]}});
            let of = |pod: Json| status(&job, &[pod], &[], &BTreeSet::new());
            assert_eq!(of(pod(json!({"phase": "Pending"}))), Status::Failed(JobFailure::DeadlineExceeded));
            match of(container(json!({"running": {}}))) {
                Status::Pod(Pod { end: None, job_failure, .. }) => job_failure,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(failure("FailureTarget"), Some(JobFailure::DeadlineExceeded));
        assert_eq!(failure("Failed"), Some(JobFailure::DeadlineExceeded));
    }

    #[test]
    fn newest_pod_without_a_known_end_counts() {
        let named = |name: &str, at: &str| {
            let mut pod = container(json!({"running": {}}));
            pod["metadata"] = json!({"name": name, "creationTimestamp": at});
            pod
        };
        let pods = [named("b", "2026-11-28T06:00:02Z"), named("a", "2026-11-28T06:00:01Z")];
        let found = |seen: &[&str]| {
            let seen = seen.iter().map(|name| (*name).to_owned()).collect();
            match status(&json!({}), &pods, &[], &seen) {
                Status::Pod(pod) => pod.name,
                other => format!("{other:?}"),
            }
        };
        assert_eq!(found(&[]), "b");
        assert_eq!(found(&["b"]), "a");
        assert_eq!(found(&["a", "b"]), "Waiting(None)");
    }
}
