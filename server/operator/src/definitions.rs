//! The definitions of the custom resources, and their comparison with those of the cluster: the API server drops fields that its
//! definition lacks without an error, so that a status would be incomplete, and a limit of a user without effect.

use axum::http::{Request, header::ACCEPT};
use kube::Client;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// The definitions as YAML documents: the files of `deploy/helm/operator/crds`.
pub const DEFINITIONS: &str = concat!(
    include_str!("../../../deploy/helm/operator/crds/stacks.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/pipelines.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/pipelineruns.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/databases.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/workers.yaml"),
);
/// The fields that the cluster knows. All users may read it: <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3>.
const PUBLISHED: &str = "/openapi/v3/apis/terrace.dev/v1alpha1";

/// How the definitions of a cluster differ from [`DEFINITIONS`]; each field is `KIND: PATH`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Fields that only this operator knows.
    pub(crate) missing: Vec<String>,
    /// Fields that only the cluster knows.
    pub(crate) unknown: Vec<String>,
}

/// Compares the definitions of a cluster with those of this operator. Kinds that the cluster does not publish count as equal.
///
/// # Errors
/// When the API server refuses the call or does not answer.
pub(crate) async fn compare(client: &Client) -> kube::Result<Comparison> {
    let request = Request::get(PUBLISHED).header(ACCEPT, "application/json").body(Vec::new());
    let published: Json = client.request(request.map_err(kube::Error::HttpError)?).await?;
    Ok(compare_with(&published))
}

/// Compares [`DEFINITIONS`] with the document that the API server publishes.
pub(crate) fn compare_with(published: &Json) -> Comparison {
    let schemas = published.pointer("/components/schemas").and_then(Json::as_object);
    let served: BTreeMap<&str, BTreeSet<String>> = schemas
        .into_iter()
        .flat_map(|schemas| schemas.values())
        .filter_map(|schema| {
            let kind = schema.pointer("/x-kubernetes-group-version-kind/0/kind")?.as_str()?;
            Some((kind, fields_of(schema.get("properties")?)))
        })
        .collect();
    let mut comparison = Comparison::default();
    for definition in DEFINITIONS.split("\n---\n").filter_map(|text| serde_saphyr::from_str::<Json>(text).ok()) {
        let kind = definition.pointer("/spec/names/kind").and_then(Json::as_str).unwrap_or_default();
        let properties = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties");
        let (Some(properties), Some(served)) = (properties, served.get(kind)) else { continue };
        let own = fields_of(properties);
        comparison.missing.extend(outermost(&own, served).map(|field| format!("{kind}: {field}")));
        comparison.unknown.extend(outermost(served, &own).map(|field| format!("{kind}: {field}")));
    }
    comparison
}

/// The paths of the fields of `spec` and `status`.
fn fields_of(properties: &Json) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for part in ["spec", "status"] {
        if let Some(schema) = properties.get(part) {
            add_fields(schema, part, &mut all);
        }
    }
    all
}

fn add_fields(schema: &Json, path: &str, all: &mut BTreeSet<String>) {
    for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        add_fields(field, &path, all);
        all.insert(path);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|name| schema.get(name)) {
        add_fields(inner, path, all);
    }
}

/// The fields of `these` without those of `others`, and without fields within such a field.
fn outermost<'a>(these: &'a BTreeSet<String>, others: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    let is_alone = |field: &str| these.contains(field) && !others.contains(field);
    these.difference(others).filter(move |field| field.rsplit_once('.').is_none_or(|(parent, _)| !is_alone(parent)))
}
