//! Reports missing rights before a plan needs them, by reviews of the identity's own access.

use crate::cluster::Cluster;
use crate::failure::{Purpose, grant_command};
use futures_util::StreamExt;
use http::Method;
use serde_json::{Value as Json, json};
use terrace_provider::{MissingRight, ProviderError};

/// Verbs that a managed object needs.
const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];
/// Kinds of usual stacks: group, resource, and whether it is in namespaces.
const USUAL: [(&str, &str, bool); 10] = [
    ("", "namespaces", false),
    ("", "configmaps", true),
    ("", "secrets", true),
    ("", "services", true),
    ("", "serviceaccounts", true),
    ("", "persistentvolumeclaims", true),
    ("apps", "deployments", true),
    ("apps", "statefulsets", true),
    ("batch", "jobs", true),
    ("batch", "cronjobs", true),
];
/// Reviews at once.
const AT_ONCE: usize = 8;

/// One right.
#[derive(Debug, Clone, Copy)]
struct Right<'a> {
    verb: &'a str,
    group: &'a str,
    resource: &'a str,
    namespace: &'a str,
}

/// The missing rights on usual kinds, in the namespaces of the instance or in all.
///
/// # Errors
/// When the server does not answer.
pub(crate) async fn missing(cluster: &Cluster) -> Result<Vec<MissingRight>, ProviderError> {
    if is_allowed(cluster, Right { verb: "*", group: "*", resource: "*", namespace: "" }).await? {
        return Ok(Vec::new());
    }
    let namespaces = &cluster.config.namespaces;
    let places: Vec<&str> =
        if namespaces.is_empty() { vec![""] } else { namespaces.iter().map(String::as_str).collect() };
    let mut rights = Vec::new();
    for (group, resource, is_namespaced) in USUAL {
        match is_namespaced {
            true => rights.extend(
                places.iter().flat_map(|namespace| VERBS.map(|verb| Right { verb, group, resource, namespace })),
            ),
            // An instance with `namespaces` does not create any.
            false if namespaces.is_empty() => {
                rights.extend(VERBS.map(|verb| Right { verb, group, resource, namespace: "" }))
            }
            false => {}
        }
    }
    let reviews = rights.iter().map(|right| async move { Ok((*right, is_allowed(cluster, *right).await?)) });
    let reviews: Vec<_> = reviews.collect();
    let answers: Vec<Result<_, ProviderError>> = futures_util::stream::iter(reviews).buffered(AT_ONCE).collect().await;
    let answers: Vec<(Right<'_>, bool)> = answers.into_iter().collect::<Result<_, _>>()?;
    Ok(grouped(answers.into_iter().filter(|(_, is_allowed)| !is_allowed).map(|(right, _)| right)))
}

/// The missing rights on each resource as one entry.
fn grouped<'a>(missing: impl Iterator<Item = Right<'a>>) -> Vec<MissingRight> {
    let mut found: Vec<(Right<'a>, Vec<&'a str>)> = Vec::new();
    for right in missing {
        let is_same = |other: &Right<'_>| {
            (other.group, other.resource, other.namespace) == (right.group, right.resource, right.namespace)
        };
        match found.iter_mut().find(|(other, _)| is_same(other)) {
            Some((_, verbs)) => verbs.push(right.verb),
            None => found.push((right, vec![right.verb])),
        }
    }
    let entry = |(right, verbs): (Right<'_>, Vec<&str>)| {
        let resource = match right.group {
            "" => right.resource.to_owned(),
            group => format!("{}.{group}", right.resource),
        };
        let place = if right.namespace.is_empty() { String::new() } else { format!(" in `{}`", right.namespace) };
        MissingRight {
            operation: format!("{} {resource}{place}", verbs.join(", ")),
            statement: grant_command(&verbs.join(","), &resource, right.namespace),
        }
    };
    found.into_iter().map(entry).collect()
}

async fn is_allowed(cluster: &Cluster, right: Right<'_>) -> Result<bool, ProviderError> {
    let attributes =
        json!({"verb": right.verb, "group": right.group, "resource": right.resource, "namespace": right.namespace});
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let purpose = Purpose {
        verb: "create",
        what: "a review of the own rights".to_owned(),
        resource: "selfsubjectaccessreviews.authorization.k8s.io".to_owned(),
        is_read: true,
        ..Purpose::default()
    };
    let answer = cluster.request(Method::POST, path, Some(("application/json", &review))).await;
    let answer = answer.map_err(|failure| cluster.error(failure, &purpose))?;
    Ok(answer.object.pointer("/status/allowed").and_then(Json::as_bool) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_verbs_of_a_resource_are_one_entry() {
        let right = |verb, resource, namespace| Right { verb, group: "apps", resource, namespace };
        let missing = [
            right("create", "deployments", "shop"),
            right("patch", "deployments", "shop"),
            right("get", "statefulsets", ""),
        ];
        let expected = [
            (
                "create, patch deployments.apps in `shop`",
                "kubectl create role terrace-deployments.apps -n shop --verb=create,patch --resource=deployments.apps",
            ),
            (
                "get statefulsets.apps",
                "kubectl create clusterrole terrace-statefulsets.apps --verb=get --resource=statefulsets.apps",
            ),
        ];
        let found = grouped(missing.into_iter());
        let found: Vec<_> = found.iter().map(|right| (right.operation.as_str(), right.statement.as_str())).collect();
        assert_eq!(found, expected);
    }
}
