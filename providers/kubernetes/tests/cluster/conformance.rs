use crate::harness::{Namespace, OBJECT, config_map, deployment, kubeconfig, kubectl, kubectl_apply};
use serde_json::{Value as Json, json};
use std::path::Path;
use terrace_provider::conformance::{Fixture, Suite, attributes, settings_with};
use terrace_provider::{Attributes, Recorded};
use terrace_provider_kubernetes::KubernetesProvider;

/// A configuration that repairs drift: kubectl owns the fields that it changes.
fn config(mut json: Json) -> Attributes {
    json["takeOwnership"] = true.into();
    attributes(&json).unwrap()
}

/// `kind/name -n namespace`, for kubectl.
fn named(recorded: &Recorded) -> String {
    let text = |name: &str| recorded.text(name).unwrap_or_default().to_owned();
    let kind = [text("kind").to_lowercase(), text("group")].join(".");
    let namespace = if text("namespace").is_empty() { String::new() } else { format!("-n {}", text("namespace")) };
    format!("{} {} {namespace}", kind.trim_end_matches('.'), text("name"))
}

async fn remove(recorded: Recorded) {
    kubectl(&format!("delete {} --ignore-not-found", named(&recorded)));
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_passes_the_conformance_suite() {
    let namespace = Namespace::new("conformance");
    let space = namespace.0;
    let provider = KubernetesProvider::new();
    let settings = settings_with(&json!({"kubeconfig": kubeconfig()}), &json!({})).unwrap();
    let settings = terrace_provider::Settings { project_folder: Path::new(".").to_owned(), ..settings };

    let maps = Fixture::new(OBJECT, "map", config(config_map(space, "a", json!({"x": "1", "y": "2"}))))
        .update(config(config_map(space, "a", json!({"x": "3"}))))
        .replace(config(config_map(space, "b", json!({"x": "1"}))))
        .tamper(|recorded| async move {
            kubectl(&format!("patch {} --type=merge -p {{\"data\":{{\"x\":\"tampered\"}}}}", named(&recorded)));
        })
        .remove(remove);
    let secret = |text: &str| {
        config(json!({"manifest": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": space},
            "stringData": {"password": text, "user": "ada"}}}))
    };
    let secrets = Fixture::new(OBJECT, "secret", secret("one"))
        .update(secret("two"))
        .tamper(|recorded| async move {
            kubectl(&format!("patch {} --type=merge -p {{\"data\":{{\"password\":\"eA==\"}}}}", named(&recorded)));
        })
        .remove(remove);
    let spaces = Fixture::new(
        OBJECT,
        "namespace",
        config(json!({"manifest": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "conformance-inner", "labels": {"a": "b"}}}})),
    )
    .tamper(|recorded| async move {
        kubectl(&format!("label {} a=tampered --overwrite", named(&recorded)));
    })
    .fill(|_| async {
        kubectl_apply(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "conformance-inner"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}));
    })
    .remove(remove);
    let workloads = Fixture::new(OBJECT, "deployment", config(deployment(space, "web", Some(1), "sleep 1000")))
        .update(config(deployment(space, "web", Some(1), "sleep 1001")))
        .tamper(|recorded| async move {
            kubectl(&format!("scale {} --replicas=2", named(&recorded)));
        })
        .remove(remove);
    let definition = |scope: &str| {
        config(json!({"manifest": {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.conformance.example.com"},
            "spec": {"group": "conformance.example.com", "scope": scope,
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}}}))
    };
    let definitions = Fixture::new(OBJECT, "definition", definition("Namespaced"))
        .fill(move |_| async move {
            kubectl_apply(&json!({"apiVersion": "conformance.example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": space}}));
        })
        .remove(remove);

    let suite = Suite::new(&provider, settings);
    let suite = [maps, secrets, spaces, workloads, definitions].into_iter().fold(suite, Suite::fixture);
    let report = suite.run().await;
    assert!(report.is_clean(), "{report}");
}
