//! The rights of an identity that installs the operator: those that helm uses for the objects of its chart, and those of the
//! operator, because only an identity that has a right can grant it.

use terrace_provider::{ProviderError, Settings};
use terrace_provider_kubernetes::client::{Client, MissingRights, Right};

/// Group and name of a kind of objects, and verbs.
type Rights = (&'static str, &'static str, &'static [&'static str]);

/// The verbs of helm for objects of a chart.
const OBJECTS: &[&str] = &["create", "get", "list", "watch", "patch", "delete"];

/// Rights in the namespace. <https://helm.sh/docs/topics/rbac/>
const IN_NAMESPACE: &[Rights] = &[
    // Releases of helm, and the token.
    ("", "secrets", &["create", "get", "list", "update", "patch", "delete"]),
    ("", "serviceaccounts", OBJECTS),
    ("", "configmaps", OBJECTS),
    ("", "pods", &["list"]),
    ("apps", "deployments", OBJECTS),
    ("apps", "replicasets", &["list"]),
    ("apps", "statefulsets", &["get", "list", "patch", "delete"]),
    ("", "persistentvolumeclaims", &["get", "delete"]),
    ("networking.k8s.io", "networkpolicies", OBJECTS),
    ("rbac.authorization.k8s.io", "roles", OBJECTS),
    ("rbac.authorization.k8s.io", "rolebindings", OBJECTS),
    // Those that its roles grant, with those above.
    ("terrace.dev", "stacks", &["get", "list", "watch", "patch"]),
    ("terrace.dev", "pipelines", &["get", "list", "watch", "patch"]),
    ("terrace.dev", "databases", &["get", "list", "watch", "patch"]),
    ("terrace.dev", "workers", &["get", "list", "watch", "patch"]),
    ("terrace.dev", "pipelineruns", &["get", "list", "watch", "patch", "delete"]),
    ("terrace.dev", "stacks/status", &["patch"]),
    ("terrace.dev", "pipelines/status", &["patch"]),
    ("terrace.dev", "databases/status", &["patch"]),
    ("terrace.dev", "workers/status", &["patch"]),
    ("terrace.dev", "pipelineruns/status", &["patch"]),
    ("events.k8s.io", "events", &["create", "patch"]),
    ("coordination.k8s.io", "leases", &["create", "get", "update"]),
];

/// Rights in the whole cluster, for the definitions.
const IN_CLUSTER: &[Rights] = &[("apiextensions.k8s.io", "customresourcedefinitions", &["create", "get"])];

/// The missing rights of the identity of these settings: in the namespace, and in the whole cluster.
///
/// # Errors
/// When the server does not answer.
pub(super) async fn missing(access: &Settings, namespace: &str) -> Result<Vec<MissingRights>, ProviderError> {
    let mut missing = Vec::new();
    for (namespace, all) in [(namespace, IN_NAMESPACE), ("", IN_CLUSTER)] {
        let of_kind = |(group, resource, verbs): &Rights| -> Vec<Right> {
            verbs.iter().map(|verb| Right { verb, group, resource }).collect()
        };
        let rights: Vec<Right> = all.iter().flat_map(of_kind).collect();
        let found = Client::open(access, namespace)?.missing_rights(&rights).await;
        missing.extend(found.map_err(|error| error.error)?);
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_operator::chart::CHART;

    /// The words between brackets after a key.
    fn listed<'a>(line: &'a str, key: &str) -> Vec<&'a str> {
        let (_, rest) = line.split_once(&format!("{key}: [")).unwrap();
        rest.split_once(']').unwrap().0.split(", ").map(|word| word.trim_matches('"')).collect()
    }

    #[test]
    fn rights_include_those_that_the_chart_grants() {
        let (_, roles) = CHART.iter().find(|(path, _)| path.ends_with("rbac.yaml")).unwrap();
        let cluster = "{{- if not .Values.watchNamespace }}";
        let of_namespace = roles.split(cluster).enumerate().filter_map(|(number, part)| match number {
            0 => Some(part),
            _ => part.split_once("{{- end }}").map(|(_, rest)| rest),
        });
        let of_namespace: String = of_namespace.collect();
        let rules: Vec<&str> = of_namespace.lines().filter(|line| line.contains("verbs: [")).collect();
        assert!(rules.len() > 5, "{roles}");
        for rule in rules {
            for (resource, verb) in listed(rule, "resources")
                .into_iter()
                .flat_map(|resource| listed(rule, "verbs").into_iter().map(move |verb| (resource, verb)))
            {
                let group = listed(rule, "apiGroups");
                let is_known = |(in_group, known, verbs): &&Rights| {
                    group == [*in_group] && *known == resource && verbs.contains(&verb)
                };
                assert!(IN_NAMESPACE.iter().any(|rights| is_known(&rights)), "{verb} {resource}");
            }
        }
    }
}
