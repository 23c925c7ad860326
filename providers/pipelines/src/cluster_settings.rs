//! Settings of the executor `kubernetes`.

use std::sync::Arc;
use terrace_pipelines::executor::kubernetes::{ClusterOptions, KubernetesExecutor};
use terrace_pipelines::executor::{Executor, local::LocalExecutor};
use terrace_provider::names::closest;
use terrace_provider::{Attribute, AttributeType, Path, ProviderError, Settings, Value};

/// Values of `executor`.
const EXECUTORS: [&str; 2] = ["local", "kubernetes"];
/// Settings that lead to a cluster, with the names that the provider `kubernetes` has.
const ACCESS: [&str; 3] = ["kubeconfig", "context", "inCluster"];
/// Namespace without a setting.
const NAMESPACE: &str = "default";

/// The settings.
pub(crate) fn attributes() -> Vec<Attribute> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    vec![
        text("image", "Image of the pods with its digest: `registry.example.com/pipelines@sha256:…`."),
        text("namespace", "Namespace of the Jobs.").default_value(NAMESPACE),
        text("cpu", "CPU that each pod gets: `500m`. Default: that of the namespace."),
        text("memory", "Memory that each pod gets: `1Gi`. Default: that of the namespace."),
        text("kubeconfig", "File with clusters, users and contexts, relative to the project folder.")
            .variable("KUBECONFIG"),
        text("context", "Context of the file. Default: its current context."),
        Attribute::new("inCluster", AttributeType::Bool, "Use the service account of the pod that terrace runs in."),
    ]
}

/// The executor of an instance. Connects to no cluster.
///
/// # Errors
/// When a setting is missing, or cannot work.
pub(crate) fn executor(settings: &Settings) -> Result<Arc<dyn Executor>, ProviderError> {
    let text = |name: &str| settings.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let at = |name: &str| Some(Path::attribute(name));
    match text("executor").unwrap_or("local") {
        "local" => return Ok(Arc::new(LocalExecutor)),
        "kubernetes" => {}
        other => {
            let message = format!("`executor` is `{other}`: expected `local` or `kubernetes`");
            let error = ProviderError::invalid(at("executor"), message);
            return Err(match closest(other, EXECUTORS) {
                Some(meant) => error.solution(format!("did you mean `{meant}`?")),
                None => error,
            });
        }
    }
    let missing = |name: &str, message: &str| ProviderError::invalid(at(name), message);
    let image = text("image").ok_or_else(|| {
        missing("image", "the executor `kubernetes` needs `image`")
            .solution("build one with `deploy/pipelines-image`, and write `image: REGISTRY/NAME@sha256:DIGEST`")
    })?;
    if !image.split_once("@sha256:").is_some_and(|(name, digest)| {
        !name.is_empty() && digest.len() == 64 && digest.chars().all(|digit| digit.is_ascii_hexdigit())
    }) {
        let message = format!("`image` is `{image}`, without a digest: a tag may later name another image");
        return Err(missing("image", &message).solution(
            "write `image: REGISTRY/NAME@sha256:DIGEST`; `buildah push --digestfile FILE` writes the digest",
        ));
    }
    let access = settings.values.iter().filter(|(name, _)| ACCESS.contains(&name.as_str()));
    let access = access.map(|(name, value)| (name.clone(), value.clone())).collect();
    let access = Settings { values: access, ..settings.clone() };
    let options = ClusterOptions {
        image: image.to_owned(),
        cpu: text("cpu").map(str::to_owned),
        memory: text("memory").map(str::to_owned),
    };
    Ok(Arc::new(KubernetesExecutor::open(&access, text("namespace").unwrap_or(NAMESPACE), options)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::Sandbox;

    fn with(values: &[(&str, &str)]) -> Result<Arc<dyn Executor>, ProviderError> {
        executor(&Settings {
            instance: "pipelines".to_owned(),
            environment: "local".to_owned(),
            project_folder: "/project".into(),
            sandbox: Sandbox::default(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
        })
    }

    #[track_caller]
    fn refused(values: &[(&str, &str)], message: &str, hint: &str) {
        let error = with(values).err().expect("the settings are accepted");
        assert!(error.message.contains(message) && error.hint().unwrap().contains(hint), "{error:?}");
    }

    #[test]
    fn image_without_a_digest_is_refused() {
        refused(&[("executor", "kubernets")], "expected `local` or `kubernetes`", "did you mean `kubernetes`?");
        refused(&[("executor", "kubernetes")], "needs `image`", "deploy/pipelines-image");
        for image in ["r/pipelines:1", "r/pipelines@sha256:00", "@sha256:"] {
            refused(&[("executor", "kubernetes"), ("image", image)], "without a digest", "@sha256:DIGEST");
        }
        let image = format!("r/pipelines@sha256:{}", "0a".repeat(32));
        let executor = with(&[("executor", "kubernetes"), ("image", &image), ("caFile", "ca.pem")]).unwrap();
        assert!(executor.environments().is_some());
        assert!(with(&[]).unwrap().environments().is_none());
    }
}
