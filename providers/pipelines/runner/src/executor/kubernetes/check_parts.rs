//! Checks of the parts that not every project uses: schedules, databases and sites. A part that the identity cannot use is no
//! failure.

use crate::check_result::CheckResult;
use crate::cluster_check::rights::{DATABASES, INGRESSES, PAGES, ROUTES, SCHEDULES, SITES};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Resource, Right};

/// Name of an object that need not exist.
const ANY: &str = "terrace-doctor";

/// Parts with their rights, and the API and the kind of objects that each needs the cluster to serve.
const PARTS: [(&str, &[&[Right]], &str, &str); 5] = [
    ("schedules", &[&SCHEDULES], "batch/v1", "cronjobs"),
    ("databases", &[&DATABASES, &PAGES], "apps/v1", "statefulsets"),
    ("sites", &[&SITES], "apps/v1", "deployments"),
    ("sites with `host`", &[&SITES, &INGRESSES], "networking.k8s.io/v1", "ingresses"),
    ("sites with `gateway`", &[&SITES, &ROUTES], "gateway.networking.k8s.io/v1", "httproutes"),
];

/// Reports the parts that the identity can use, and the remedies for the others.
///
/// # Errors
/// When the cluster does not answer.
pub(super) async fn check(client: &Client) -> Result<Vec<CheckResult>, ClientError> {
    let (mut usable, mut remedies) = (Vec::new(), Vec::new());
    for (users, rights, api_version, plural) in PARTS {
        match remedy(client, &rights.concat(), Resource { api_version, plural }).await? {
            None => usable.push(users),
            Some(remedy) => remedies.push(format!("for {users}, {remedy}")),
        }
    }
    let usable = (!usable.is_empty()).then(|| format!("the identity can create {}", usable.join(", ")));
    Ok(usable.into_iter().chain(remedies).map(CheckResult::passed).collect())
}

async fn remedy(client: &Client, rights: &[Right], resource: Resource) -> Result<Option<String>, ClientError> {
    if let Some(missing) = client.missing_rights(rights).await? {
        return Ok(Some(missing.hint));
    }
    // A review allows resources that the cluster does not serve.
    match client.get(resource, ANY).await {
        Ok(_) => Ok(None),
        Err(error) if error.kind == ClientErrorKind::Unserved => {
            Ok(Some(format!("install the API `{}`, which the cluster does not serve", resource.api_version)))
        }
        Err(error) => Err(error),
    }
}
