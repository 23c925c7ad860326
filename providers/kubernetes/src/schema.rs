//! Declarations of the provider: settings, the resource type and lookups.

use crate::manifest;
use std::time::Duration;
use terrace_provider::http::allow_plain_http;
use terrace_provider::normal::leave_out_nulls;
use terrace_provider::{
    Attribute, AttributeType, DerivedIdentity, Lookup, Map, Need, Object, Private, ProviderSchema, ResourceType, Value,
};

/// The one resource type.
pub(crate) const OBJECT: &str = "kubernetes_object";
/// The lookup of an object.
pub(crate) const OBJECT_LOOKUP: &str = "kubernetes_object";
/// The lookup of many objects.
pub(crate) const LIST_LOOKUP: &str = "kubernetes_objects";
/// The lookup of the server.
pub(crate) const SERVER_LOOKUP: &str = "kubernetes_server";

/// The attributes that name an object within its cluster. The version of its API is not among them: an object is the
/// same in each version.
pub(crate) const IDENTITY: [&str; 4] = ["group", "kind", "namespace", "name"];

/// The schema of the provider.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "kubernetes",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Objects of any API of a Kubernetes cluster, by server-side apply.",
        settings: settings(),
        resources: vec![object()],
        lookups: vec![object_lookup(), list_lookup(), server_lookup()],
        // It may hold tokens and keys.
        secret_files: &["KUBECONFIG"],
        ..ProviderSchema::default()
    }
}

fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

fn flag(name: &'static str, doc: &'static str, default: bool) -> Attribute {
    Attribute::new(name, AttributeType::Bool, doc).default_value(default)
}

fn settings() -> Object {
    Object(vec![
        text(
            "kubeconfig",
            "File with clusters, users and contexts, relative to the project folder. Its users may have plugins.",
        )
        .variable("KUBECONFIG"),
        text("context", "Context of the file. Default: its current context."),
        Attribute::new("inCluster", AttributeType::Bool, "Use the service account of the pod that terrace runs in."),
        text("server", "URL of the API server, instead of a file."),
        text("token", "Bearer token for `server`.").sensitive(),
        text(
            "caFile",
            "PEM file of certificate authorities for `server`, instead of those of this machine, relative to the \
             project folder.",
        ),
        Attribute::new(
            "namespaces",
            AttributeType::list(AttributeType::String),
            "The only namespaces that this instance may use. Default: all.",
        ),
        Attribute::new("timeout", AttributeType::Int, "Seconds per request.").default_value(30_i64),
        allow_plain_http(),
    ])
}

fn object() -> ResourceType {
    let named = |name, doc| text(name, doc).stable();
    let attributes = vec![
        Attribute::new(
            "manifest",
            AttributeType::Any,
            "The object: `apiVersion`, `kind`, `metadata` and any other fields. terrace owns these fields only.",
        )
        .required()
        .vendor_json(),
        flag("takeOwnership", "Take over fields of the manifest that other managers own with other values.", false),
        flag("wait", "Wait until the object is ready.", true),
        text("waitFor", "Condition to wait for, such as `Available` or `Stalled=False`. Default: by the kind."),
        text(
            "readyWhen",
            "Expression in CEL that is true when the object is ready: `object.status.phase == 'Running'`.",
        ),
        text(
            "deletePropagation",
            "Deletion of dependents: `foreground` (before the object), `background`, or `orphan` (keep them).",
        )
        .default_value("foreground"),
        named("id", "The id for `terrace import`: `apps/v1/Deployment/NAMESPACE/NAME`."),
        text("apiVersion", "Group and version of the API.").computed().follows(&["manifest"]),
        named("group", "Group of the API, empty for the core group."),
        named("kind", "The kind."),
        named("namespace", "The namespace, empty for an object of the whole cluster."),
        named("name", "The name."),
        named("uid", "The server's id of the object. A recreated object has another id."),
        named("cluster", "The id of the cluster: the `uid` of its namespace `kube-system`."),
    ];
    let doc = "An object of any API of the cluster, from a manifest.";
    ResourceType {
        holds_data: true,
        data_holders: Some(manifest::is_data_holder),
        needs: &[NAMESPACE],
        derived_identity: Some(DerivedIdentity {
            derive: manifest::put_names,
            named_by: &[&["manifest", "metadata", "name"], &["manifest", "metadata", "namespace"]],
        }),
        is_marked_by_another,
        fold: |attributes, recorded| leave_out_nulls("manifest", attributes, recorded),
        reads_at_once: crate::session::READS_AT_ONCE,
        reads_lists: true,
        settle: SETTLE,
        ..ResourceType::new(OBJECT, doc, &IDENTITY, Object(attributes))
    }
}

/// The server cancels a request when its connection closes. Names are unique: a late create cannot make a second object.
const SETTLE: Duration = Duration::from_secs(5);

fn is_marked_by_another(address: &str, private: &Private) -> bool {
    crate::private::PrivateData::of(private).resource.is_some_and(|resource| resource != address)
}

/// The namespace that contains an object.
const NAMESPACE: Need = Need {
    ty: OBJECT,
    identities: |attributes| {
        let namespace = attributes.get("namespace").and_then(Value::as_str).filter(|name| !name.is_empty());
        let identity = |name: &str| {
            let parts = [("group", ""), ("kind", "Namespace"), ("namespace", ""), ("name", name)];
            parts.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect::<Map>()
        };
        namespace.map(identity).into_iter().collect()
    },
};

fn named_object() -> Vec<Attribute> {
    vec![
        text("apiVersion", "Group and version of the API: `apps/v1`, `v1`.").required(),
        text("kind", "The kind: `Deployment`.").required(),
    ]
}

fn any(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::Any, doc).vendor_json()
}

fn object_lookup() -> Lookup {
    let mut arguments = named_object();
    arguments.push(text("namespace", "The namespace, for a kind that has one."));
    arguments.push(text("name", "The name.").required());
    Lookup {
        name: OBJECT_LOOKUP,
        doc: "An object with all its fields, status included. The data of a Secret is sensitive.",
        arguments: Object(arguments),
        result: Object(vec![
            any("object", "The object, without `metadata.managedFields`."),
            text("uid", "The server's id of the object."),
        ]),
        objects: &[],
    }
}

fn list_lookup() -> Lookup {
    let mut arguments = named_object();
    arguments.push(text("namespace", "The namespace. Default: all."));
    arguments.push(text("labels", "Label selector: `app=shop,tier!=test`. Default: all objects."));
    Lookup {
        name: LIST_LOOKUP,
        doc: "The objects of a kind with these labels, in the order of namespace and name.",
        arguments: Object(arguments),
        result: Object(vec![
            Attribute::new("names", AttributeType::list(AttributeType::String), "Their names."),
            any("objects", "The objects, without `metadata.managedFields`."),
        ]),
        objects: &[],
    }
}

fn server_lookup() -> Lookup {
    Lookup {
        name: SERVER_LOOKUP,
        doc: "Version and id of the cluster.",
        arguments: Object(Vec::new()),
        result: Object(vec![
            text("version", "Version of the API server: `v1.34.4`."),
            text("major", "First part of the version."),
            text("minor", "Second part of the version."),
            text("platform", "Operating system and processor of the server."),
            text("cluster", "The id of the cluster: the `uid` of its namespace `kube-system`."),
        ]),
        objects: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attributes(json: serde_json::Value) -> Map {
        Value::from(json).as_map().unwrap().clone()
    }

    #[test]
    fn only_some_kinds_hold_data() {
        let ty = object();
        let claim = json!([{"metadata": {"name": "data"}}]);
        for (expected, object) in [
            (true, json!({"group": "", "kind": "PersistentVolumeClaim"})),
            (true, json!({"group": "", "kind": "PersistentVolume"})),
            (true, json!({"group": "", "kind": "Namespace"})),
            (true, json!({"group": "apiextensions.k8s.io", "kind": "CustomResourceDefinition"})),
            (
                true,
                json!({"group": "apps", "kind": "StatefulSet", "manifest": {"spec": {"volumeClaimTemplates": claim}}}),
            ),
            (false, json!({"group": "apps", "kind": "StatefulSet", "manifest": {"spec": {}}})),
            (false, json!({"group": "example.com", "kind": "Namespace"})),
            (false, json!({"group": "", "kind": "ConfigMap"})),
        ] {
            assert_eq!(ty.is_holding_data(&attributes(object.clone())), expected, "{object}");
        }
    }

    #[test]
    fn object_needs_its_namespace() {
        let needed = |object| (NAMESPACE.identities)(&attributes(object));
        assert_eq!(needed(json!({"namespace": ""})), Vec::<Map>::new());
        let expected = attributes(json!({"group": "", "kind": "Namespace", "namespace": "", "name": "shop"}));
        assert_eq!(needed(json!({"namespace": "shop"})), [expected]);
    }
}
