//! Waits until an object is ready, or gone.

use crate::cluster::{Cluster, Kind, uid_of};
use crate::failure::{Failure, Purpose};
use crate::missing;
use crate::ready::{Readiness, Rule};
use crate::target::Target;
use serde_json::Value as Json;
use std::time::Duration;
use terrace_provider::{Call, ErrorKind, ProviderError, Severity};
use tokio::time::Instant;

/// Pause between the first two reads; later pauses are longer.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two reads.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A wait within the time limit of a call.
struct Wait<'a> {
    call: &'a Call,
    until: Instant,
    pause: Duration,
    reported: String,
}

/// Why a wait continues or ends.
enum Next {
    Again,
    TimedOut,
    Stopped,
}

impl<'a> Wait<'a> {
    fn of(call: &'a Call) -> Self {
        // The rest is for the report of a timeout.
        let limit = call.timeout.saturating_sub((call.timeout / 10).min(Duration::from_secs(20)));
        let now = Instant::now();
        let until = now.checked_add(limit).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365));
        Self { call, until, pause: FIRST_PAUSE, reported: String::new() }
    }

    /// Reports a reason once, then pauses.
    async fn next(&mut self, why: &str) -> Next {
        if self.reported != why {
            self.call.progress.message(why);
            why.clone_into(&mut self.reported);
        }
        let wake = Instant::now() + self.pause;
        if wake >= self.until {
            return Next::TimedOut;
        }
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = tokio::time::sleep_until(wake) => Next::Again,
            () = self.call.cancel.cancelled() => Next::Stopped,
        }
    }
}

/// Waits until an object is ready, and returns it.
///
/// # Errors
/// When the object fails or disappears, and when the time is over. The error lists the reasons.
pub(crate) async fn until_ready(
    cluster: &Cluster,
    (kind, target): (&Kind, &Target),
    call: &Call,
    rule: &Rule,
    applied: Json,
) -> Result<Json, ProviderError> {
    let purpose = Purpose::reading(target, kind.resource());
    let mut wait = Wait::of(call);
    let mut object = applied;
    loop {
        let why = match rule.readiness(&object).await {
            Readiness::Ready => match is_served(cluster, &object).await {
                true => return Ok(object),
                false => "the cluster does not serve its kind yet".to_owned(),
            },
            Readiness::Failed(why) => {
                let error = ProviderError::new(ErrorKind::Failed, format!("{target} failed: {why}"));
                return Err(with_reasons(cluster, target, &object, error).await);
            }
            Readiness::Waiting(why) if waits_for_consumer(cluster, &object).await => {
                call.progress.message(&format!("{why}: its storage class waits for the first pod that uses it"));
                return Ok(object);
            }
            Readiness::Waiting(why) => why,
        };
        match wait.next(&why).await {
            Next::Again => {}
            Next::Stopped => {
                call.progress.remark(Severity::Warning, &format!("not waited until {target} is ready: {why}"));
                return Ok(object);
            }
            Next::TimedOut => {
                let message = format!("{target} is not ready within {} s: {why}", call.timeout.as_secs());
                let error = ProviderError::new(ErrorKind::Failed, message)
                    .solution("correct the reason, and apply again")
                    .solution("increase `timeouts` of the resource, or write `wait: false`");
                return Err(with_reasons(cluster, target, &object, error).await);
            }
        }
        match cluster.object(kind, target).await {
            Ok(Some(found)) => object = found,
            Ok(None) => {
                let message = format!("{target} was deleted while terrace waited for it");
                return Err(ProviderError::new(ErrorKind::Failed, message).solution("plan again"));
            }
            // The server may restart.
            Err(Failure::NotSent(why) | Failure::Lost(why) | Failure::NotJson(why)) => {
                call.progress.message(&format!("the API server does not answer: {why}"))
            }
            Err(failure) => return Err(cluster.error(failure, &purpose)),
        }
    }
}

async fn with_reasons(cluster: &Cluster, target: &Target, object: &Json, error: ProviderError) -> ProviderError {
    missing::reasons(cluster, target, object).await.into_iter().fold(error, ProviderError::problem)
}

/// False for a definition whose kind the server does not serve yet: for a moment after it is established.
async fn is_served(cluster: &Cluster, object: &Json) -> bool {
    let text = |at: &str| object.pointer(at).and_then(Json::as_str).unwrap_or_default();
    if text("/kind") != "CustomResourceDefinition" {
        return true;
    }
    let versions = object.pointer("/spec/versions").and_then(Json::as_array).into_iter().flatten();
    let served = versions.filter(|version| version.get("served").and_then(Json::as_bool) == Some(true));
    for version in served.filter_map(|version| version.get("name")?.as_str()) {
        let target = Target {
            api_version: format!("{}/{version}", text("/spec/group")),
            kind: text("/spec/names/kind").to_owned(),
            namespace: String::new(),
            name: String::new(),
        };
        if cluster.kind(&target).await.is_err() {
            return false;
        }
    }
    true
}

/// True for a claim that no pod uses yet, and whose storage class waits for one.
async fn waits_for_consumer(cluster: &Cluster, object: &Json) -> bool {
    let text = |at: &str| object.pointer(at).and_then(Json::as_str);
    if (text("/apiVersion"), text("/kind")) != (Some("v1"), Some("PersistentVolumeClaim")) {
        return false;
    }
    let Some(class) = text("/spec/storageClassName").filter(|name| !name.is_empty()) else { return false };
    let path = format!("/apis/storage.k8s.io/v1/storageclasses/{}", crate::cluster::part(class));
    let class = cluster.get(&path).await.ok().flatten();
    class.is_some_and(|class| class.get("volumeBindingMode").and_then(Json::as_str) == Some("WaitForFirstConsumer"))
}

/// Waits until an object is gone, or a new object has its name.
///
/// # Errors
/// When the time is over: the error lists the finalizers.
pub(crate) async fn until_gone(
    cluster: &Cluster,
    (kind, target): (&Kind, &Target),
    call: &Call,
    uid: Option<&str>,
) -> Result<(), ProviderError> {
    let purpose = Purpose::reading(target, kind.resource());
    let mut wait = Wait::of(call);
    loop {
        let why = match cluster.object(kind, target).await {
            Ok(None) => return Ok(()),
            Ok(Some(object)) if uid.is_some() && uid_of(&object).as_deref() != uid => return Ok(()),
            Ok(Some(object)) => held_by(&object),
            Err(Failure::NotSent(why) | Failure::Lost(why) | Failure::NotJson(why)) => {
                format!("the API server does not answer: {why}")
            }
            Err(failure) => return Err(cluster.error(failure, &purpose)),
        };
        match wait.next(&why).await {
            Next::Again => {}
            Next::TimedOut | Next::Stopped => {
                let message = format!("{target} is being deleted, but is not gone yet: {why}");
                return Err(ProviderError::new(ErrorKind::Failed, message)
                    .solution("check the controllers that own its finalizers, then apply again"));
            }
        }
    }
}

/// What holds up a deletion: finalizers, and the conditions of a namespace.
fn held_by(object: &Json) -> String {
    let texts = |at: &str| -> Vec<&str> {
        object.pointer(at).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
    };
    let finalizers = [texts("/metadata/finalizers"), texts("/spec/finalizers")].concat();
    let conditions = object.pointer("/status/conditions").and_then(Json::as_array).into_iter().flatten();
    let messages: Vec<&str> = conditions
        .filter(|condition| condition.get("status").and_then(Json::as_str) == Some("True"))
        .filter(|condition| condition.get("type").and_then(Json::as_str).is_some_and(|ty| ty.starts_with("Namespace")))
        .filter_map(|condition| condition.get("message")?.as_str())
        .collect();
    let held = match finalizers.is_empty() {
        true => "its deletion has begun".to_owned(),
        false => format!("finalizers hold it: {}", finalizers.join(", ")),
    };
    std::iter::once(held.as_str()).chain(messages).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finalizers_and_contents_hold_up_a_deletion() {
        let namespace = json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"conditions": [
            {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1 resource instances"},
            {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "all deleted"}]}});
        assert_eq!(held_by(&namespace), "finalizers hold it: kubernetes; pods. has 1 resource instances");
        let object = json!({"metadata": {"finalizers": ["example.com/a", "foregroundDeletion"]}});
        assert_eq!(held_by(&object), "finalizers hold it: example.com/a, foregroundDeletion");
        assert_eq!(held_by(&json!({})), "its deletion has begun");
    }
}
