use crate::harness::{
    Namespace, OBJECT, cluster, config_map, instance, instance_with, kubeconfig, kubectl, kubectl_apply,
};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};
use terrace_provider::{ErrorKind, Finding, Severity};

/// The URL of the server, from the administrator's file.
fn server() -> String {
    kubectl("config view --minify -o jsonpath={.clusters[0].cluster.server}")
}

/// Waits until the server grants the account of a namespace a verb for ConfigMaps: it learns of a binding later.
#[track_caller]
fn wait_for_right(space: &str, verb: &str) {
    let account = format!("--as=system:serviceaccount:{space}:limited");
    let begun = Instant::now();
    while !cluster(&["kubectl", "auth", "can-i", verb, "configmaps", "-n", space, &account], "").0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the account may not {verb} configmaps in {space}");
    }
}

/// The settings of a service account with a role.
pub(crate) fn account(space: &str, folder: &std::path::Path, rules: Json) -> Json {
    let verb = rules[0]["verbs"][0].as_str().map(str::to_owned);
    kubectl(&format!("create serviceaccount limited -n {space}"));
    kubectl_apply(
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "limited", "namespace": space}, "rules": rules}),
    );
    kubectl(&format!("create rolebinding limited -n {space} --role=limited --serviceaccount={space}:limited"));
    verb.iter().for_each(|verb| wait_for_right(space, verb));
    let token = kubectl(&format!("create token limited -n {space}"));
    let authority = kubectl("get configmap kube-root-ca.crt -n default -o jsonpath={.data.ca\\.crt}");
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority + "\n").unwrap();
    json!({"kubeconfig": null, "server": server(), "token": token, "caFile": file})
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named() {
    let (namespace, folder) = (Namespace::new("rights"), tempfile::tempdir().unwrap());
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]);
    let mut settings = account(namespace.0, folder.path(), rules);
    let limited = instance_with(settings.clone()).await;
    let config = config_map(namespace.0, "a", json!({}));
    let error = limited.create(OBJECT, &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.message.contains("may not patch configmaps in the namespace `rights`"), "{error:?}");
    let planned = limited.plan(OBJECT, None, &config).await.unwrap().planned;
    let found = limited.session.validate_remote(limited.resource_type(OBJECT).unwrap(), &planned).unwrap().await;
    let [Finding { severity: Severity::Warning, message, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert!(message.starts_with("not checked by the server"), "{message}");
    settings["namespaces"] = json!([namespace.0]);
    let rights = instance_with(settings).await.session.missing_rights().await.unwrap().unwrap();
    let maps = rights.iter().find(|right| right.operation.contains("configmaps")).unwrap();
    assert!(maps.operation.contains("create, patch, delete configmaps; "), "{}", maps.operation);
    assert_eq!(
        instance().await.session.missing_rights().await.unwrap().unwrap(),
        [],
        "the administrator may do everything"
    );
    // Each hint names one more right. Its commands are followed as they are.
    for verb in ["patch", "create"] {
        let error = limited.create(OBJECT, &config).await.unwrap_err();
        let hint = error.hint().unwrap();
        let commands = hint.strip_prefix("have an administrator run `").and_then(|hint| hint.strip_suffix('`'));
        let name = format!("terrace-{verb}-configmaps");
        assert!(hint.contains(&format!("--role={name} --serviceaccount=rights:limited")), "{hint}");
        commands.unwrap().split("; ").for_each(|command| drop(kubectl(command.strip_prefix("kubectl ").unwrap())));
        wait_for_right(namespace.0, verb);
    }
    limited.create(OBJECT, &config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_doctor_grant_the_missing_rights() {
    let (namespace, folder) = (Namespace::new("doctor"), tempfile::tempdir().unwrap());
    let mut settings = account(namespace.0, folder.path(), json!([]));
    settings["namespaces"] = json!([namespace.0]);
    let missing = instance_with(settings.clone()).await.session.missing_rights().await.unwrap().unwrap();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].operation.starts_with("get, list, create, patch, delete configmaps, secrets, "), "{missing:?}");
    let commands: Vec<&str> = missing[0].statement.split("; ").collect();
    assert_eq!(commands.len(), 2, "one role and its binding: {commands:?}");
    commands.iter().for_each(|command| drop(kubectl(command.strip_prefix("kubectl ").unwrap())));
    wait_for_right(namespace.0, "get");
    assert_eq!(instance_with(settings).await.session.missing_rights().await.unwrap().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rights_in_one_namespace_suffice() {
    let (namespace, folder) = (Namespace::new("narrow"), tempfile::tempdir().unwrap());
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch", "delete"]}]);
    let narrow = instance_with(account(namespace.0, folder.path(), rules)).await;
    let config = config_map(namespace.0, "a", json!({"x": "1"}));
    let created = narrow.create(OBJECT, &config).await.unwrap();
    assert_eq!(narrow.unsettled(OBJECT, &created, &config).await.unwrap(), Vec::<String>::new());
    narrow.delete(OBJECT, &created).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_certificates_and_tokens_are_refused() {
    let ty = |instance: &crate::harness::Kubernetes| instance.resource_type(OBJECT).unwrap().clone();
    let unknown = instance_with(json!({"kubeconfig": null, "server": server(), "token": "t"})).await;
    let error = unknown.session.import(&ty(&unknown), "v1/Namespace//default").await.unwrap_err();
    assert!(
        error.message.contains("certificate of the API server") && error.hint().unwrap().contains("caFile"),
        "{error:?}"
    );
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let authority = kubectl("get configmap kube-root-ca.crt -n default -o jsonpath={.data.ca\\.crt}");
    std::fs::write(&file, authority + "\n").unwrap();
    let wrong =
        instance_with(json!({"kubeconfig": null, "server": server(), "token": "hunter2", "caFile": file})).await;
    let error = wrong.session.import(&ty(&wrong), "v1/Namespace//default").await.unwrap_err();
    assert!(error.message.contains("does not accept the credentials"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plugin_supplies_the_token() {
    let (namespace, folder) = (Namespace::new("plugin"), tempfile::tempdir().unwrap());
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]);
    let settings = account(namespace.0, folder.path(), rules);
    let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": settings["token"]}});
    std::fs::write(folder.path().join("credential.json"), credential.to_string()).unwrap();
    let file = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": settings["server"], "certificate-authority": "ca.pem"}}],
        "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat",
            "args": [folder.path().join("credential.json")], "interactiveMode": "Never"}}}]});
    std::fs::write(folder.path().join("config"), file.to_string()).unwrap();
    let instance = instance_with(json!({"kubeconfig": folder.path().join("config")})).await;
    let created = instance.create(OBJECT, config_map(namespace.0, "a", json!({}))).await.unwrap();
    instance.delete(OBJECT, &created).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_cluster_is_refused() {
    let (namespace, instance) = (Namespace::new("elsewhere"), instance().await);
    let config = config_map(namespace.0, "a", json!({}));
    let mut created = instance.create(OBJECT, &config).await.unwrap();
    let cluster = kubectl("get namespace kube-system -o jsonpath={.metadata.uid}");
    assert_eq!(created.text("cluster"), Some(cluster.as_str()));
    created.attributes.insert("cluster".to_owned(), "another".into());
    let error = instance.read(OBJECT, &created).await.unwrap_err();
    assert!(
        error.message.contains("now leads to the cluster") && error.hint().unwrap().contains("context"),
        "{error:?}"
    );
    assert!(instance.delete(OBJECT, &created).await.is_err());
    assert!(std::path::Path::new(&kubeconfig()).exists());
}
