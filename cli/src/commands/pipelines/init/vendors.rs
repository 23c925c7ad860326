//! Clusters that a vendor's program creates: minikube, and Kubernetes of Google Cloud and of Kamatera.

use super::super::dppctl_yaml::{FILE, Gcloud};
use super::super::kinds::{found, name, vendor};
use crate::args::ClusterKind;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::report::harmless;
use crate::signals::Signals;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use terrace_pipelines::deployment::program::{self, Call, ProblemKind};

/// Time limit of a vendor's command: a new cluster takes several minutes.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Time in which a program ends by itself after Ctrl-C: helm records that its release failed.
const GRACE: Duration = Duration::from_secs(10);
/// The configuration of a cluster of Kamatera, in the working directory.
const KAMATERA: &str = "kamatera.yaml";

/// A command of a vendor's program.
type Words = Vec<String>;

/// The commands for a cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Succeeds if the cluster exists and runs.
    check: Words,
    /// Text in the log of a failed check that proves that the cluster does not exist. A cluster costs money: another failure, such
    /// as that of an expired sign-in, creates none. Empty if the creation is free, and starts a cluster that exists.
    absent: &'static str,
    /// Creates or starts it.
    create: Words,
    /// Writes the context into the kubeconfig, if the program can.
    sign_in: Option<Words>,
}

fn words(text: &str) -> Words {
    text.split(' ').map(str::to_owned).collect()
}

/// The commands of a kind; `None` for a cluster that exists. `kamatera` is the name of the cluster in the configuration.
fn plan(kind: ClusterKind, gcloud: &Gcloud, kamatera: &str) -> Option<Plan> {
    match kind {
        // https://minikube.sigs.k8s.io/docs/commands/
        ClusterKind::Minikube | ClusterKind::MinikubePublic => Some(Plan {
            check: words("minikube status --profile minikube"),
            absent: "",
            create: words("minikube start --profile minikube"),
            sign_in: Some(words("minikube update-context --profile minikube")),
        }),
        // https://cloud.google.com/sdk/gcloud/reference/container/clusters
        ClusterKind::Gcloud => {
            let or =
                |value: &Option<String>, placeholder: &str| value.clone().unwrap_or_else(|| placeholder.to_owned());
            let (cluster, place) = (
                or(&gcloud.cluster, "CLUSTER"),
                format!("--project {} --zone {}", or(&gcloud.project, "PROJECT"), or(&gcloud.zone, "ZONE")),
            );
            let command = |verb: &str| words(&format!("gcloud container clusters {verb} {cluster} {place} --quiet"));
            Some(Plan {
                check: command("describe"),
                absent: "code=404",
                create: command("create"),
                sign_in: Some(command("get-credentials")),
            })
        }
        // https://github.com/Kamatera/cloudcli-server-kubernetes: `k8s` commands only start tasks, so that `k8s status` succeeds
        // without a cluster. Its first server has this name, and a suffix.
        ClusterKind::Kamatera => Some(Plan {
            check: words(&format!("cloudcli server info --name {kamatera}-controlplane-1-.*")),
            absent: "No servers found",
            create: words(&format!("cloudcli k8s create_cluster --kconfig {KAMATERA}")),
            sign_in: None,
        }),
        _ => None,
    }
}

/// The name of the cluster in a configuration of Kamatera. The program reads it within a regular expression.
fn cluster_of_kamatera(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Configuration {
        cluster: Described,
    }
    #[derive(Deserialize)]
    struct Described {
        name: String,
    }
    let name = serde_saphyr::from_str::<Configuration>(text).ok()?.cluster.name;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_name.then_some(name)
}

/// The commands that create or start the cluster; `None` for a cluster that exists. Without the vendor's program, prints
/// them.
///
/// # Errors
/// When the program or a name is missing, or no program can create the cluster.
pub(super) fn commands(context: &Context<'_>, kind: ClusterKind, gcloud: &Gcloud) -> Result<Option<Plan>, Failure> {
    let Some((program, source)) = vendor(kind).and_then(|vendor| vendor.program) else { return Ok(None) };
    let kind_name = name(kind);
    // The file holds keys: no message quotes it.
    let kamatera = files::text(Path::new(KAMATERA), files::HANDWRITTEN).ok();
    let kamatera = kamatera.and_then(|text| cluster_of_kamatera(&text));
    let Some(plan) = plan(kind, gcloud, kamatera.as_deref().unwrap_or("CLUSTER")) else { return Ok(None) };
    let needed = match kind {
        ClusterKind::Gcloud if gcloud.cluster.is_none() || gcloud.project.is_none() || gcloud.zone.is_none() => {
            Some(format!("write `gcloudProjectId`, `gcloudZone` and `gcloudClusterName` in `{FILE}`"))
        }
        ClusterKind::Kamatera if !Path::new(KAMATERA).is_file() => Some(format!(
            "write the configuration of the cluster to `{KAMATERA}`: \
             https://kamatera.github.io/kamateratoolbox/serverconfiggen_k8s.html generates it"
        )),
        ClusterKind::Kamatera if kamatera.is_none() => {
            Some(format!("set `cluster.name` in `{KAMATERA}`: letters, digits and `-`"))
        }
        _ => None,
    };
    let is_missing = !found(context.variables, program);
    if needed.is_none() && !is_missing {
        return Ok(Some(plan));
    }
    context.ui.print_note("these commands create the cluster:");
    for command in [Some(&plan.create), plan.sign_in.as_ref()].into_iter().flatten() {
        context.ui.print(&format!("{}\n", command.join(" ")))?;
    }
    let failure = Failure::new(format!("terrace cannot create a cluster `{kind_name}` yet"));
    let failure = if is_missing { missing(failure, program, source) } else { failure };
    Err(match needed {
        Some(hint) => failure.hint(hint),
        None => failure.hint(format!(
            "install the program and repeat `terrace pipelines init {kind_name}`; or run the commands, then `terrace \
             pipelines init kubernetes`"
        )),
    })
}

/// Has the vendor's program create or start the cluster, unless it runs, and sign in to it.
///
/// # Errors
/// When the program fails.
pub(super) async fn ensure(context: &Context<'_>, plan: &Plan, signals: &Signals) -> Result<(), Failure> {
    if let Err(log) = run(&plan.check, signals).await? {
        if !log.contains(plan.absent) {
            let create = plan.create.join(" ");
            return Err(failed(&plan.check, &log)
                .hint(format!("if the cluster does not exist, create it with `{create}`, which may cost money")));
        }
        context.ui.print_note(&format!("running `{}`, which takes some minutes", plan.create.join(" ")));
        succeed(&plan.create, signals).await?;
    }
    match &plan.sign_in {
        Some(sign_in) => succeed(sign_in, signals).await,
        None => Ok(()),
    }
}

impl Plan {
    /// True if the program adds the context of the cluster to the kubeconfig.
    pub(super) const fn adds_context(&self) -> bool {
        self.sign_in.is_some()
    }
}

fn missing(failure: Failure, program: &str, source: &str) -> Failure {
    failure.hint(format!("`{program}` is not installed: {source}"))
}

/// Runs a command; returns its log if it fails.
///
/// # Errors
/// When it cannot be run, or is interrupted.
pub(super) async fn run(words: &[String], signals: &Signals) -> Result<Result<(), String>, Failure> {
    let Some((name, arguments)) = words.split_first() else { return Ok(Ok(())) };
    let mut command = Command::new(name);
    command.args(arguments);
    let call = Call { limit: LONGEST, grace: GRACE, ..Call::default() };
    let ended = program::run_as(command, call, &signals.cancel).await.map_err(|problem| {
        let exit = if problem.kind == ProblemKind::Cancelled { Exit::Interrupted } else { Exit::Error };
        let failure = Failure { exit, ..Failure::new(problem.message) };
        failure.hint("`terrace pipelines init` continues")
    })?;
    Ok(if ended.status.success() { Ok(()) } else { Err(format!("{}:\n{}", ended.status, ended.log())) })
}

async fn succeed(words: &[String], signals: &Signals) -> Result<(), Failure> {
    run(words, signals).await?.map_err(|log| failed(words, &log))
}

/// The failure of a command.
pub(super) fn failed(words: &[String], log: &str) -> Failure {
    Failure::new(harmless(&format!("`{}` failed, {log}", words.join(" "))))
        .hint("remove the cause, then continue with `terrace pipelines init`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_described_cluster() {
        let gcloud = Gcloud {
            project: Some("my-project".to_owned()),
            zone: Some("europe-west1-b".to_owned()),
            cluster: Some("main".to_owned()),
            namespace: None,
        };
        let plan = plan(ClusterKind::Gcloud, &gcloud, "").unwrap();
        assert_eq!(
            plan.create.join(" "),
            "gcloud container clusters create main --project my-project --zone europe-west1-b --quiet"
        );
    }

    #[test]
    fn configuration_of_kamatera_names_its_cluster() {
        let keys = "ssh-key: {private: |-\n  x\n}";
        for (text, name) in [
            ("cluster: {name: etl-1, datacenter: EU}\nnode-pools: {workers: {nodes: 3}}\n", Some("etl-1")),
            (r#"{"cluster": {"name": "etl"}}"#, Some("etl")),
            ("cluster: {name: .*}\n", None),
            ("cluster: {name: --all}\n", None),
            ("cluster: {name: \"\"}\n", None),
            ("cluster: {datacenter: EU}\n", None),
            (keys, None),
        ] {
            assert_eq!(cluster_of_kamatera(text).as_deref(), name, "{text}");
        }
    }
}
