//! The rights of pipelines in a cluster, and the role with all of them.

use terrace_provider_kubernetes::client::Right;

/// Name of the role that `terrace pipelines init` creates.
pub(crate) const ROLE: &str = "terrace-pipelines";

/// The rights that runs need.
pub(crate) const RUNS: [Right; 12] = [
    Right { verb: "create", group: "batch", resource: "jobs" },
    Right { verb: "get", group: "batch", resource: "jobs" },
    Right { verb: "list", group: "batch", resource: "jobs" },
    Right { verb: "patch", group: "batch", resource: "jobs" },
    Right { verb: "delete", group: "batch", resource: "jobs" },
    Right { verb: "create", group: "", resource: "secrets" },
    Right { verb: "delete", group: "", resource: "secrets" },
    Right { verb: "list", group: "", resource: "pods" },
    Right { verb: "list", group: "", resource: "events" },
    Right { verb: "get", group: "", resource: "pods/log" },
    // Depending on its version, the server checks one or the other for connections.
    Right { verb: "create", group: "", resource: "pods/exec" },
    Right { verb: "get", group: "", resource: "pods/exec" },
];

/// The right that runs with a claim need, too.
pub(crate) const CLAIM: Right = Right { verb: "get", group: "", resource: "persistentvolumeclaims" };

/// The rights that schedules need, in addition to those of runs.
pub(crate) const SCHEDULES: [Right; 4] = [
    Right { verb: "create", group: "batch", resource: "cronjobs" },
    Right { verb: "get", group: "batch", resource: "cronjobs" },
    Right { verb: "patch", group: "batch", resource: "cronjobs" },
    Right { verb: "delete", group: "batch", resource: "cronjobs" },
];

/// The rights that databases need.
pub(crate) const DATABASES: [Right; 21] = [
    Right { verb: "create", group: "apps", resource: "statefulsets" },
    Right { verb: "get", group: "apps", resource: "statefulsets" },
    Right { verb: "list", group: "apps", resource: "statefulsets" },
    Right { verb: "patch", group: "apps", resource: "statefulsets" },
    Right { verb: "delete", group: "apps", resource: "statefulsets" },
    Right { verb: "create", group: "", resource: "services" },
    Right { verb: "get", group: "", resource: "services" },
    Right { verb: "patch", group: "", resource: "services" },
    Right { verb: "create", group: "", resource: "secrets" },
    Right { verb: "get", group: "", resource: "secrets" },
    Right { verb: "patch", group: "", resource: "secrets" },
    Right { verb: "delete", group: "", resource: "secrets" },
    Right { verb: "create", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "get", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "patch", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "delete", group: "", resource: "persistentvolumeclaims" },
    Right { verb: "list", group: "", resource: "pods" },
    Right { verb: "list", group: "", resource: "events" },
    Right { verb: "get", group: "", resource: "pods/log" },
    // Depending on its version, the server checks one or the other for connections.
    Right { verb: "create", group: "", resource: "pods/exec" },
    Right { verb: "get", group: "", resource: "pods/exec" },
];

/// The rights that the pages of databases need, too.
pub(crate) const PAGES: [Right; 2] = [
    // Depending on its version, the server checks one or the other for connections.
    Right { verb: "create", group: "", resource: "pods/portforward" },
    Right { verb: "get", group: "", resource: "pods/portforward" },
];

/// The rights that sites need.
pub(crate) const SITES: [Right; 13] = [
    Right { verb: "create", group: "apps", resource: "deployments" },
    Right { verb: "get", group: "apps", resource: "deployments" },
    Right { verb: "patch", group: "apps", resource: "deployments" },
    Right { verb: "delete", group: "apps", resource: "deployments" },
    Right { verb: "create", group: "", resource: "services" },
    Right { verb: "get", group: "", resource: "services" },
    Right { verb: "patch", group: "", resource: "services" },
    Right { verb: "create", group: "", resource: "secrets" },
    Right { verb: "get", group: "", resource: "secrets" },
    Right { verb: "delete", group: "", resource: "secrets" },
    Right { verb: "list", group: "", resource: "pods" },
    Right { verb: "list", group: "", resource: "events" },
    Right { verb: "get", group: "", resource: "pods/log" },
];

/// The rights that sites with a host and no gateway need, too.
pub(crate) const INGRESSES: [Right; 4] = [
    Right { verb: "create", group: "networking.k8s.io", resource: "ingresses" },
    Right { verb: "get", group: "networking.k8s.io", resource: "ingresses" },
    Right { verb: "patch", group: "networking.k8s.io", resource: "ingresses" },
    Right { verb: "delete", group: "networking.k8s.io", resource: "ingresses" },
];

/// The rights that sites with a gateway need, too.
pub(crate) const ROUTES: [Right; 4] = [
    Right { verb: "create", group: "gateway.networking.k8s.io", resource: "httproutes" },
    Right { verb: "get", group: "gateway.networking.k8s.io", resource: "httproutes" },
    Right { verb: "patch", group: "gateway.networking.k8s.io", resource: "httproutes" },
    Right { verb: "delete", group: "gateway.networking.k8s.io", resource: "httproutes" },
];

/// The rights of the role, except those to objects that not every cluster has.
pub(crate) fn of_role() -> impl Iterator<Item = &'static Right> {
    let of_databases = DATABASES.iter().chain(&PAGES);
    let of_sites = SITES.iter().chain(&INGRESSES);
    RUNS.iter().chain([&CLAIM]).chain(&SCHEDULES).chain(of_databases).chain(of_sites)
}

/// True for a right that the role has after a creation by an administrator: verb, group and resource.
pub(crate) fn is_of_role(verb: &str, group: &str, resource: &str) -> bool {
    of_role().chain(&ROUTES).any(|right| (right.verb, right.group, right.resource) == (verb, group, resource))
}
