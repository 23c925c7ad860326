//! Prepares a namespace for runs: the namespace with its pod security, and a service account with the rights of runs.
//!
//! Each part is created if it is missing, so an interrupted installation is repeated as a whole. Existing parts stay as they
//! are, except for the rights of the role.

use super::{Resource, copy_metadata};
use crate::cluster_check::rights::{ROLE, ROUTES, RUNS, of_role};
use crate::cluster_check::{open, rights_problem};
use crate::file_lock::FileLock;
use crate::files::{read, remove_file, write};
use crate::private;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use terrace_provider::{ProviderError, Settings};
use terrace_provider_kubernetes::client::{Client, ClientError, ClientErrorKind, Right};

/// Name of the service account, its role and its binding.
const NAME: &str = ROLE;
/// Label of objects that terrace creates.
const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "terrace");
/// The standard that pods of runs meet. <https://kubernetes.io/docs/concepts/security/pod-security-admission/>
const POD_SECURITY: (&str, &str) = ("pod-security.kubernetes.io/enforce", "restricted");

const ACCOUNTS: Resource = Resource { api_version: "v1", plural: "serviceaccounts" };
const ROLES: Resource = Resource { api_version: "rbac.authorization.k8s.io/v1", plural: "roles" };
const BINDINGS: Resource = Resource { api_version: "rbac.authorization.k8s.io/v1", plural: "rolebindings" };
const SECRETS: Resource = Resource { api_version: "v1", plural: "secrets" };

/// The state of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartState {
    /// It was created.
    Created,
    /// It existed.
    Exists,
    /// The identity may not create it, and runs do not need it. It does not exist, or the identity may not read it.
    LeftOut {
        /// The identity may read it.
        is_missing: bool,
        /// The answer to the creation.
        why: String,
    },
}

/// A part of a prepared namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its kind and its name.
    pub name: String,
    /// Its state.
    pub state: PartState,
}

/// Outcome of a preparation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installation {
    /// The namespace has these parts.
    Parts(Vec<Part>),
    /// The namespace has to exist, and is gone.
    Gone,
    /// The namespace is being deleted: it accepts no new objects.
    Going,
}

/// A namespace that is being prepared, recorded below the records of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Kind of the cluster.
    pub kind: String,
    /// Context of the kubeconfig, if it is not the current one.
    pub context: Option<String>,
    /// The namespace.
    pub namespace: String,
    /// The namespace existed after a call: only a call with a kind creates it again.
    #[serde(default)]
    pub has_namespace: bool,
    /// Number of workers that the user chose, until the cluster has it.
    #[serde(default)]
    pub workers: Option<u16>,
    /// Number of databases that the user chose, until the cluster has it.
    #[serde(default)]
    pub databases: Option<u16>,
    /// Names the creations of databases that a repeat continues.
    #[serde(default)]
    pub creation: Option<String>,
    /// The server that the operator works through; without it, no operator.
    #[serde(default)]
    pub operator: Option<String>,
    /// The authorities of its certificate in PEM format; without them, those of the operator's image.
    #[serde(default)]
    pub operator_authority: Option<String>,
    /// All parts exist.
    pub is_ready: bool,
}

impl Progress {
    /// The recorded progress.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(records: &Path) -> io::Result<Option<Self>> {
        read(&records.join("kubernetes.json"))
    }

    /// Records the progress.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, records: &Path) -> io::Result<()> {
        private::folder(records)?;
        write(&records.join("kubernetes.json"), self)
    }

    /// Removes the record: another cluster takes its place.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(records: &Path) -> io::Result<()> {
        remove_file(&records.join("kubernetes.json"))
    }
}

/// The turn of a call that creates the parts of a cluster: other calls of the project wait for its databases.
#[derive(Debug)]
pub struct Turn {
    _lock: FileLock,
}

impl Turn {
    /// The turn, unless another process has it.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn acquire(records: &Path) -> io::Result<Option<Self>> {
        private::folder(records)?;
        let lock = private::file().truncate(false).write(true).open(records.join("kubernetes.lock"))?;
        Ok(FileLock::try_lock(lock)?.ok().map(|lock| Self { _lock: lock }))
    }
}

/// Prepares the namespace, unless it has to exist and is gone, or is being deleted.
///
/// # Errors
/// When the settings are invalid, the server does not answer, or a part that runs need cannot be created.
pub async fn install(settings: &Settings, namespace: &str, has_to_exist: bool) -> Result<Installation, ProviderError> {
    let client = open(settings, namespace)?;
    let mut parts = Vec::new();
    let labels = json!({MANAGED.0: MANAGED.1, POD_SECURITY.0: POD_SECURITY.1});
    let state = match client.read_namespace().await {
        Ok(Some(found)) if found.pointer("/metadata/deletionTimestamp").is_some() => return Ok(Installation::Going),
        Ok(Some(_)) => PartState::Exists,
        Ok(None) if has_to_exist => return Ok(Installation::Gone),
        Ok(None) => match client.create_namespace(&labels).await {
            Err(error) if error.kind == ClientErrorKind::Refused => {
                // A right to create namespaces would give no rights in this one.
                let hint = client.hint_for_missing_namespace().await.map_err(|error| error.error)?;
                return Err(ProviderError { solutions: hint.into_iter().collect(), ..error.error });
            }
            Err(error) if error.kind != ClientErrorKind::Exists => return Err(error.error),
            _ => PartState::Created,
        },
        // A right to a namespace need not include reading it.
        Err(error) if error.kind == ClientErrorKind::Refused => PartState::Exists,
        Err(error) => return Err(error.error),
    };
    parts.push(Part { name: format!("namespace {namespace}"), state });
    if let Some(problem) = rights_problem(&client, &RUNS, "runs").await.map_err(|error| error.error)? {
        let error = ProviderError::invalid(None, problem.message);
        return Err(problem.hint.into_iter().fold(error, ProviderError::solution));
    }
    // Only an identity that has a right can grant it, and not every cluster has the Gateway API.
    let has_routes = client.missing_rights(&ROUTES).await.map_err(|error| error.error)?.is_none();
    let more = if has_routes { ROUTES.as_slice() } else { &[] };
    for (resource, kind, object) in [
        (ACCOUNTS, "service account", json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata()})),
        (ROLES, "role", role(more)),
        (BINDINGS, "role binding", binding(namespace)),
    ] {
        let state = match ensure(&client, resource, &object).await {
            // An earlier release needed other rights.
            Ok(PartState::Exists) if resource == ROLES => {
                match client.patch(ROLES, NAME, &json!({"rules": object.get("rules")})).await {
                    Err(error) if error.kind != ClientErrorKind::Refused => return Err(error.error),
                    _ => PartState::Exists,
                }
            }
            Ok(state) => state,
            // The present identity has the rights already.
            Err(error) if error.kind == ClientErrorKind::Refused => match client.get(resource, NAME).await {
                Ok(Some(_)) => PartState::Exists,
                Ok(None) => PartState::LeftOut { is_missing: true, why: error.error.message },
                Err(read) if read.kind == ClientErrorKind::Refused => {
                    PartState::LeftOut { is_missing: false, why: error.error.message }
                }
                Err(error) => return Err(error.error),
            },
            Err(error) => return Err(error.error),
        };
        parts.push(Part { name: format!("{kind} {NAME}"), state });
    }
    Ok(Installation::Parts(parts))
}

/// Name of the Secret with the token of the operator.
pub const OPERATOR_SECRET: &str = "terrace-operator";
/// Its key.
pub const OPERATOR_TOKEN: &str = "token";

/// Annotation with the project that made the Secret.
const OWNER: &str = "terrace.dev/created-by";

/// The Secret with the token of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSecret {
    /// Its version, which changes with the token.
    Present(String),
    /// It does not exist, and no token is given.
    Missing,
    /// Another project, or a user, made it.
    OfOthers,
}

/// Writes the token of the operator into its Secret; without a token, the Secret has to exist. `owner` names the project:
/// it replaces no token of others.
///
/// # Errors
/// When the settings are invalid, or the server does not answer, or refuses.
pub async fn ensure_token(
    settings: &Settings,
    (namespace, owner): (&str, &str),
    token: Option<&SecretString>,
) -> Result<TokenSecret, ProviderError> {
    let client = open(settings, namespace)?;
    loop {
        match put_token(&client, owner, token).await {
            // Another caller was faster: its Secret decides.
            Err(error) if matches!(error.kind, ClientErrorKind::Exists | ClientErrorKind::Conflict) => {}
            put => return put.map_err(|error| error.error),
        }
    }
}

async fn put_token(client: &Client, owner: &str, token: Option<&SecretString>) -> Result<TokenSecret, ClientError> {
    let found = client.get(SECRETS, OPERATOR_SECRET).await?;
    let owner_of = |secret: &Json| secret.pointer("/metadata/annotations")?.get(OWNER)?.as_str().map(str::to_owned);
    let version = |secret: &Json| {
        let version = secret.pointer("/metadata/resourceVersion").and_then(Json::as_str);
        TokenSecret::Present(version.unwrap_or_default().to_owned())
    };
    let is_of_project = |secret: &Json| owner_of(secret).as_deref() == Some(owner);
    match (found, token) {
        (None, None) => Ok(TokenSecret::Missing),
        // A Secret without an owner is that of the documented installation by hand.
        (Some(secret), None) if is_of_project(&secret) || owner_of(&secret).is_none() => Ok(version(&secret)),
        (Some(secret), _) if !is_of_project(&secret) => Ok(TokenSecret::OfOthers),
        (Some(secret), None) => Ok(version(&secret)),
        (found, Some(token)) => {
            let mut secret = json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {
                    "name": OPERATOR_SECRET, "labels": {MANAGED.0: MANAGED.1}, "annotations": {OWNER: owner},
                },
                "data": {OPERATOR_TOKEN: STANDARD.encode(token.expose_secret())},
            });
            let stored = match found {
                None => client.create(SECRETS, &secret).await?,
                Some(found) => {
                    copy_metadata(&found, "resourceVersion", &mut secret);
                    client.apply(SECRETS, &secret).await?
                }
            };
            Ok(version(&stored))
        }
    }
}

fn metadata() -> Json {
    json!({"name": NAME, "labels": {MANAGED.0: MANAGED.1}})
}

/// These rights and more as a role.
fn role(more: &'static [Right]) -> Json {
    let mut verbs: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for right in of_role().chain(more) {
        verbs.entry((right.group, right.resource)).or_default().insert(right.verb);
    }
    let rules: Vec<Json> = verbs
        .into_iter()
        .map(|((group, resource), verbs)| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs}))
        .collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata(), "rules": rules,
    })
}

fn binding(namespace: &str) -> Json {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata(),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    })
}

async fn ensure(client: &Client, resource: Resource, object: &Json) -> Result<PartState, ClientError> {
    match client.create(resource, object).await {
        Ok(_) => Ok(PartState::Created),
        Err(error) if error.kind == ClientErrorKind::Exists => Ok(PartState::Exists),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_has_exactly_the_rights_of_all_parts() {
        let role = role(&[]);
        let rules = role["rules"].as_array().unwrap();
        let of = |rule: &Json| {
            let (group, resource) = (rule["apiGroups"][0].clone(), rule["resources"][0].clone());
            let verbs = rule["verbs"].as_array().unwrap().clone();
            verbs.into_iter().map(move |verb| (group.clone(), resource.clone(), verb)).collect::<Vec<_>>()
        };
        let granted: Vec<_> = rules.iter().flat_map(of).collect();
        let needed = of_role().map(|right| (right.group, right.resource, right.verb)).collect::<BTreeSet<_>>();
        assert_eq!(granted.len(), needed.len());
        for right in of_role() {
            assert!(granted.contains(&(right.group.into(), right.resource.into(), right.verb.into())), "{right:?}");
        }
    }
}
