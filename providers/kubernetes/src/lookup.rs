//! Lookups: an object, objects by labels, and the server.

use crate::cluster::Cluster;
use crate::failure::Purpose;
use crate::manifest::{LAST_APPLIED, marked};
use crate::schema::{LIST_LOOKUP, OBJECT_LOOKUP, SERVER_LOOKUP};
use crate::target::Target;
use serde_json::Value as Json;
use terrace_provider::attributes::{attributes, optional_text, text};
use terrace_provider::{Attributes, ErrorKind, ProviderError, Value};

/// Answers a lookup.
///
/// # Errors
/// When the object does not exist, or the server does not answer.
pub(crate) async fn answer(cluster: &Cluster, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    match name {
        OBJECT_LOOKUP => object(cluster, arguments).await,
        LIST_LOOKUP => list(cluster, arguments).await,
        SERVER_LOOKUP => server(cluster).await,
        _ => Err(ProviderError::bug(format!("the lookup `{name}` does not exist"))),
    }
}

fn target(arguments: &Attributes) -> Target {
    Target {
        api_version: text(arguments, "apiVersion"),
        kind: text(arguments, "kind"),
        namespace: optional_text(arguments, "namespace").unwrap_or_default(),
        name: text(arguments, "name"),
    }
}

/// The object as a value, with the marks of a Secret.
fn shown(mut object: Json) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) {
        metadata.shift_remove("managedFields");
        // It has the whole object as text, also the values of a Secret.
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Json::as_object_mut) {
            annotations.shift_remove(LAST_APPLIED);
        }
    }
    marked(object.into(), None)
}

async fn object(cluster: &Cluster, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let target = target(arguments);
    let mut purpose = Purpose::reading(&target, target.kind.clone());
    let kind = cluster.kind(&target).await.map_err(|failure| cluster.error(failure, &purpose))?;
    purpose.resource = kind.resource();
    kind.check_scope(&target)?;
    cluster.check_allowed(&kind, &target.namespace)?;
    let found = cluster.object(&kind, &target).await.map_err(|failure| cluster.error(failure, &purpose))?;
    let found = found.ok_or_else(|| ProviderError::new(ErrorKind::NotFound, format!("{target} does not exist")))?;
    let uid = crate::cluster::uid_of(&found).map_or(Value::Null, Value::from);
    Ok(attributes([("object", shown(found)), ("uid", uid)]))
}

async fn list(cluster: &Cluster, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let target = Target { name: String::new(), ..target(arguments) };
    let mut purpose = Purpose {
        verb: "list",
        what: format!("objects of the kind {}", target.kind),
        ..Purpose::reading(&target, target.kind.clone())
    };
    let kind = cluster.kind(&target).await.map_err(|failure| cluster.error(failure, &purpose))?;
    purpose.resource = kind.resource();
    cluster.check_allowed(&kind, &target.namespace)?;
    let selectors: Vec<_> = optional_text(arguments, "labels")
        .filter(|labels| !labels.is_empty())
        .map(|labels| ("labelSelector", labels))
        .into_iter()
        .collect();
    let found = cluster.list(&kind, &target.namespace, &selectors).await;
    let mut found = found.map_err(|failure| cluster.error(failure, &purpose))?;
    let name = |object: &Json, part: &str| {
        object.pointer(&format!("/metadata/{part}")).and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    found.sort_by_cached_key(|object| (name(object, "namespace"), name(object, "name")));
    let names: Vec<Value> = found.iter().map(|object| name(object, "name").into()).collect();
    Ok(attributes([("names", names.into()), ("objects", Value::List(found.into_iter().map(shown).collect()))]))
}

async fn server(cluster: &Cluster) -> Result<Attributes, ProviderError> {
    let purpose = Purpose {
        verb: "get",
        what: "its version".to_owned(),
        resource: "/version".to_owned(),
        is_read: true,
        ..Purpose::default()
    };
    let failed = |failure| cluster.error(failure, &purpose);
    let version = cluster.get("/version").await.map_err(failed)?.unwrap_or_default();
    let id = cluster.id().await.map_err(failed)?;
    let text = |name: &str| version.get(name).and_then(Json::as_str).map_or(Value::Null, Value::from);
    Ok(attributes([
        ("version", text("gitVersion")),
        ("major", text("major")),
        ("minor", text("minor")),
        ("platform", text("platform")),
        ("cluster", id.map_or(Value::Null, Value::from)),
    ]))
}
