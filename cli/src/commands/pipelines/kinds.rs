//! The kinds of clusters: their names, and the prerequisites of kinds on other machines.

use crate::args::ClusterKind;
use crate::variables::Variables;
use clap::ValueEnum;
use std::path::Path;

/// The kinds with descriptions, for lists.
pub(crate) const KINDS: &[(ClusterKind, &str)] = &[
    (ClusterKind::Local, "workers on this machine, until they are destroyed"),
    (ClusterKind::Public, "workers that stop after 1 hour: do not use for private data!"),
    (ClusterKind::Minikube, "Kubernetes on this machine, by minikube"),
    (ClusterKind::MinikubePublic, "Kubernetes on this machine, by minikube, which publishes data"),
    (ClusterKind::Kamatera, "Kubernetes of Kamatera"),
    (ClusterKind::Gcloud, "Kubernetes of Google Cloud"),
    (ClusterKind::Helm, "any Kubernetes, by Helm"),
];

/// Names of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// On the command line: `minikube-public`.
    pub(super) name: String,
    /// In the line about a run.
    pub(super) using: String,
    /// True if others can see its content.
    pub(super) is_public: bool,
}

impl Words {
    pub(super) fn of(kind: ClusterKind) -> Self {
        let name = name(kind);
        let using = match kind {
            ClusterKind::Public => "the public dppctl cluster".to_owned(),
            ClusterKind::Minikube => "local minikube cluster".to_owned(),
            ClusterKind::MinikubePublic => "local minikube cluster with public publishing".to_owned(),
            ClusterKind::Local | ClusterKind::Kamatera | ClusterKind::Gcloud | ClusterKind::Helm => {
                format!("{name} private cluster")
            }
        };
        Self { name, using, is_public: matches!(kind, ClusterKind::Public | ClusterKind::MinikubePublic) }
    }
}

/// The name of a kind on the command line.
pub(super) fn name(kind: ClusterKind) -> String {
    kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The kind of that name.
pub(super) fn of_name(name: &str) -> Option<ClusterKind> {
    ClusterKind::from_str(name, false).ok()
}

/// Prerequisites of a cluster that terrace does not create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vendor {
    /// Programs, and their sources.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// The vendor's own commands that create a cluster and sign in to it.
    pub(super) commands: &'static [&'static str],
}

const KUBECTL: (&str, &str) = ("kubectl", "https://kubernetes.io/docs/tasks/tools/");

/// The prerequisites of a kind; `None` for kinds on this machine.
pub(super) const fn vendor(kind: ClusterKind) -> Option<Vendor> {
    Some(match kind {
        ClusterKind::Local | ClusterKind::Public => return None,
        ClusterKind::Minikube | ClusterKind::MinikubePublic => Vendor {
            programs: &[("minikube", "https://minikube.sigs.k8s.io/docs/start/"), KUBECTL],
            commands: &["minikube start", "minikube status", "kubectl config use-context minikube"],
        },
        ClusterKind::Kamatera => Vendor {
            programs: &[("cloudcli", "https://github.com/cloudwm/cloudcli"), KUBECTL],
            commands: &["cloudcli init", "cloudcli server create --help", "kubectl config get-contexts"],
        },
        ClusterKind::Gcloud => Vendor {
            programs: &[("gcloud", "https://cloud.google.com/sdk/docs/install"), KUBECTL],
            commands: &[
                "gcloud auth login",
                "gcloud container clusters create CLUSTER --project PROJECT --zone ZONE",
                "gcloud container clusters get-credentials CLUSTER --project PROJECT --zone ZONE",
            ],
        },
        ClusterKind::Helm => Vendor {
            programs: &[("helm", "https://helm.sh/docs/intro/install/"), KUBECTL],
            commands: &["kubectl config get-contexts", "kubectl config use-context CONTEXT", "helm version"],
        },
    })
}

/// True if a program is in the shell's path.
pub(super) fn found(variables: &Variables, program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |folder: &Path| {
        folder.join(program).metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    variables.get("PATH").is_some_and(|path| std::env::split_paths(path).any(|folder| is_program(&folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_by_their_command_line_names() {
        let listed: Vec<ClusterKind> = KINDS.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(listed, ClusterKind::value_variants());
        for kind in listed {
            assert_eq!(of_name(&name(kind)), Some(kind));
        }
    }

    #[test]
    fn program_is_found_in_the_shell_path() {
        let variables = |path: &str| -> Variables { [("PATH", path)].into_iter().collect() };
        assert!(found(&variables("/nowhere:/bin:/usr/bin"), "sh"));
        assert!(!found(&variables("/nowhere:/etc"), "passwd"), "a plain file is not a program");
        assert!(!found(&variables(""), "sh"));
    }
}
