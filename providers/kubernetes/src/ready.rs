//! Readiness of objects, by their kind.
//!
//! The rules are those of `kubectl rollout status` and of the kstatus library:
//! <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>

pub(crate) mod expression;

use expression::Expression;
use serde_json::Value as Json;
use terrace_provider::attributes::optional_text;
use terrace_provider::{Attributes, Path, ProviderError};

/// Readiness of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// Not yet, with the reason.
    Waiting(String),
    /// It will not become ready, with the reason.
    Failed(String),
}

use Readiness::{Failed, Ready, Waiting};

/// How a wait recognises that an object is ready.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// By the kind of the object.
    Kind,
    /// By a condition of its status.
    Condition(Wanted),
    /// By an expression.
    Expression(Expression),
}

impl Rule {
    /// The rule of a resource.
    ///
    /// # Errors
    /// When `waitFor` or `readyWhen` is wrong, or both are present.
    pub(crate) fn of(attributes: &Attributes) -> Result<Self, ProviderError> {
        let wrong = |name: &str, message: String| ProviderError::invalid(Some(Path::attribute(name)), message);
        match (optional_text(attributes, "waitFor"), optional_text(attributes, "readyWhen")) {
            (None, None) => Ok(Self::Kind),
            (Some(text), None) => Wanted::parse(&text).map(Self::Condition).ok_or_else(|| {
                wrong("waitFor", format!("`{text}` is not a condition"))
                    .solution("write the name of a condition, such as `Available`, or `NAME=STATUS`")
                    .solution("write an expression as `readyWhen`")
            }),
            (None, Some(text)) => Expression::compile(&text).map(Self::Expression).map_err(|message| {
                wrong("readyWhen", message).solution("write an expression such as `object.status.phase == 'Running'`")
            }),
            (Some(_), Some(_)) => {
                let message = "`waitFor` and `readyWhen` exclude each other".to_owned();
                Err(wrong("readyWhen", message).solution("write one of them"))
            }
        }
    }

    /// The readiness of an object.
    pub(crate) async fn readiness(&self, object: &Json) -> Readiness {
        match self {
            Self::Kind => of(object, None),
            Self::Condition(wanted) => of(object, Some(wanted)),
            Self::Expression(expression) => expression.readiness(object).await,
        }
    }
}

/// The condition of a descriptor: `Available`, `Stalled=False`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) condition: String,
    pub(crate) status: String,
}

impl Wanted {
    /// Parses `NAME` or `NAME=STATUS`; `None` if a part is empty.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (condition, status) = text.split_once('=').unwrap_or((text, "True"));
        let is_word = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace) && !part.contains('=');
        (is_word(condition) && is_word(status))
            .then(|| Self { condition: condition.to_owned(), status: status.to_owned() })
    }
}

/// The readiness of an object, by a condition of the descriptor or by the rules of its kind.
pub(crate) fn of(object: &Json, wanted: Option<&Wanted>) -> Readiness {
    if let Some(wanted) = wanted {
        return match condition(object, &wanted.condition) {
            Some(found) if found.status == wanted.status => Ready,
            Some(found) => Waiting(found.words()),
            None => Waiting(format!("it has no condition `{}` yet", wanted.condition)),
        };
    }
    let text = |at: &str| object.pointer(at).and_then(Json::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    match (group, text("/kind")) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("batch", "Job") => job(object),
        ("", "PersistentVolumeClaim") => phase(object, &["Bound"], &["Lost"]),
        ("", "PersistentVolume") => phase(object, &["Available", "Bound"], &["Failed"]),
        ("", "Namespace") => phase(object, &["Active"], &[]),
        ("", "Pod") => pod(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => required(object, "Available"),
        _ => Ready,
    }
}

/// A condition of the status.
struct Condition {
    name: String,
    status: String,
    reason: String,
    message: String,
}

impl Condition {
    fn words(&self) -> String {
        let why =
            [&self.reason, &self.message].into_iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(": ")) };
        format!("its condition `{}` is {}{why}", self.name, self.status)
    }
}

fn condition(object: &Json, name: &str) -> Option<Condition> {
    let all = object.pointer("/status/conditions")?.as_array()?;
    let found = all.iter().find(|condition| condition.get("type").and_then(Json::as_str) == Some(name))?;
    let text = |key: &str| found.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    Some(Condition { name: name.to_owned(), status: text("status"), reason: text("reason"), message: text("message") })
}

fn required(object: &Json, name: &str) -> Readiness {
    match condition(object, name) {
        Some(condition) if condition.status == "True" => Ready,
        Some(condition) => Waiting(condition.words()),
        None => Waiting(format!("it has no condition `{name}` yet")),
    }
}

fn number(object: &Json, at: &str, default: u64) -> u64 {
    object.pointer(at).and_then(Json::as_u64).unwrap_or(default)
}

/// True if the controller has not seen the newest specification.
fn is_unseen(object: &Json) -> bool {
    number(object, "/status/observedGeneration", 0) < number(object, "/metadata/generation", 0)
}

const UNSEEN: &str = "its controller has not seen it yet";

fn counted(of: u64, all: u64, what: &str) -> Readiness {
    Waiting(format!("{of} of {all} {what}"))
}

fn deployment(object: &Json) -> Readiness {
    if is_unseen(object) {
        return Waiting(UNSEEN.to_owned());
    }
    if let Some(progress) = condition(object, "Progressing").filter(|it| it.reason == "ProgressDeadlineExceeded") {
        return Failed(progress.words());
    }
    let wanted = number(object, "/spec/replicas", 1);
    let status = |name: &str| number(object, &format!("/status/{name}"), 0);
    let (updated, all, available) = (status("updatedReplicas"), status("replicas"), status("availableReplicas"));
    if updated < wanted {
        counted(updated, wanted, "replicas are up to date")
    } else if all > updated {
        Waiting(format!("{} old replicas are still running", all.saturating_sub(updated)))
    } else if available < wanted {
        counted(available, wanted, "replicas are available")
    } else {
        Ready
    }
}

fn stateful_set(object: &Json) -> Readiness {
    if is_unseen(object) {
        return Waiting(UNSEEN.to_owned());
    }
    let wanted = number(object, "/spec/replicas", 1);
    let status = |name: &str| number(object, &format!("/status/{name}"), 0);
    let ready = status("readyReplicas");
    let strategy = object.pointer("/spec/updateStrategy/type").and_then(Json::as_str);
    // Replicas below the partition keep their version; with `OnDelete` all do.
    let kept = match strategy {
        Some("OnDelete") => wanted,
        _ => number(object, "/spec/updateStrategy/rollingUpdate/partition", 0),
    };
    let (updated, to_update) = (status("updatedReplicas"), wanted.saturating_sub(kept));
    if ready < wanted {
        counted(ready, wanted, "replicas are ready")
    } else if updated < to_update {
        counted(updated, to_update, "replicas are up to date")
    } else {
        Ready
    }
}

fn daemon_set(object: &Json) -> Readiness {
    if is_unseen(object) {
        return Waiting(UNSEEN.to_owned());
    }
    let status = |name: &str| number(object, &format!("/status/{name}"), 0);
    let wanted = status("desiredNumberScheduled");
    let is_rolling = object.pointer("/spec/updateStrategy/type").and_then(Json::as_str) != Some("OnDelete");
    let (updated, available) = (status("updatedNumberScheduled"), status("numberAvailable"));
    if is_rolling && updated < wanted {
        counted(updated, wanted, "pods are up to date")
    } else if available < wanted {
        counted(available, wanted, "pods are available")
    } else {
        Ready
    }
}

fn job(object: &Json) -> Readiness {
    if object.pointer("/spec/suspend").and_then(Json::as_bool) == Some(true) {
        return Ready;
    }
    let is_true = |name: &str| condition(object, name).filter(|condition| condition.status == "True");
    if let Some(failed) = is_true("Failed") {
        return Failed(failed.words());
    }
    if is_true("Complete").is_some() {
        return Ready;
    }
    let wanted = number(object, "/spec/completions", number(object, "/spec/parallelism", 1));
    counted(number(object, "/status/succeeded", 0), wanted, "pods have succeeded")
}

fn pod(object: &Json) -> Readiness {
    match object.pointer("/status/phase").and_then(Json::as_str) {
        Some("Succeeded") => Ready,
        Some("Failed") => {
            let message = object.pointer("/status/message").and_then(Json::as_str).unwrap_or("its containers failed");
            Failed(message.to_owned())
        }
        _ => required(object, "Ready"),
    }
}

fn phase(object: &Json, ready: &[&str], failed: &[&str]) -> Readiness {
    let phase = object.pointer("/status/phase").and_then(Json::as_str).unwrap_or("not set");
    let words = format!("its phase is {phase}");
    match phase {
        phase if ready.contains(&phase) => Ready,
        phase if failed.contains(&phase) => Failed(words),
        _ => Waiting(words),
    }
}

fn definition(object: &Json) -> Readiness {
    match condition(object, "NamesAccepted") {
        Some(names) if names.status == "False" => Failed(names.words()),
        _ => required(object, "Established"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(object: Json, expected: &str) {
        let words = match of(&object, None) {
            Ready => "ready".to_owned(),
            Waiting(why) => format!("waiting: {why}"),
            Failed(why) => format!("failed: {why}"),
        };
        assert_eq!(words, expected, "{object}");
    }

    fn workload(kind: &str, spec: Json, status: Json) -> Json {
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"generation": 2}, "spec": spec, "status": status})
    }

    #[test]
    fn deployment_is_ready_once_all_new_replicas_are_available() {
        let of = |status: Json| workload("Deployment", json!({"replicas": 2}), status);
        check(of(json!({"observedGeneration": 1})), "waiting: its controller has not seen it yet");
        check(of(json!({"observedGeneration": 2, "updatedReplicas": 1})), "waiting: 1 of 2 replicas are up to date");
        check(
            of(json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3})),
            "waiting: 1 old replicas are still running",
        );
        check(
            of(json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2})),
            "waiting: 0 of 2 replicas are available",
        );
        let status = json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2});
        check(of(status), "ready");
        let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}]);
        check(
            of(json!({"observedGeneration": 2, "conditions": late})),
            "failed: its condition `Progressing` is False: ProgressDeadlineExceeded: too slow",
        );
        check(workload("Deployment", json!({"replicas": 0}), json!({"observedGeneration": 2})), "ready");
    }

    #[test]
    fn stateful_set_respects_its_partition() {
        let status = json!({"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 1});
        let of = |strategy: Json| {
            workload("StatefulSet", json!({"replicas": 3, "updateStrategy": strategy}), status.clone())
        };
        check(of(json!({})), "waiting: 1 of 3 replicas are up to date");
        check(of(json!({"rollingUpdate": {"partition": 2}})), "ready");
        check(of(json!({"type": "OnDelete"})), "ready");
    }

    #[test]
    fn daemon_set_needs_all_its_nodes() {
        let of = |status: Json| workload("DaemonSet", json!({}), status);
        check(
            of(json!({"observedGeneration": 2, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1})),
            "waiting: 0 of 1 pods are available",
        );
        check(of(json!({"observedGeneration": 2})), "ready");
    }

    #[test]
    fn other_kinds_have_their_rules() {
        let of = |api: &str, kind: &str, spec: Json, status: Json| json!({"apiVersion": api, "kind": kind, "spec": spec, "status": status});
        let is = |name: &str, status: &str| json!({"conditions": [{"type": name, "status": status}]});
        check(
            of("batch/v1", "Job", json!({"completions": 3}), json!({"succeeded": 1})),
            "waiting: 1 of 3 pods have succeeded",
        );
        check(of("batch/v1", "Job", json!({}), is("Complete", "True")), "ready");
        check(of("batch/v1", "Job", json!({"suspend": true}), json!({})), "ready");
        check(of("batch/v1", "Job", json!({}), is("Failed", "True")), "failed: its condition `Failed` is True");
        check(
            of("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Pending"})),
            "waiting: its phase is Pending",
        );
        check(of("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Lost"})), "failed: its phase is Lost");
        check(of("v1", "Namespace", json!({}), json!({"phase": "Active"})), "ready");
        check(of("v1", "Pod", json!({}), json!({"phase": "Failed", "message": "evicted"})), "failed: evicted");
        check(of("v1", "Pod", json!({}), is("Ready", "False")), "waiting: its condition `Ready` is False");
        let crd = "apiextensions.k8s.io/v1";
        check(of(crd, "CustomResourceDefinition", json!({}), is("Established", "True")), "ready");
        check(
            of(crd, "CustomResourceDefinition", json!({}), is("NamesAccepted", "False")),
            "failed: its condition `NamesAccepted` is False",
        );
        check(of("example.com/v1", "Deployment", json!({}), json!({})), "ready");
    }

    #[test]
    fn condition_of_the_descriptor_decides() {
        let object = json!({"status": {"conditions": [{"type": "Stalled", "status": "True", "reason": "Full"}]}});
        let readiness = |text: &str| of(&object, Wanted::parse(text).as_ref());
        assert_eq!(readiness("Stalled"), Ready);
        assert_eq!(readiness("Stalled=False"), Waiting("its condition `Stalled` is True: Full".to_owned()));
        assert_eq!(readiness("Synced"), Waiting("it has no condition `Synced` yet".to_owned()));
        assert!(["", "=True", "A=", "A B", "A=b=c"].iter().all(|text| Wanted::parse(text).is_none()));
    }
}
