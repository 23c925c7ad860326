//! State of a claim, from its object in the cluster.

use serde_json::Value as Json;

/// Why a claim cannot hold results, and the remedy; nothing if it can. `found` is nothing for a claim that does not exist. A
/// pending claim with a storage class may get its volume together with its first pod.
pub(super) fn problem(found: Option<&Json>, name: &str, namespace: &str) -> Option<(String, String)> {
    let modes = found.and_then(|claim| claim.pointer("/spec/accessModes")?.as_array());
    if modes.is_some_and(|modes| modes.iter().all(|mode| mode == "ReadOnlyMany")) {
        return Some((
            format!("the claim `{name}` of the namespace `{namespace}` is read-only"),
            "name a `claim` with the access mode `ReadWriteOnce` or `ReadWriteMany`".to_owned(),
        ));
    }
    reading_problem(found, name, namespace)
}

/// Why pods cannot read a claim, and the remedy; nothing if they can. `found` is nothing for a claim that does not exist.
pub(crate) fn reading_problem(found: Option<&Json>, name: &str, namespace: &str) -> Option<(String, String)> {
    let problem =
        |what: &str, hint: String| Some((format!("the claim `{name}` of the namespace `{namespace}` {what}"), hint));
    let Some(claim) = found else {
        let hint =
            format!("create a PersistentVolumeClaim `{name}` in the namespace `{namespace}`, or correct `claim`");
        return problem("does not exist", hint);
    };
    let text = |at: &str| claim.pointer(at).and_then(Json::as_str).unwrap_or_default();
    if !text("/metadata/deletionTimestamp").is_empty() {
        return problem("is being deleted", "create it again, or name another `claim`".to_owned());
    }
    match text("/status/phase") {
        "Lost" => problem("has lost its volume", "restore the volume, or name another `claim`".to_owned()),
        "Pending" if !text("/spec/volumeName").is_empty() => problem(
            "is not bound to its volume yet",
            format!("repeat the command in some seconds; if it stays so, `kubectl describe pvc {name} --namespace {namespace}` shows why"),
        ),
        "Pending" if text("/spec/storageClassName").is_empty() => problem(
            "is pending without a storage class: the cluster makes no volume for it",
            "if a PersistentVolume fits, repeat the command in some seconds; else create the claim again with a \
             `storageClassName`, or have an administrator create a PersistentVolume that fits; one that is `Released` fits \
             after `kubectl patch pv NAME -p '{\"spec\":{\"claimRef\":null}}'`, with its data"
                .to_owned(),
        ),
        _ => None,
    }
}

fn has_only(claim: &Json, modes: &[&str]) -> bool {
    let found = claim.pointer("/spec/accessModes").and_then(Json::as_array).filter(|found| !found.is_empty());
    found.is_some_and(|found| found.iter().all(|mode| mode.as_str().is_some_and(|mode| modes.contains(&mode))))
}

/// Returns true for a claim that only one pod can use.
pub(crate) fn allows_single_pod(claim: &Json) -> bool {
    has_only(claim, &["ReadWriteOncePod"])
}

/// Why pods of several nodes, or several pods, cannot use a claim at once, and the remedy; nothing if they can, or without a
/// claim.
pub(crate) fn sharing_problem(found: Option<&Json>, name: &str, namespace: &str) -> Option<(String, String)> {
    let claim = found?;
    let what = match allows_single_pod(claim) {
        true => "by one pod at a time: no run starts while the site has it, and the site is down during a change",
        false if has_only(claim, &["ReadWriteOnce", "ReadWriteOncePod"]) => {
            "on one node at a time: a new pod of the site, or of a run, does not start on another node"
        }
        false => return None,
    };
    Some((
        format!("the claim `{name}` of the namespace `{namespace}` can be used {what}"),
        "name a `claim` with the access mode `ReadWriteMany`".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unusable_claim_has_a_reason() {
        let of = |found: Json| problem(Some(&found), "results", "shop").map(|(message, _)| message);
        let class = |class: &str| json!({"spec": {"storageClassName": class}, "status": {"phase": "Pending"}});
        assert_eq!(of(json!({"status": {"phase": "Bound"}})), None);
        assert_eq!(of(class("local")), None, "its first pod may bring the volume");
        for (found, message) in [
            (class(""), "is pending without a storage class"),
            (json!({"status": {"phase": "Pending"}}), "is pending without a storage class"),
            (
                json!({"spec": {"volumeName": "v", "storageClassName": ""}, "status": {"phase": "Pending"}}),
                "is not bound to its volume yet",
            ),
            (json!({"status": {"phase": "Lost"}}), "has lost its volume"),
            (json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Bound"}}), "is being deleted"),
            (json!({"spec": {"accessModes": ["ReadOnlyMany"]}, "status": {"phase": "Bound"}}), "is read-only"),
        ] {
            assert!(of(found.clone()).is_some_and(|found| found.contains(message)), "{found}");
        }
        let (message, hint) = problem(None, "results", "shop").unwrap();
        assert_eq!(message, "the claim `results` of the namespace `shop` does not exist");
        assert!(hint.contains("create a PersistentVolumeClaim `results`"), "{hint}");
    }
}
