//! Ends databases of pipelines whose lifetime is over, beside the operator. Each write names the version of the object
//! that it is for, so that a server, commands and several operators may do the same.

use crate::failure::Failure;
use crate::variables::Variables;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use terrace_pipelines::database::kubernetes::ClusterDatabases;
use terrace_pipelines::executor::kubernetes::object_name::check_namespace;
use terrace_provider::{Sandbox, Settings, Value};
use tokio_util::sync::CancellationToken;

/// Interval of looks for expired databases.
const PERIOD: Duration = Duration::from_secs(30);

/// The cluster of the operator: that of `KUBECONFIG` or of the file in the home folder, else that of the pod.
fn access(variables: &Variables) -> Settings {
    let of_home = variables.get("HOME").map(|home| Path::new(home).join(".kube/config")).filter(|file| file.is_file());
    let file = variables.get("KUBECONFIG").map(str::to_owned).or_else(|| Some(of_home?.display().to_string()));
    let (name, value) = match file {
        Some(file) => ("kubeconfig", Value::from(file)),
        None => ("inCluster", Value::from(true)),
    };
    Settings {
        instance: "pipelines".to_owned(),
        environment: String::new(),
        project_folder: Path::new(".").to_owned(),
        values: [(name.to_owned(), value)].into_iter().collect(),
        sandbox: Sandbox::default(),
        sources: BTreeMap::new(),
    }
}

/// The databases of these namespaces. Connects to no cluster.
///
/// # Errors
/// When a namespace has no valid name.
pub(super) fn databases(variables: &Variables, namespaces: &[String]) -> Result<Vec<ClusterDatabases>, Failure> {
    let access = access(variables);
    let of = |namespace: &String| {
        check_namespace(namespace)
            .map_err(|(message, hint)| Failure::new(format!("`--expire-databases`: {message}")).hint(hint))?;
        Ok(ClusterDatabases::open(&access, namespace, None)?)
    };
    namespaces.iter().map(of).collect()
}

/// Ends expired databases until `stop`.
pub(super) async fn end_expired(databases: Vec<ClusterDatabases>, stop: CancellationToken) {
    let mut failures: BTreeMap<String, String> = BTreeMap::new();
    while !stop.is_cancelled() {
        for databases in &databases {
            let namespace = databases.namespace();
            let ended = tokio::select! {
                ended = databases.end_expired() => ended,
                () = stop.cancelled() => return,
            };
            match ended {
                Ok(names) => {
                    for name in names {
                        tracing::info!(namespace, name, "the lifetime of a database is over: it ended with its data");
                    }
                    if failures.remove(namespace).is_some() {
                        tracing::info!(namespace, "expired databases are ended again");
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    // An outage repeats its message.
                    if failures.get(namespace) != Some(&error) {
                        tracing::warn!(namespace, error, "expired databases cannot be ended now");
                        failures.insert(namespace.to_owned(), error);
                    }
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => {}
        }
    }
}
