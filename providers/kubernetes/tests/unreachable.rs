use serde_json::{Value as Json, json};
use std::net::TcpListener;
use std::time::Duration;
use terrace_provider::conformance::{Instance, attributes, settings_with};
use terrace_provider::wrap::Limits;
use terrace_provider::{Attributes, ErrorKind, Path, Private, ProviderError, Recorded};
use terrace_provider_kubernetes::KubernetesProvider;
use terrace_provider_kubernetes::client::{Client, ClientError, Resource};

/// The error of an import by an instance with these settings.
async fn failure(settings: Json) -> ProviderError {
    let instance = instance(settings).await;
    let ty = instance.resource_type("kubernetes_object").unwrap();
    let import = instance.session.import(ty, "v1/Namespace//shop");
    tokio::time::timeout(Duration::from_secs(20), import).await.unwrap().unwrap_err()
}

/// An instance without retries.
async fn instance(settings: Json) -> Instance<KubernetesProvider> {
    let mut settings = settings_with(&json!({"timeout": 1}), &settings).unwrap();
    settings.instance = "kubernetes".to_owned();
    let limits = Limits { retries: 0, ..Limits::default() };
    Instance::open(KubernetesProvider::new(), &settings, limits, "shop@test:kubernetes_object.a").await.unwrap()
}

#[tokio::test]
async fn refused_connection_names_the_server() {
    let address = {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        closed.local_addr().unwrap()
    };
    let error = failure(json!({"server": format!("http://{address}"), "token": "t"})).await;
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    assert!(error.message.contains(&format!("cannot be reached at `http://{address}`")), "{error:?}");
    assert!(error.hint().unwrap().contains("the address of the cluster in the setting `server`"), "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: there\ncontexts: [{name: there, context: {cluster: c, user: u}}]\n\
                users: [{name: u, user: {}}]\n";
    std::fs::write(&file, format!("{text}clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n")).unwrap();
    let hint = failure(json!({"kubeconfig": file})).await.hint().unwrap();
    let place = format!("the kubeconfig file `{}` (context `there`), and the network", file.display());
    assert_eq!(hint, format!("check the address of the cluster in {place}"));
}

#[tokio::test]
async fn refused_credentials_name_the_server_and_the_user() {
    let url = answering(
        b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 41\r\n\r\n\
          {\"kind\":\"Status\",\"reason\":\"Unauthorized\"}",
    );
    let error = failure(json!({"server": url, "token": "hunter2"})).await;
    assert_eq!(error.message, format!("the cluster at `{url}` does not accept the credentials of the instance"));
    assert_eq!(error.hint().unwrap(), "renew the token: the setting `token`");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my config");
    let text = "current-context: there\ncontexts: [{name: there, context: {cluster: c, user: u}}]\n\
                users: [{name: u, user: {token: hunter2}}]\n";
    std::fs::write(&file, format!("{text}clusters: [{{name: c, cluster: {{server: '{url}'}}}}]\n")).unwrap();
    let error = failure(json!({"kubeconfig": file})).await;
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    let file = file.display();
    assert_eq!(
        error.hint().unwrap(),
        format!(
            "renew the credentials of the user `u` in the kubeconfig file `{file}` (context `there`); \
             `KUBECONFIG='{file}' kubectl --context there get --raw /version` checks them"
        )
    );
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn silent_server_is_given_up_after_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = failure(json!({"server": format!("http://{}", silent.local_addr().unwrap())})).await;
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    assert!(error.message.contains("does not answer"), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.starts_with("check the address") && hint.contains("increase `timeout`"), "{hint}");
}

#[tokio::test]
async fn failing_credentials_plugin_is_reported_without_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let config = |command: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1'}}}}]\nusers: [{{name: u, user: {{exec: \
             {{apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, args: ['-c', '{command}'], interactiveMode: Never}}}}}}]\n"
        )
    };
    std::fs::write(&file, config("echo hunter2; exit 3")).unwrap();
    let error = failure(json!({"kubeconfig": file})).await;
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    assert!(
        error.message.contains("plugin of the kubeconfig file's user failed with exit status: 3")
            && !format!("{error:?}").contains("hunter2"),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("checks them"), "{error:?}");
}

#[tokio::test]
async fn process_outside_a_pod_has_no_service_account() {
    let error = failure(json!({"inCluster": true})).await;
    assert_eq!(error.kind, ErrorKind::NotConfigured, "{error:?}");
    assert!(error.message.contains("no service account") && error.hint().is_some(), "{error:?}");
}

#[tokio::test]
async fn wrong_certificate_authority_is_reported_with_its_setting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
    let error = failure(json!({"server": "https://127.0.0.1:1", "caFile": file})).await;
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute("caFile")) }, "{error:?}");
    assert!(error.message.starts_with("no client can be made: "), "{error:?}");
    let hint = "correct the setting `caFile`: name the PEM file of the cluster's certificate authority";
    assert_eq!(error.hint().as_deref(), Some(hint));
}

/// The URL of a server with one answer to everything.
fn answering(answer: &'static [u8]) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut connection in server.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer);
        }
    });
    format!("http://{address}")
}

/// A server whose lists have two pages. It forgets the second page so many times.
fn forgetting_pages(mut times: usize) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut connection in server.incoming().flatten() {
            let mut request = [0; 4096];
            let read = connection.read(&mut request).unwrap();
            let is_second = String::from_utf8_lossy(request.get(..read).unwrap()).contains("continue=second");
            let (status, body) = match is_second {
                true if times > 0 => {
                    times -= 1;
                    (410, json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}))
                }
                true => (200, json!({"metadata": {}, "items": [{"metadata": {"name": "b"}}]})),
                false => (200, json!({"metadata": {"continue": "second"}, "items": [{"metadata": {"name": "a"}}]})),
            };
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = connection.write_all((head + &body).as_bytes());
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn list_begins_again_if_the_server_forgets_a_page() {
    const JOBS: Resource = Resource { api_version: "batch/v1", plural: "jobs" };
    let names = async |times| {
        let settings = settings_with(&json!({}), &json!({"server": forgetting_pages(times)})).unwrap();
        let found = Client::open(&settings, "shop").unwrap().list(JOBS, &[]).await?;
        let names = found.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
        Ok::<Vec<String>, ClientError>(names.collect())
    };
    for times in [0, 1, 2] {
        assert_eq!(names(times).await.unwrap(), ["a", "b"], "no object is listed twice");
    }
    assert!(names(99).await.is_err());
}

/// A proxy without a cluster behind it: no object counts as gone.
#[tokio::test]
async fn server_answering_404_to_everything_is_refused() {
    let url = answering(b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 9\r\n\r\nnot found");
    let instance = instance(json!({"server": url})).await;
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}});
    let attributes = attributes(&json!({"manifest": manifest, "apiVersion": "v1", "group": "", "kind": "ConfigMap",
        "namespace": "shop", "name": "a", "uid": "1", "cluster": "2"}));
    let prior = Recorded {
        address: instance.address.to_owned(),
        identity: Attributes::default(),
        attributes: attributes.unwrap(),
        private: Private::default(),
    };
    let read = instance.read("kubernetes_object", &prior).await.unwrap_err();
    let deleted = instance.delete("kubernetes_object", &prior).await.unwrap_err();
    for error in [read, deleted] {
        assert!(error.message.contains("is not the API of a Kubernetes cluster"), "{error:?}");
        assert!(error.hint().unwrap().contains("proxy"), "{error:?}");
    }
}

#[tokio::test]
async fn malformed_answer_is_refused() {
    let url = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>");
    let error = failure(json!({"server": url})).await;
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    assert!(error.message.contains("not JSON"), "{error:?}");
    assert!(
        error.hint().unwrap().ends_with("another server answers there, such as a proxy or a login page"),
        "{error:?}"
    );
}
