use crate::harness::{Namespace, OBJECT, config_map, create_within, deployment, instance, kubectl, kubectl_apply};
use serde_json::json;
use std::time::{Duration, Instant};
use terrace_provider::{Call, ErrorKind};

#[tokio::test(flavor = "multi_thread")]
async fn deployment_is_awaited_with_progress() {
    let (namespace, instance) = (Namespace::new("ready"), instance().await);
    let config = deployment(namespace.0, "web", Some(2), "sleep 1000");
    instance.create(OBJECT, &config).await.unwrap();
    let available =
        kubectl(&format!("get deployment web -n {} -o jsonpath={{.status.availableReplicas}}", namespace.0));
    assert_eq!(available, "2");
    let messages = instance.reports.messages();
    assert!(messages.iter().any(|it| it.contains("of 2 replicas are available")), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn timeout_lists_events_states_and_logs() {
    let (namespace, instance) = (Namespace::new("late"), instance().await);
    let mut missing = deployment(namespace.0, "missing", Some(1), "true");
    missing["manifest"]["spec"]["template"]["spec"]["containers"][0]["image"] = "terrace.test/none:1".into();
    missing["manifest"]["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
    let error = create_within(&instance, &missing, Duration::from_secs(8)).await.unwrap_err();
    assert!(error.message.contains("Deployment `late/missing` is not ready within 8 s"), "{error:?}");
    assert!(error.problems.iter().any(|it| it.contains("ErrImageNeverPull")), "{error:?}");
    assert!(error.hint().unwrap().contains("wait: false") && error.object.is_some(), "{error:?}");
    let mut crashing = deployment(namespace.0, "crashing", Some(1), "echo no database; exit 3");
    // Without it, the pod is available until its container ends.
    crashing["manifest"]["spec"]["minReadySeconds"] = 60.into();
    let error = create_within(&instance, &crashing, Duration::from_secs(15)).await.unwrap_err();
    assert!(error.problems.iter().any(|it| it.ends_with("| no database")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_job_ends_the_wait() {
    let (namespace, instance) = (Namespace::new("failing"), instance().await);
    let job = json!({"manifest": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": namespace.0},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "main", "image": "terrace.test/busybox:1", "command": ["sh", "-c", "echo broken pipe; exit 1"]}]}}}}});
    let error = create_within(&instance, &job, Duration::from_secs(60)).await.unwrap_err();
    assert!(
        error.message.contains("Job `failing/j` failed") && error.message.contains("BackoffLimitExceeded"),
        "{error:?}"
    );
    assert!(error.problems.iter().any(|it| it.ends_with("| broken pipe")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_without_a_storage_class_reports_it() {
    let (namespace, instance) = (Namespace::new("claims"), instance().await);
    let claim = |name: &str, class: Option<&str>| {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}});
        if let Some(class) = class {
            spec["storageClassName"] = class.into();
        }
        json!({"manifest": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": namespace.0}, "spec": spec}})
    };
    let error = create_within(&instance, &claim("none", None), Duration::from_secs(6)).await.unwrap_err();
    assert!(error.message.contains("its phase is Pending"), "{error:?}");
    assert!(error.problems.iter().any(|it| it.contains("no storage class is set")), "{error:?}");
    kubectl_apply(
        &json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late-binding"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}),
    );
    create_within(&instance, &claim("later", Some("late-binding")), Duration::from_secs(20)).await.unwrap();
    kubectl("delete storageclass late-binding");
}

#[tokio::test(flavor = "multi_thread")]
async fn condition_of_the_descriptor_is_awaited() {
    let (namespace, instance) = (Namespace::new("conditions"), instance().await);
    let mut config = config_map(namespace.0, "a", json!({}));
    config["waitFor"] = "Synced".into();
    let error = create_within(&instance, &config, Duration::from_secs(3)).await.unwrap_err();
    assert!(error.message.contains("no condition `Synced`"), "{error:?}");
    let mut web = deployment(namespace.0, "web", Some(1), "sleep 1000");
    web["waitFor"] = "Available".into();
    create_within(&instance, &web, Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn expression_of_the_descriptor_is_awaited() {
    let (namespace, instance) = (Namespace::new("expressions"), instance().await);
    let mut config = config_map(namespace.0, "a", json!({}));
    config["readyWhen"] = "object.data.ready == 'yes'".into();
    let error = create_within(&instance, &config, Duration::from_secs(3)).await.unwrap_err();
    assert!(error.message.contains("`data` of `readyWhen` does not exist yet"), "{error:?}");
    let mut web = deployment(namespace.0, "web", Some(1), "sleep 1000");
    web["readyWhen"] = "object.status.readyReplicas == object.spec.replicas && \
                        object.status.conditions.exists(c, c.type == 'Available' && c.status == 'True')"
        .into();
    create_within(&instance, &web, Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kind_of_a_new_definition_can_be_created_at_once() {
    let (_namespace, instance) = (Namespace::new("definitions"), instance().await);
    let definition = json!({"manifest": {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.new.example.com"},
        "spec": {"group": "new.example.com", "scope": "Cluster", "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}}}}}]}}});
    let gadget = json!({"manifest": {"apiVersion": "new.example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}, "spec": {}}});
    let defined = instance.create(OBJECT, &definition).await.unwrap();
    let created = instance.create(OBJECT, &gadget).await.unwrap();
    assert_eq!(
        instance.unsettled(OBJECT, &created, &gadget).await.unwrap(),
        Vec::<String>::new(),
        "a default of the schema is not drift"
    );
    instance.delete(OBJECT, &created).await.unwrap();
    instance.delete(OBJECT, &defined).await.unwrap();
    assert_eq!(instance.read(OBJECT, &created).await.unwrap().map(|it| it.identity), None, "its kind is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_names_the_finalizers_that_hold_it() {
    let (namespace, instance) = (Namespace::new("finalizers"), instance().await);
    let created = instance.create(OBJECT, config_map(namespace.0, "a", json!({}))).await.unwrap();
    kubectl(&format!(
        "patch configmap a -n {} --type=merge -p {{\"metadata\":{{\"finalizers\":[\"example.com/hold\"]}}}}",
        namespace.0
    ));
    let call = Call { timeout: Duration::from_secs(3), ..instance.call() };
    let error = instance.session.delete(instance.resource_type(OBJECT).unwrap(), &call, &created).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error:?}");
    assert!(error.message.contains("finalizers hold it: example.com/hold"), "{error:?}");
    assert!(instance.reports.messages().iter().any(|it| it.contains("example.com/hold")));
    kubectl(&format!("patch configmap a -n {} --type=merge -p {{\"metadata\":{{\"finalizers\":null}}}}", namespace.0));
    instance.delete(OBJECT, &created).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaned_dependents_stay() {
    let (namespace, instance) = (Namespace::new("orphans"), instance().await);
    let mut config = deployment(namespace.0, "web", Some(1), "sleep 1000");
    config["deletePropagation"] = "orphan".into();
    let created = instance.create(OBJECT, &config).await.unwrap();
    instance.delete(OBJECT, &created).await.unwrap();
    let sets = || kubectl(&format!("get replicasets -n {} -o name", namespace.0)).lines().count();
    assert_eq!(sets(), 1);
    kubectl(&format!("delete replicasets --all -n {}", namespace.0));
    config["deletePropagation"] = "foreground".into();
    let created = instance.create(OBJECT, &config).await.unwrap();
    instance.delete(OBJECT, &created).await.unwrap();
    assert_eq!(sets(), 0, "a dependent is left");
    config["deletePropagation"] = "background".into();
    let created = instance.create(OBJECT, &config).await.unwrap();
    instance.delete(OBJECT, &created).await.unwrap();
    // The garbage collector goes on after the end of the call.
    let begun = Instant::now();
    while sets() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "a dependent is left");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
