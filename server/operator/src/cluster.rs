//! Writes to objects of the cluster.
//!
//! Each write names the version of the object that the decision saw. So a decision from an old copy of the object, or
//! of a former leader, is not recorded; its calls have keys, so they have no second effect either.

use crate::api_server::is_unanswered;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicResourceScope;
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::fmt::Debug;
use std::time::Duration;

/// The pause after a failed request to the cluster.
const RETRY: Duration = Duration::from_secs(5);
/// The limit of a request to the cluster.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The limit of all events of a reconciliation: they are less important than the next action.
pub(crate) const EVENT_TIMEOUT: Duration = Duration::from_secs(5);

/// A failed request to the cluster. The controller repeats the reconciliation after [`RETRY`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The request failed.
    #[error("{0}")]
    Cluster(#[from] Box<kube::Error>),
    /// No answer within [`TIMEOUT`].
    #[error("the API server of the cluster does not answer")]
    NoAnswer,
}

/// The objects of a kind in the namespace of an object.
pub(crate) fn api<K>(client: &Client, object: &impl ResourceExt, kind: &K::DynamicType) -> Api<K>
where
    K: Resource<Scope = DynamicResourceScope>,
{
    Api::namespaced_with(client.clone(), &object.namespace().unwrap_or_default(), kind)
}

/// A request to the cluster, within its limit.
pub(crate) async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ReconcileError> {
    let answer = tokio::time::timeout(TIMEOUT, request).await;
    Ok(answer.map_err(|_| ReconcileError::NoAnswer)?.map_err(Box::new)?)
}

/// Writes fields of the metadata into the version of the object that was read.
pub(crate) async fn set_metadata<K>(api: &Api<K>, object: &impl ResourceExt, fields: Json) -> Result<(), ReconcileError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut metadata = fields;
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert("resourceVersion".to_owned(), json!(object.resource_version()));
    }
    let patch = Patch::Merge(json!({"metadata": metadata}));
    in_time(api.patch(&object.name_any(), &PatchParams::default(), &patch)).await?;
    Ok(())
}

/// Writes the status into the version of the object that was read.
pub(crate) async fn set_status<K>(
    api: &Api<K>,
    object: &impl ResourceExt,
    kind: &K::DynamicType,
    status: &Json,
) -> Result<(), ReconcileError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let patch = Patch::Merge(json!({
        "apiVersion": K::api_version(kind),
        "kind": K::kind(kind),
        "metadata": {"resourceVersion": object.resource_version()},
        "status": status,
    }));
    in_time(api.patch_status(&object.name_any(), &PatchParams::default(), &patch)).await?;
    Ok(())
}

/// Repeats a reconciliation that could not be recorded.
pub(crate) fn retry(object: &impl ResourceExt, error: &ReconcileError) -> Action {
    // Another copy of the object is newer, or the object is gone.
    let is_stale = matches!(error, ReconcileError::Cluster(error)
        if matches!(&**error, kube::Error::Api(answer) if matches!(answer.code, 404 | 409)));
    let object = object.name_any();
    match error {
        _ if is_stale => tracing::debug!(object, %error, "an older copy of the object was not recorded"),
        ReconcileError::Cluster(lost) if is_unanswered(&**lost) => {
            tracing::debug!(object, %error, "the status cannot be recorded during an outage");
        }
        _ => tracing::warn!(object, %error, "the status cannot be recorded now"),
    }
    Action::requeue(if is_stale { Duration::from_secs(1) } else { RETRY })
}
