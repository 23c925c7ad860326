use crate::access::account;
use crate::harness::{Namespace, OBJECT, config_map, deployment, instance, instance_with, kubectl, kubectl_apply};
use serde_json::json;
use std::time::Duration;
use terrace_provider::{ErrorKind, Found};

#[tokio::test(flavor = "multi_thread")]
async fn drift_covers_owned_fields_only() {
    let (namespace, instance) = (Namespace::new("drift"), instance().await);
    let space = namespace.0;
    let config = deployment(space, "web", None, "sleep 1000");
    let created = instance.create(OBJECT, &config).await.unwrap();
    assert_eq!(instance.unsettled(OBJECT, &created, &config).await.unwrap(), Vec::<String>::new());
    kubectl(&format!("scale deployment web -n {space} --replicas=2"));
    kubectl(&format!("annotate deployment web -n {space} other=1"));
    assert_eq!(instance.unsettled(OBJECT, &created, &config).await.unwrap(), Vec::<String>::new());
    kubectl(&format!("set image deployment/web main=terrace.test/pause:1 -n {space}"));
    let drifted = instance.read(OBJECT, &created).await.unwrap().unwrap();
    let image = drifted.attributes["manifest"].to_json().pointer("/spec/template/spec/containers/0/image").cloned();
    assert_eq!(image, Some(json!("terrace.test/pause:1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn conflict_names_the_manager_until_ownership_is_taken() {
    let (namespace, instance) = (Namespace::new("conflict"), instance().await);
    let mut config = config_map(namespace.0, "a", json!({"x": "1"}));
    let created = instance.create(OBJECT, &config).await.unwrap();
    kubectl(&format!(
        "patch configmap a -n {} --type=merge -p {{\"data\":{{\"x\":\"other\"}}}} --field-manager=intruder",
        namespace.0
    ));
    let drifted = instance.read(OBJECT, &created).await.unwrap().unwrap();
    assert_eq!(drifted.attributes["manifest"].to_json()["data"], json!({"x": "other"}));
    let error = instance.plan(OBJECT, Some(&drifted), &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("manifest.data.x".parse().unwrap()) }, "{error:?}");
    assert_eq!(error.problems, ["`intruder` owns `data.x`"]);
    assert!(error.hint().unwrap().contains("takeOwnership: true"), "{error:?}");
    config["takeOwnership"] = true.into();
    let plan = instance.plan(OBJECT, Some(&drifted), &config).await.unwrap();
    assert_eq!(plan.because, ["it takes `data.x` over from `intruder`"]);
    let updated = instance.update(OBJECT, &drifted, &config).await.unwrap();
    assert_eq!(instance.unsettled(OBJECT, &updated, &config).await.unwrap(), Vec::<String>::new());
    assert_eq!(kubectl(&format!("get configmap a -n {} -o jsonpath={{.data.x}}", namespace.0)), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_field_is_removed_and_fields_of_others_stay() {
    let (namespace, instance) = (Namespace::new("removed"), instance().await);
    let created = instance.create(OBJECT, config_map(namespace.0, "a", json!({"x": "1", "y": "2"}))).await.unwrap();
    kubectl(&format!("patch configmap a -n {} --type=merge -p {{\"data\":{{\"z\":\"other\"}}}}", namespace.0));
    instance.update(OBJECT, &created, config_map(namespace.0, "a", json!({"x": "1"}))).await.unwrap();
    let data = kubectl(&format!("get configmap a -n {} -o jsonpath={{.data}}", namespace.0));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), json!({"x": "1", "z": "other"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn recreated_object_is_drift_and_gets_the_manifest() {
    let (namespace, instance) = (Namespace::new("recreated"), instance().await);
    let config = config_map(namespace.0, "a", json!({"x": "1"}));
    let created = instance.create(OBJECT, &config).await.unwrap();
    kubectl(&format!("delete configmap a -n {}", namespace.0));
    kubectl(&format!("create configmap a -n {} --from-literal=y=2", namespace.0));
    let error = instance.update(OBJECT, &created, config_map(namespace.0, "a", json!({"x": "2"}))).await.unwrap_err();
    assert!(error.message.contains("recreated in the meantime"), "{error:?}");
    assert!(instance.delete(OBJECT, &created).await.is_err(), "an object of another origin was deleted");
    let read = instance.read(OBJECT, &created).await.unwrap().unwrap();
    assert_ne!(read.text("uid"), created.text("uid"));
    let updated = instance.update(OBJECT, &read, &config).await.unwrap();
    let data = kubectl(&format!("get configmap a -n {} -o jsonpath={{.data}}", namespace.0));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), json!({"x": "1", "y": "2"}));
    instance.delete(OBJECT, &updated).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn object_of_kubectl_is_imported_and_adopted() {
    let (namespace, instance) = (Namespace::new("imported"), instance().await);
    let config = deployment(namespace.0, "web", Some(1), "sleep 1000");
    kubectl_apply(&config["manifest"]);
    let ty = instance.resource_type(OBJECT).unwrap();
    let imported =
        instance.session.import(ty, &format!("apps/v1/Deployment/{}/web", namespace.0)).await.unwrap().unwrap();
    assert_eq!(imported.attributes["manifest"].to_json(), config["manifest"]);
    let missing = instance.session.import(ty, &format!("apps/v1/Deployment/{}/none", namespace.0)).await.unwrap();
    assert_eq!(missing, None);
    let Found::Foreign(found) = instance.find(OBJECT, &config, None).await.unwrap() else { panic!("it is not found") };
    assert_eq!(
        found.attributes["manifest"].to_json(),
        config["manifest"],
        "spellings of the server do not count as differences"
    );
    let lost = instance.find(OBJECT, &config, Some(Duration::from_secs(9))).await.unwrap();
    assert!(matches!(lost, Found::Foreign(_)), "an object without a mark is not of the lost call");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects_are_read_by_one_list() {
    let (namespace, instance, folder) = (Namespace::new("many"), instance().await, tempfile::tempdir().unwrap());
    let mut rows = Vec::new();
    for index in 0..12 {
        rows.push(
            instance.create(OBJECT, config_map(namespace.0, &format!("m{index}"), json!({"x": "1"}))).await.unwrap(),
        );
    }
    kubectl(&format!("delete configmap m3 -n {}", namespace.0));
    kubectl(&format!("patch configmap m4 -n {} --type=merge -p {{\"data\":{{\"x\":\"2\"}}}}", namespace.0));
    // Without the right to get single objects.
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    let reader = instance_with(account(namespace.0, folder.path(), rules)).await;
    let read = reader.session.read_many(reader.resource_type(OBJECT).unwrap(), &rows).await;
    let data: Vec<_> = read
        .into_iter()
        .map(|it| it.unwrap().map(|it| it.attributes["manifest"].to_json()["data"]["x"].clone()))
        .collect();
    let expected: Vec<_> = (0..12)
        .map(|index| match index {
            3 => None,
            4 => Some(json!("2")),
            _ => Some(json!("1")),
        })
        .collect();
    assert_eq!(data, expected);
}
