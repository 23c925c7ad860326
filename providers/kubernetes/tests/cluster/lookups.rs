use crate::harness::{Namespace, OBJECT, config_map, instance, kubectl};
use serde_json::json;
use terrace_provider::conformance::attributes;
use terrace_provider::{ErrorKind, Value};

#[tokio::test(flavor = "multi_thread")]
async fn lookups_answer_objects_lists_and_the_server() {
    let (namespace, instance) = (Namespace::new("lookups"), instance().await);
    for name in ["b", "a"] {
        let mut config = config_map(namespace.0, name, json!({"x": name}));
        config["manifest"]["metadata"]["labels"] = json!({"app": "shop"});
        instance.create(OBJECT, &config).await.unwrap();
    }
    kubectl(&format!("create secret generic s -n {} --from-literal=password=hunter2", namespace.0));
    let look = async |name: &str, arguments: serde_json::Value| {
        instance.session.lookup(name, &attributes(&arguments).unwrap()).await
    };
    let named =
        |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "namespace": namespace.0, "name": name});
    let found = look("kubernetes_object", named("ConfigMap", "a")).await.unwrap();
    assert_eq!(found["object"].to_json()["data"], json!({"x": "a"}));
    assert!(found["uid"].as_str().is_some() && found["object"].get("metadata").unwrap().get("managedFields").is_none());
    let secret = look("kubernetes_object", named("Secret", "s")).await.unwrap();
    assert!(matches!(secret["object"].get("data").unwrap().get("password"), Some(Value::Sensitive(_))));
    let missing = look("kubernetes_object", named("ConfigMap", "none")).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound, "{missing:?}");
    let list = json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace.0, "labels": "app=shop"});
    let found = look("kubernetes_objects", list).await.unwrap();
    assert_eq!(found["names"], json!(["a", "b"]).into());
    assert_eq!(found["objects"].to_json()[1]["kind"], json!("ConfigMap"));
    let server = look("kubernetes_server", json!({})).await.unwrap();
    assert!(server["version"].as_str().unwrap().starts_with("v1."), "{server:?}");
    assert_eq!(
        server["cluster"].as_str(),
        Some(kubectl("get namespace kube-system -o jsonpath={.metadata.uid}").as_str())
    );
}
