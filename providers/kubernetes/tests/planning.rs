use serde_json::{Value as Json, json};
use std::path::Path;
use terrace_provider::conformance::{Instance, settings};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Recorded, Value};
use terrace_provider_kubernetes::KubernetesProvider;

const OBJECT: &str = "kubernetes_object";

async fn instance() -> Instance<KubernetesProvider> {
    let settings = settings(Path::new("."));
    Instance::open(KubernetesProvider::new(), &settings, Limits::default(), "shop@test:kubernetes_object.a")
        .await
        .unwrap()
}

fn config_map(name: &str) -> Json {
    json!({"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"a": "1"}}})
}

/// The row of an object that was created as planned.
async fn created(instance: &Instance<KubernetesProvider>, config: &Json) -> Recorded {
    let planned = instance.plan(OBJECT, None, config).await.unwrap().planned;
    let mut attributes = planned;
    for name in ["uid", "cluster"] {
        attributes.insert(name.to_owned(), "1".into());
    }
    Recorded { attributes, ..Recorded::default() }
}

#[tokio::test]
async fn plan_without_a_cluster_names_the_object() {
    let planned = instance().await.plan(OBJECT, None, config_map("a")).await.unwrap().planned;
    let text = |name: &str| planned[name].as_str().map(str::to_owned);
    assert_eq!(text("id").as_deref(), Some("v1/ConfigMap/shop/a"));
    assert_eq!((text("group").as_deref(), text("kind").as_deref()), (Some(""), Some("ConfigMap")));
    assert!(planned["uid"].is_unknown() && planned["cluster"].is_unknown());
}

#[tokio::test]
async fn null_fields_are_left_out() {
    let instance = instance().await;
    let mut config = config_map("a");
    config["manifest"]["data"]["b"] = Json::Null;
    let recorded = created(&instance, &config).await;
    assert_eq!(recorded.attributes["manifest"].to_json(), config_map("a")["manifest"]);
    assert_eq!(instance.changes(OBJECT, &recorded, &config).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn another_name_replaces_and_another_version_does_not() {
    let instance = instance().await;
    let recorded = created(&instance, &config_map("a")).await;
    let changes = instance.changes(OBJECT, &recorded, config_map("b")).await.unwrap();
    assert!(changes.contains(&"manifest.metadata.name (replaces)".to_owned()), "{changes:?}");
    assert!(changes.contains(&"uid".to_owned()), "{changes:?}");
    let job = |version: &str| json!({"manifest": {"apiVersion": version, "kind": "CronJob", "metadata": {"name": "j", "namespace": "shop"}}});
    let recorded = created(&instance, &job("batch/v1beta1")).await;
    let changes = instance.changes(OBJECT, &recorded, job("batch/v1")).await.unwrap();
    assert_eq!(changes, ["manifest", "id", "apiVersion"]);
}

#[tokio::test]
async fn values_of_a_secret_are_never_shown() {
    let secret = json!({"manifest": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"},
        "stringData": {"password": "hunter2"}}});
    let planned = instance().await.plan(OBJECT, None, secret).await.unwrap().planned;
    assert!(!format!("{planned:?}").contains("hunter2"), "{planned:?}");
    assert_eq!(planned["id"].as_str(), Some("v1/Secret/shop/s"));
    assert!(!matches!(planned["id"], Value::Sensitive(_)));
}

#[tokio::test]
async fn wrong_attributes_are_refused_with_their_place() {
    let instance = instance().await;
    let with = |name: &str, value: Json| {
        let mut config = config_map("a");
        config[name] = value;
        config
    };
    for (config, place) in [
        (with("manifest", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})), "manifest"),
        (with("waitFor", json!("is ready")), "waitFor"),
        (with("deletePropagation", json!("none")), "deletePropagation"),
    ] {
        let error = instance.plan(OBJECT, None, &config).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        assert_eq!(path.to_string(), place, "{error:?}");
        assert!(error.hint().is_some(), "{error:?}");
    }
}
