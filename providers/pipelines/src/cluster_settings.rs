//! Settings of the executor `kubernetes`.

use std::sync::Arc;
use terrace_pipelines::database::kubernetes::ClusterDatabases;
use terrace_pipelines::deployment::build::is_repository;
use terrace_pipelines::doctor;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions, ExecutorKind, WrongOption};
use terrace_pipelines::executor::Executor;
use terrace_pipelines::executor::kubernetes::KubernetesExecutor;
use terrace_pipelines::executor::kubernetes::object_name::check_namespace;
use terrace_pipelines::folder_image::FolderImage;
use terrace_pipelines::site::kubernetes::ClusterSites;
use terrace_pipelines::storage::kubernetes::ClusterCopies;
use terrace_provider::{Attribute, AttributeType, Attributes, Path, ProviderError, Settings, Value};

/// Settings that lead to a cluster, with the names that the provider `kubernetes` has.
const ACCESS: [&str; 3] = ["kubeconfig", "context", "inCluster"];
/// The setting with the repository for the image of the project's `Dockerfile`.
const IMAGE_REPOSITORY: &str = "imageRepository";
/// The setting with the image of database servers.
const DATABASE_IMAGE: &str = "databaseImage";
/// The setting that makes the image an input of pipelines.
pub(crate) const IMAGE_HAS_CODE: &str = "imageHasCode";
/// Namespace without a setting.
const NAMESPACE: &str = "default";

/// The settings.
pub(crate) fn attributes() -> Vec<Attribute> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    vec![
        text("image", "Image of the pods with its digest: `registry.example.com/pipelines@sha256:…`."),
        Attribute::new(
            IMAGE_HAS_CODE,
            AttributeType::Bool,
            "The image has code of the pipelines: another image runs them again.",
        )
        .default_value(false),
        text(
            IMAGE_REPOSITORY,
            "Repository for the image of the project's `Dockerfile`, which `terrace pipelines image` builds: `registry.example.com/orders`. Runs use that image if `image` is not set.",
        ),
        text("namespace", "Namespace of the Jobs.").default_value(NAMESPACE),
        text("cpu", "CPU that each pod gets: `500m`. Default: that of the namespace."),
        text("memory", "Memory that each pod gets: `1Gi`. Default: that of the namespace.").example("512Mi"),
        text("disk", "Disk that each pod gets for its files: `10Gi`. Default: that of the namespace.").example("10Gi"),
        text(
            "claim",
            "PersistentVolumeClaim that keeps results, or a folder in it: `results/shop`. Without it, they are copied to this machine.",
        ),
        text(
            DATABASE_IMAGE,
            "Image of database servers with its digest: `docker.io/library/postgres@sha256:…`. Needed for databases in the cluster.",
        ),
        text("kubeconfig", "File with clusters, users and contexts, relative to the project folder.")
            .variable("KUBECONFIG"),
        text("context", "Context of the file. Default: its current context."),
        Attribute::new("inCluster", AttributeType::Bool, "Use the service account of the pod that terrace runs in."),
    ]
}

/// Options of pipelines that set none.
///
/// # Errors
/// When an option cannot work, or pods have no image.
pub(crate) fn execution(settings: &Settings) -> Result<ExecutionOptions, ProviderError> {
    let options = options_of_existing_runs(settings)?;
    // Runs report an image of the project that cannot be used.
    if options.executor() == Some(ExecutorKind::Kubernetes) && folder_image(settings)?.is_none() {
        options.check_image().map_err(invalid)?;
    }
    Ok(options)
}

/// As [`execution`], for runs that exist: they need no image.
///
/// # Errors
/// When an option cannot work.
pub(crate) fn options_of_existing_runs(settings: &Settings) -> Result<ExecutionOptions, ProviderError> {
    let mut options = options_in(&settings.values);
    options.check().map_err(invalid)?;
    check_namespace(access(settings).1).map_err(|(message, hint)| {
        ProviderError::invalid(Some(Path::attribute("namespace")), message).solution(hint)
    })?;
    if let Some(Ok(image)) = folder_image(settings)? {
        options.set(ExecutionOption::Image, image);
    }
    Ok(options)
}

/// True for a setting that leads to the cluster, or names the namespace.
pub(crate) fn names_a_place(setting: &str) -> bool {
    setting == "namespace" || ACCESS.contains(&setting)
}

/// Repository for the image of the project's `Dockerfile`.
///
/// # Errors
/// When its value is not the name of a repository.
pub fn image_repository(settings: &Settings) -> Result<Option<&str>, ProviderError> {
    let repository = settings.values.get(IMAGE_REPOSITORY).and_then(Value::as_str).filter(|text| !text.is_empty());
    match repository.filter(|repository| !is_repository(repository)) {
        Some(wrong) => Err(ProviderError::invalid(
            Some(Path::attribute(IMAGE_REPOSITORY)),
            format!(
                "`{IMAGE_REPOSITORY}` is `{wrong}`: expected a repository with its registry, in small letters, without tag and digest"
            ),
        )
        .solution(format!("write `{IMAGE_REPOSITORY}: registry.example.com/orders`"))),
        None => Ok(repository),
    }
}

/// The image of the project's `Dockerfile`, or why it cannot be used; nothing if a setting names an image, or no repository.
///
/// # Errors
/// When the setting is not the name of a repository.
pub(crate) fn folder_image(settings: &Settings) -> Result<Option<Result<String, WrongOption>>, ProviderError> {
    let has_image = settings.values.get("image").and_then(Value::as_str).is_some_and(|image| !image.is_empty());
    let Some(repository) = image_repository(settings)?.filter(|_| !has_image) else { return Ok(None) };
    let project = crate::settings::project(settings);
    let message = match FolderImage::read(&project, &crate::settings::records(settings), repository) {
        Ok(FolderImage::Built(image)) => return Ok(Some(Ok(image))),
        Ok(FolderImage::NotDescribed) => format!("`{}` has no `Dockerfile`", project.display()),
        Ok(FolderImage::NotBuilt) => format!("the image of the `Dockerfile` is not built for `{repository}`"),
        Ok(FolderImage::Changed) => "the `Dockerfile` changed since its image was built".to_owned(),
        Err(error) => format!("the image of the `Dockerfile` is not known: {error}"),
    };
    let hint =
        "write a `Dockerfile`, build it with `terrace pipelines image`, or set `image: REGISTRY/NAME@sha256:DIGEST`";
    Ok(Some(Err(WrongOption { message, hint: Some(hint.to_owned()) })))
}

/// Options in settings or attributes, without unknown values.
pub(crate) fn options_in(values: &Attributes) -> ExecutionOptions {
    let mut options = ExecutionOptions::default();
    for option in ExecutionOption::ALL {
        if let Some(text) = values.get(option.name()).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            options.set(option, text);
        }
    }
    options
}

/// Options of pods that are not runs. Runs report a missing image.
pub(crate) fn options_or_none(settings: &Settings) -> ExecutionOptions {
    execution(settings).unwrap_or_else(|_| options_in(&settings.values))
}

/// The error of a wrong setting or attribute.
pub(crate) fn invalid((option, wrong): (ExecutionOption, WrongOption)) -> ProviderError {
    let error = ProviderError::invalid(Some(Path::attribute(option.name())), wrong.message);
    wrong.hint.into_iter().fold(error, ProviderError::solution)
}

/// The executor `kubernetes` with these options. Connects to no cluster.
///
/// # Errors
/// When a setting cannot work.
pub(crate) fn executor(settings: &Settings, options: ExecutionOptions) -> Result<Arc<dyn Executor>, ProviderError> {
    let (access, namespace) = access(settings);
    Ok(Arc::new(KubernetesExecutor::open(&access, namespace, options)?))
}

/// The settings that lead to a cluster, and the namespace.
fn access(settings: &Settings) -> (Settings, &str) {
    let access = settings.values.iter().filter(|(name, _)| ACCESS.contains(&name.as_str()));
    let access = access.map(|(name, value)| (name.clone(), value.clone())).collect();
    let namespace = settings.values.get("namespace").and_then(Value::as_str).filter(|text| !text.is_empty());
    (Settings { values: access, ..settings.clone() }, namespace.unwrap_or(NAMESPACE))
}

/// Checks that the settings lead to a cluster. Opens files, and sends nothing.
///
/// # Errors
/// When they do not.
pub async fn check_access(settings: &Settings) -> Result<(), ProviderError> {
    let (access, namespace) = access(settings);
    doctor::check_access(&access, namespace).await
}

/// Checks that the cluster of the settings answers.
///
/// # Errors
/// When it does not, or the settings do not lead to a cluster.
pub(crate) async fn probe(settings: &Settings) -> Result<(), ProviderError> {
    let (access, namespace) = access(settings);
    doctor::probe_cluster(&access, namespace).await
}

/// Image of database servers.
#[must_use]
pub fn database_image(settings: &Settings) -> Option<&str> {
    settings.values.get(DATABASE_IMAGE).and_then(Value::as_str).filter(|image| !image.is_empty())
}

/// Checks the image of database servers, by the rules of the image of runs.
///
/// # Errors
/// When it has no digest.
pub(crate) fn check_database_image(settings: &Settings) -> Result<(), ProviderError> {
    let Some(image) = database_image(settings) else { return Ok(()) };
    ExecutionOption::Image.check(image).map_err(|wrong| {
        let message = wrong.message.replacen("`image`", "`databaseImage`", 1);
        let hint = wrong.hint.map(|hint| hint.replacen("`image:", "`databaseImage:", 1));
        let error = ProviderError::invalid(Some(Path::attribute(DATABASE_IMAGE)), message);
        hint.into_iter().fold(error, ProviderError::solution)
    })
}

/// The databases of the cluster. Connects to no cluster.
///
/// # Errors
/// When a setting cannot work.
pub(crate) fn databases(settings: &Settings) -> Result<Arc<ClusterDatabases>, ProviderError> {
    check_database_image(settings)?;
    let (access, namespace) = access(settings);
    let image = database_image(settings).map(str::to_owned);
    Ok(Arc::new(ClusterDatabases::open(&access, namespace, image)?))
}

/// The sites of the cluster. Connects to no cluster.
///
/// # Errors
/// When a setting cannot work.
pub(crate) fn sites(settings: &Settings) -> Result<Arc<ClusterSites>, ProviderError> {
    let (access, namespace) = access(settings);
    Ok(Arc::new(ClusterSites::open(&access, namespace)?))
}

/// Copies from claims of the cluster. Connects to no cluster.
///
/// # Errors
/// When a setting cannot work.
pub(crate) fn copies(settings: &Settings) -> Result<Arc<ClusterCopies>, ProviderError> {
    let (access, namespace) = access(settings);
    Ok(Arc::new(ClusterCopies::open(&access, namespace, options_or_none(settings))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::Sandbox;

    #[track_caller]
    fn refused(values: &[(&str, &str)], message: &str, hint: &str) {
        let error = execution(&Settings {
            instance: "pipelines".to_owned(),
            environment: "local".to_owned(),
            project_folder: "/project".into(),
            sandbox: Sandbox::default(),
            sources: Default::default(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
        })
        .expect_err("the settings are accepted");
        assert!(error.message.contains(message) && error.hint().unwrap().contains(hint), "{error:?}");
    }

    #[test]
    fn wrong_options_are_refused() {
        refused(&[("executor", "kubernets")], "expected `local` or `kubernetes`", "did you mean `kubernetes`?");
        refused(&[("executor", "kubernetes")], "needs `image`", "`terrace pipelines image`");
        refused(&[("image", "r/pipelines:1")], "without a digest", "@sha256:DIGEST");
        refused(&[("cpu", "1Gi")], "`cpu` is `1Gi`", "`500m`");
        refused(&[("memory", "2 GB")], "`memory` is `2 GB`", "write `2Gi` or `2G`");
        for namespace in ["Shop", "-shop", "shop_1", "a.b", "ä", &"a".repeat(64)] {
            refused(&[("namespace", namespace)], "cannot be the name of a namespace", "at most 63 small letters");
        }
    }
}
