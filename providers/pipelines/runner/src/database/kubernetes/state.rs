//! State of a database, from its objects in the cluster.

use super::super::clock::{Deadline, Moment};
use super::super::record::{Engine, InCluster, Record, Status};
use super::manifest::{Description, PORT, object_name};
use crate::executor::kubernetes::fields::has_fields;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::time::Duration;

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
            owner: description.owner,
        }),
        name: description.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
