use serde_json::{Value as Json, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use terrace_provider::conformance::{Instance, settings_with};
use terrace_provider::wrap::Limits;
use terrace_provider::{Call, Planned, Recorded};
use terrace_provider_kubernetes::KubernetesProvider;

pub(crate) const OBJECT: &str = "kubernetes_object";

pub(crate) type Kubernetes = Instance<KubernetesProvider>;

#[expect(clippy::disallowed_methods, reason = "the script of the cluster sets the variables")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/real/kubernetes"))
}

/// The kubeconfig file of the administrator.
pub(crate) fn kubeconfig() -> String {
    variable("TERRACE_TEST_KUBECONFIG")
}

/// Runs the script of the cluster: `kill`, `start`, `kubectl`.
pub(crate) fn cluster(words: &[&str], input: &str) -> (bool, String) {
    let mut script = Command::new(variable("TERRACE_TEST_CLUSTER"));
    script.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut script = script.spawn().unwrap();
    script.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// Runs kubectl, which must succeed, and returns its output.
#[track_caller]
pub(crate) fn kubectl(words: &str) -> String {
    let words: Vec<&str> = std::iter::once("kubectl").chain(words.split_whitespace()).collect();
    let (is_done, output) = cluster(&words, "");
    assert!(is_done, "{words:?}: {output}");
    output.trim().to_owned()
}

/// Creates or replaces an object by hand, in the way of other clients.
#[track_caller]
pub(crate) fn kubectl_apply(manifest: &Json) {
    let (is_done, output) = cluster(&["kubectl", "apply", "-f", "-"], &manifest.to_string());
    assert!(is_done, "{output}");
}

/// A namespace of a test. It is deleted at the end of the test, without a wait.
pub(crate) struct Namespace(pub(crate) &'static str);

impl Namespace {
    #[track_caller]
    pub(crate) fn new(name: &'static str) -> Self {
        cluster(&["kubectl", "delete", "namespace", name, "--ignore-not-found", "--timeout=60s"], "");
        kubectl(&format!("create namespace {name}"));
        // Pods need it.
        for _ in 0..100 {
            if cluster(&["kubectl", "get", "serviceaccount", "default", "-n", name], "").0 {
                return Self(name);
            }
        }
        panic!("the namespace {name} has no service account");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        cluster(&["kubectl", "delete", "namespace", self.0, "--wait=false"], "");
    }
}

/// An instance of the administrator.
pub(crate) async fn instance() -> Kubernetes {
    instance_with(json!({})).await
}

/// An instance with further settings, without retries; null removes one.
pub(crate) async fn instance_with(more: Json) -> Kubernetes {
    let mut settings = settings_with(&json!({"kubeconfig": kubeconfig(), "timeout": 10}), &more).unwrap();
    settings.instance = "kubernetes".to_owned();
    let limits = Limits { retries: 0, ..Limits::default() };
    Instance::open(KubernetesProvider::new(), &settings, limits, "shop@test:kubernetes_object.a").await.unwrap()
}

pub(crate) fn config_map(namespace: &str, name: &str, data: Json) -> Json {
    json!({"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}})
}

/// A Deployment of a shell command.
pub(crate) fn deployment(namespace: &str, name: &str, replicas: Option<u64>, command: &str) -> Json {
    let mut manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "terrace.test/busybox:1", "command": ["sh", "-c", command],
                "resources": {"requests": {"cpu": "0.010", "memory": "4096Ki"}}}]}}},
    });
    if let Some(replicas) = replicas {
        manifest["spec"]["replicas"] = replicas.into();
    }
    json!({"manifest": manifest})
}

/// Creates an object within a time limit.
pub(crate) async fn create_within(
    instance: &Kubernetes,
    config: &Json,
    timeout: Duration,
) -> Result<Recorded, terrace_provider::ProviderError> {
    let plan = instance.plan(OBJECT, None, config).await?;
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let call = Call { timeout, ..instance.call() };
    let observed = instance.session.create(instance.resource_type(OBJECT)?, &call, &planned).await?;
    Ok(terrace_provider::conformance::recorded(instance.address, &planned.attributes, observed))
}
