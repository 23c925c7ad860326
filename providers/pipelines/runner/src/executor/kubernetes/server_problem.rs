//! Why a server in a pod does not accept connections, such as that of a database or of a site.

use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider_kubernetes::client::Client;

/// Reasons of a waiting container that do not end by themselves.
const STUCK: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];
/// Time for a problem that a node tries again, such as an image that cannot be pulled.
pub(crate) const SHORT: Duration = Duration::from_secs(60);
/// Number of starts of a server that ends at once.
const MOST_STARTS: u64 = 2;
/// Time to read the log of a server that ended.
const LOG_TIME: Duration = Duration::from_secs(3);
/// Lines of that log in a message.
const LINES: usize = 5;

fn text<'a>(value: &'a Json, at: &str) -> &'a str {
    value.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

fn number(value: &Json, at: &str) -> u64 {
    value.pointer(at).and_then(Json::as_u64).unwrap_or_default()
}

/// Why a server does not accept connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// For people.
    pub(crate) message: String,
    /// Time after which it will not end by itself; nothing for any time.
    pub(crate) patience: Option<Duration>,
    /// The log of the ended container has the cause.
    pub(crate) is_in_log: bool,
}

/// The problem of a pod with this container, which may not exist; `events` are those of the pod and of its controller.
pub(crate) fn problem(container: &str, pod: Option<&Json>, events: &[Json]) -> Option<Problem> {
    let waits = |message: String| Some(Problem { message, patience: None, is_in_log: false });
    let warning = events.iter().filter(|event| text(event, "/type") == "Warning");
    let newest = warning.max_by_key(|event| text(event, "/lastTimestamp").to_owned());
    let newest = newest.map(|event| format!("{}: {}", text(event, "/reason"), text(event, "/message")));
    let Some(pod) = pod else { return newest.and_then(waits) };
    let statuses = pod.pointer("/status/containerStatuses").and_then(Json::as_array).into_iter().flatten();
    if let Some(status) = statuses.into_iter().find(|status| text(status, "/name") == container) {
        let (reason, message) = (text(status, "/state/waiting/reason"), text(status, "/state/waiting/message"));
        let has_ended =
            status.pointer("/lastState/terminated").is_some() || status.pointer("/state/terminated").is_some();
        if has_ended {
            let is_memory = ["/lastState/terminated/reason", "/state/terminated/reason"]
                .iter()
                .any(|at| text(status, at) == "OOMKilled");
            let message = if is_memory { "the server needs more memory" } else { "the server ended" };
            let patience = (number(status, "/restartCount") >= MOST_STARTS).then_some(Duration::ZERO);
            return Some(Problem { message: message.to_owned(), patience, is_in_log: true });
        }
        let is_image = ["ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"].contains(&reason);
        return match reason {
            "" if status.pointer("/state/running").is_some() => {
                waits("the server does not accept connections yet".to_owned())
            }
            "" | "ContainerCreating" | "PodInitializing" => newest.and_then(waits),
            reason => {
                let message = match is_image {
                    true => format!("the image `{}` cannot be pulled: {message}", text(status, "/image")),
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

/// The last lines of a server's log.
pub(crate) async fn last_lines(client: &Client, pod: &str, container: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let reading = async {
        let Ok(mut log) = client.log(pod, container, None).await else { return };
        while let Ok(Some(line)) = log.line().await {
            lines.push(line);
        }
    };
    let _ = tokio::time::timeout(LOG_TIME, reading).await;
    lines.split_off(lines.len().saturating_sub(LINES))
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
        let of =
            |pod: Json| problem("database", Some(&pod), &[]).map(|it| (it.message, it.patience, it.is_in_log)).unwrap();
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
        assert_eq!(problem("database", None, &[event]).unwrap().message, "FailedCreate: exceeded quota");
        assert_eq!(problem("database", None, &[]), None);
    }
}
