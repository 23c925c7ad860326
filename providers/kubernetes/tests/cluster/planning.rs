use crate::harness::{Kubernetes, Namespace, OBJECT, config_map, deployment, instance, kubectl, kubectl_apply};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, Finding, Severity};

/// Findings of the server about a planned new object.
async fn findings(instance: &Kubernetes, config: &Json) -> Vec<Finding> {
    let planned = instance.plan(OBJECT, None, config).await.unwrap().planned;
    instance.session.validate_remote(instance.resource_type(OBJECT).unwrap(), &planned).unwrap().await
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_of_a_new_object_lists_the_defaults_of_the_server() {
    let (namespace, instance) = (Namespace::new("defaults"), instance().await);
    let found = findings(&instance, &deployment(namespace.0, "web", None, "sleep 1")).await;
    let [Finding { severity: Severity::Note, message, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert!(message.starts_with("the server adds") && message.contains("`spec.replicas: 1`"), "{message}");
    assert_eq!(kubectl(&format!("get deployments -n {} -o name", namespace.0)), "", "the plan created something");
    assert_eq!(findings(&instance, &config_map(namespace.0, "a", json!({"x": "1"}))).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_new_manifest_have_their_place() {
    let (namespace, instance) = (Namespace::new("mistakes"), instance().await);
    let with = |at: &str, value: Json| {
        let mut config = deployment(namespace.0, "web", Some(1), "sleep 1");
        let (parent, name) = at.rsplit_once('/').unwrap();
        config["manifest"].pointer_mut(parent).unwrap()[name] = value;
        config
    };
    for (config, place, message) in [
        (with("/spec/replica", json!(1)), "manifest.spec.replica", "unknown field"),
        (with("/spec/replicas", json!("two")), "manifest.spec.replicas", "does not match its API"),
        (
            with("/spec/template/spec/containers/0/image", json!("")),
            "manifest.spec.template.spec.containers[0].image",
            "refuses",
        ),
        (with("/metadata/name", json!("Upper")), "manifest.metadata.name", "refuses"),
        (
            with("/spec/selector/matchLabels", json!({"app": "other"})),
            "manifest.spec.template.metadata.labels",
            "refuses",
        ),
    ] {
        let found = findings(&instance, &config).await;
        let [Finding { severity: Severity::Error, path: Some(path), message: found, hint: Some(_) }] = found.as_slice()
        else {
            panic!("{found:?}")
        };
        assert!(found.contains(message), "{found}");
        assert_eq!(path.to_string(), place, "{found}");
    }
    let mut cluster_scoped = config_map("", "a", json!({}));
    cluster_scoped["manifest"]["metadata"] = json!({"name": "a"});
    let found = findings(&instance, &cluster_scoped).await;
    assert!(found[0].message.contains("has no namespace"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_do_not_exist_yet_leave_a_note() {
    let instance = instance().await;
    let found = findings(&instance, &config_map("not-there", "a", json!({}))).await;
    assert_eq!(found[0].severity, Severity::Note, "{found:?}");
    assert!(found[0].message.contains("the namespace `not-there`"), "{found:?}");
    let widget =
        json!({"manifest": {"apiVersion": "absent.example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}});
    let found = findings(&instance, &widget).await;
    assert_eq!(found[0].severity, Severity::Note, "{found:?}");
    assert!(found[0].message.contains("does not serve the kind Widget"), "{found:?}");
    let error = instance.create(OBJECT, &widget).await.unwrap_err();
    assert!(error.hint().unwrap().contains("install the definition"), "{error:?}");
    let error = instance.create(OBJECT, config_map("not-there", "a", json!({}))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
    let old = json!({"manifest": {"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "default"}}});
    let error = instance.create(OBJECT, &old).await.unwrap_err();
    assert!(error.hint().unwrap().contains("`apps/v1`"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_a_planned_namespace_leave_no_note() {
    let instance = instance().await;
    let namespace = json!({"manifest": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "planned"}}});
    instance.plan(OBJECT, None, &namespace).await.unwrap();
    assert_eq!(findings(&instance, &config_map("planned", "a", json!({}))).await, []);
    let definition = json!({"manifest": {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.planned.example.com"}, "spec": {"group": "planned.example.com", "names": {"kind": "Widget"}}}});
    instance.plan(OBJECT, None, &definition).await.unwrap();
    let widget =
        json!({"manifest": {"apiVersion": "planned.example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}});
    assert_eq!(findings(&instance, &widget).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_an_immutable_field_replaces() {
    let (namespace, instance) = (Namespace::new("immutable"), instance().await);
    let job = |command: &str| {
        json!({"manifest": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": namespace.0},
            "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "main", "image": "terrace.test/busybox:1", "command": ["sh", "-c", command]}]}}}}})
    };
    let created = instance.create(OBJECT, job("true")).await.unwrap();
    let plan = instance.plan(OBJECT, Some(&created), job("false")).await.unwrap();
    assert_eq!(plan.replace_paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["manifest.spec.template"]);
    assert_eq!(plan.because, ["`spec.template` cannot be changed in place"]);
    assert!(plan.planned["uid"].is_unknown());
}

#[tokio::test(flavor = "multi_thread")]
async fn update_shows_changes_of_the_server_beyond_the_manifest() {
    let (namespace, instance) = (Namespace::new("beyond"), instance().await);
    let service = |kind: &str| {
        json!({"manifest": {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": namespace.0},
            "spec": {"type": kind, "ports": [{"port": 80}], "selector": {"app": "s"}}}})
    };
    let created = instance.create(OBJECT, service("ClusterIP")).await.unwrap();
    let plan = instance.plan(OBJECT, Some(&created), service("NodePort")).await.unwrap();
    let [because] = plan.because.as_slice() else { panic!("{:?}", plan.because) };
    assert!(
        because.starts_with("the server also changes") && because.contains("spec.externalTrafficPolicy: Cluster"),
        "{because}"
    );
    let updated = instance.update(OBJECT, &created, service("NodePort")).await.unwrap();
    assert_eq!(instance.unsettled(OBJECT, &updated, service("NodePort")).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_and_policies_are_refused_at_plan_time() {
    let (namespace, instance) = (Namespace::new("quota"), instance().await);
    kubectl_apply(
        &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": namespace.0},
        "spec": {"hard": {"configmaps": "1"}}}),
    );
    kubectl(&format!("label namespace {} pod-security.kubernetes.io/enforce=restricted", namespace.0));
    let pod = json!({"manifest": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace.0},
        "spec": {"containers": [{"name": "main", "image": "terrace.test/busybox:1"}]}}});
    let found = findings(&instance, &pod).await;
    assert!(found[0].message.contains("an admission rule") && found[0].message.contains("PodSecurity"), "{found:?}");
    // The quota counts kube-root-ca.crt; its controller has to count before it refuses.
    let map = config_map(namespace.0, "a", json!({}));
    let error = loop {
        match instance.create(OBJECT, &map).await {
            Err(error) if error.message.contains("status unknown for quota") => {}
            Err(error) => break error,
            Ok(_) => panic!("the quota does not hold"),
        }
    };
    assert_eq!(error.kind, ErrorKind::Failed, "{error:?}");
    assert!(
        error.message.contains("a quota of the namespace `quota`") && error.hint().unwrap().contains("describe quota"),
        "{error:?}"
    );
}
