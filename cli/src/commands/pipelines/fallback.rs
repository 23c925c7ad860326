//! The cluster that a folder requires: `.dppctl.yaml` names it, and runs go to no other one. A `Dockerfile` describes an
//! image, which the public cluster cannot run.

use super::dppctl_yaml::{DppctlYaml, FILE};
use super::kinds::{name, of_name, vendor};
use super::project::instance_and_runner;
use crate::args::ClusterKind;
use crate::context::Context;
use crate::failure::Failure;
use std::path::Path;
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::run::Runner;
use terrace_provider::{Settings, Value};

/// The file that describes the image of a project.
const IMAGE: &str = "Dockerfile";

/// True for a cluster that terrace chose by default, without `init`.
pub(super) fn is_fallback(cluster: &Cluster) -> bool {
    of_name(&cluster.kind) == Some(ClusterKind::Public) && !cluster.is_ready
}

/// `.dppctl.yaml` of the working directory, or of the project.
///
/// # Errors
/// When it is invalid, which is reported.
pub(super) fn requirement(context: &Context<'_>, runner: &Runner) -> Result<Option<DppctlYaml>, Failure> {
    let found = DppctlYaml::find(context, &[Path::new("."), runner.project.as_path()])?;
    Ok(found.map(|(_, file)| file))
}

/// Refuses the public cluster for a folder that requires another cluster or an image.
///
/// # Errors
/// When the folder requires one.
pub(super) fn check(required: Option<&DppctlYaml>, folders: &[&Path]) -> Result<(), Failure> {
    let refused = |what: String| Failure::new(format!("{what}: the public cluster cannot replace it"));
    match required.and_then(|file| file.cluster) {
        Some(ClusterKind::Public) => return Ok(()),
        Some(kind) => {
            let kind = name(kind);
            return Err(refused(format!("`{FILE}` requires the cluster `{kind}`"))
                .hint(format!("create it with `terrace pipelines init {kind}`")));
        }
        None => {}
    }
    match folders.iter().any(|folder| folder.join(IMAGE).is_file()) {
        true => Err(refused(format!("the `{IMAGE}` describes an image"))
            .hint("for a Kubernetes cluster, write its settings with `imageRepository`, and build the image with `terrace pipelines image`")
            .hint("start workers on this machine with `terrace pipelines init local`")
            .hint("for public data, choose the public cluster with `terrace pipelines init public`")),
        false => Ok(()),
    }
}

/// Refuses pipelines of the working directory's environment outside the cluster that `.dppctl.yaml` of a folder names.
///
/// # Errors
/// When the settings lead elsewhere, or are invalid.
pub(in crate::commands) fn check_cluster_of(context: &Context<'_>, folder: &Path) -> Result<(), Failure> {
    let required = DppctlYaml::find(context, &[folder])?.map(|(_, file)| file);
    let (instance, runner) = instance_and_runner(context)?;
    check_run(required.as_ref(), &instance, &runner, None)
}

/// Refuses a run outside the cluster that `.dppctl.yaml` names. `active` is the active cluster of this machine.
///
/// # Errors
/// When the settings lead elsewhere.
pub(super) fn check_run(
    required: Option<&DppctlYaml>,
    instance: &Settings,
    runner: &Runner,
    active: Option<&Cluster>,
) -> Result<(), Failure> {
    let Some((file, kind)) = required.and_then(|file| Some((file, file.cluster?))) else { return Ok(()) };
    let shown = name(kind);
    let requires = format!("`{FILE}` requires the cluster `{shown}`");
    let is_kubernetes = runner.executor.environments().is_some();
    let other = |active: &Cluster| {
        Err(Failure::new(format!("{requires}, and the active cluster is `{}`", active.kind))
            .hint(format!("switch to it with `terrace pipelines init {shown}`")))
    };
    match vendor(kind) {
        None if is_kubernetes => {
            Err(Failure::new(format!("{requires}, and `executor` of the provider `pipelines` is `kubernetes`"))
                .hint(format!("write `clusterProvider: kubernetes` in `{FILE}`, or `executor: local` in terrace.yaml")))
        }
        None => active.filter(|active| active.kind != shown).map_or(Ok(()), other),
        Some(_) if !is_kubernetes => {
            Err(Failure::new(format!("{requires}, and the provider `pipelines` runs pipelines on this machine"))
                .hint(format!("`terrace pipelines init {shown}` prints the settings for terrace.yaml")))
        }
        Some(_) => {
            let setting = |name: &str| instance.values.get(name).and_then(Value::as_str);
            let wanted = [("context", context_of(kind, file)), ("namespace", file.gcloud.namespace.clone())];
            for (name, wanted) in wanted {
                let Some(wanted) = wanted.filter(|wanted| setting(name) != Some(wanted)) else { continue };
                let found = setting(name).map_or_else(|| "is not set".to_owned(), |found| format!("is `{found}`"));
                return Err(Failure::new(format!("{requires}, and `{name}` of the provider `pipelines` {found}"))
                    .hint(format!("write `{name}: {wanted}` in terrace.yaml")));
            }
            // Workers of this machine have settings of their own.
            active.filter(|active| active.is_here() && active.workers > 0).map_or(Ok(()), other)
        }
    }
}

/// The context that the vendor's program writes into the file of clusters.
pub(super) fn context_of(kind: ClusterKind, file: &DppctlYaml) -> Option<String> {
    match kind {
        ClusterKind::Minikube | ClusterKind::MinikubePublic => Some("minikube".to_owned()),
        // https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl
        ClusterKind::Gcloud => {
            let gcloud = &file.gcloud;
            let parts = [gcloud.project.as_deref()?, gcloud.zone.as_deref()?, gcloud.cluster.as_deref()?];
            Some(format!("gke_{}", parts.join("_")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::pipelines::dppctl_yaml::Gcloud;

    #[test]
    fn public_cluster_is_refused_if_folder_requires_another() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |cluster: Option<ClusterKind>| {
            let file = cluster.map(|_| DppctlYaml { cluster, ..DppctlYaml::default() });
            check(file.as_ref(), &[folder.path()]).err().and_then(|failure| failure.message)
        };
        assert_eq!(refusal(None), None);
        assert_eq!(refusal(Some(ClusterKind::Public)), None);
        for kind in [ClusterKind::Local, ClusterKind::Gcloud] {
            let words = format!("requires the cluster `{}`", name(kind));
            assert!(refusal(Some(kind)).is_some_and(|refusal| refusal.contains(&words)));
        }
        std::fs::write(folder.path().join(IMAGE), "FROM python:3.11\n").unwrap();
        assert!(refusal(None).is_some_and(|refusal| refusal.contains("describes an image")));
    }

    #[test]
    fn vendors_name_their_contexts() {
        let gcloud = Gcloud {
            project: Some("my-project".to_owned()),
            zone: Some("europe-west1-b".to_owned()),
            cluster: Some("main".to_owned()),
            namespace: None,
        };
        let file = DppctlYaml { gcloud, ..DppctlYaml::default() };
        assert_eq!(context_of(ClusterKind::Gcloud, &file).as_deref(), Some("gke_my-project_europe-west1-b_main"));
        assert_eq!(context_of(ClusterKind::Gcloud, &DppctlYaml::default()), None);
        assert_eq!(context_of(ClusterKind::Helm, &file), None);
    }
}
