//! Reports missing rights before a plan needs them, by reviews of the identity's own access.

use crate::cluster::Cluster;
use crate::failure::Purpose;
use crate::grant::{Caller, NeededRight, in_words};
use crate::identity::Identity;
use futures_util::StreamExt;
use http::Method;
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, MissingRight, ProviderError};

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
    cluster.learn_caller().await;
    let caller = cluster.caller();
    if caller.identity == Identity::Anonymous {
        let message = "the cluster takes the instance for `system:anonymous`, whose rights are those of everyone";
        return Err(ProviderError::new(ErrorKind::PermissionDenied, message).solution(caller.hint(&[], "")));
    }
    Ok(grouped(answers.into_iter().filter(|(_, is_allowed)| !is_allowed).map(|(right, _)| right), &caller))
}

/// The missing rights with the same verbs and the same place as one entry.
fn grouped<'a>(missing: impl Iterator<Item = Right<'a>>, caller: &Caller) -> Vec<MissingRight> {
    let mut places: Vec<(&str, Vec<NeededRight>)> = Vec::new();
    for Right { verb, group, resource, namespace } in missing {
        let right = NeededRight { verb: verb.to_owned(), group: group.to_owned(), resource: resource.to_owned() };
        match places.iter_mut().find(|(place, _)| *place == namespace) {
            Some((_, rights)) => rights.push(right),
            None => places.push((namespace, vec![right])),
        }
    }
    let entry = |(namespace, rights): (&str, Vec<NeededRight>)| {
        let place = if namespace.is_empty() { String::new() } else { format!(" in `{namespace}`") };
        MissingRight {
            operation: format!("{}{place}", in_words(&rights)),
            statement: caller.commands(&rights, namespace).join("; "),
        }
    };
    places.into_iter().map(entry).collect()
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
    fn missing_rights_of_a_place_are_one_entry() {
        let right = |verb, resource, namespace| Right { verb, group: "apps", resource, namespace };
        let missing = [
            right("create", "deployments", "shop"),
            right("patch", "deployments", "shop"),
            right("create", "statefulsets", "shop"),
            right("patch", "statefulsets", "shop"),
            right("get", "statefulsets", ""),
        ];
        let expected = [
            (
                "create, patch deployments.apps, statefulsets.apps in `shop`",
                "kubectl create role terrace-create-patch-deployments.apps-statefulsets.apps -n shop --verb=create,patch \
                 --resource=deployments.apps,statefulsets.apps; kubectl create rolebinding \
                 terrace-create-patch-deployments.apps-statefulsets.apps-ci:bot -n shop \
                 --role=terrace-create-patch-deployments.apps-statefulsets.apps --serviceaccount=ci:bot",
            ),
            (
                "get statefulsets.apps",
                "kubectl create clusterrole terrace-get-statefulsets.apps --verb=get --resource=statefulsets.apps; \
                 kubectl create clusterrolebinding terrace-get-statefulsets.apps-ci:bot \
                 --clusterrole=terrace-get-statefulsets.apps --serviceaccount=ci:bot",
            ),
        ];
        let caller = Caller { identity: Identity::ServiceAccount("ci:bot".to_owned()), role: None };
        let found = grouped(missing.into_iter(), &caller);
        let found: Vec<_> = found.iter().map(|right| (right.operation.as_str(), right.statement.as_str())).collect();
        assert_eq!(found, expected);
    }
}
