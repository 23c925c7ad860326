//! The kinds of clusters: how they are called, and what those need that are not of this machine.

use crate::args::ClusterKind;
use crate::variables::Variables;
use clap::ValueEnum;
use std::path::Path;

/// The kinds by name, for lists.
pub(crate) const KINDS: &[(ClusterKind, &str)] = &[
    (ClusterKind::Local, "workers on this machine, until they are destroyed"),
    (ClusterKind::Public, "workers that go after 1 hour: do not use for private data!"),
    (ClusterKind::Minikube, "Kubernetes on this machine, by minikube"),
    (ClusterKind::MinikubePublic, "Kubernetes on this machine, by minikube, which publishes data"),
    (ClusterKind::Kamatera, "Kubernetes of Kamatera"),
    (ClusterKind::Gcloud, "Kubernetes of Google Cloud"),
    (ClusterKind::Helm, "any Kubernetes, by Helm"),
];

/// How a kind is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// On the command line: `minikube-public`.
    pub(super) name: String,
    /// What a run uses.
    pub(super) using: String,
    /// Others may see what is in it.
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

/// What a cluster needs that is not made by terrace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vendor {
    /// The programs, and where they come from.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// The vendor's own commands that make a cluster and sign in to it.
    pub(super) commands: &'static [&'static str],
}

const KUBECTL: (&str, &str) = ("kubectl", "https://kubernetes.io/docs/tasks/tools/");

/// What a kind needs; nothing of those that run on this machine.
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

/// Where a program is, by the path that the shell looks through.
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
    fn every_kind_is_listed_under_the_name_that_the_command_line_takes() {
        let listed: Vec<ClusterKind> = KINDS.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(listed, ClusterKind::value_variants());
        for kind in listed {
            assert_eq!(of_name(&name(kind)), Some(kind));
        }
    }

    #[test]
    fn a_program_is_found_where_the_shell_would_find_it() {
        let variables = |path: &str| -> Variables { [("PATH", path)].into_iter().collect() };
        assert!(found(&variables("/nowhere:/bin:/usr/bin"), "sh"));
        assert!(!found(&variables("/nowhere:/etc"), "passwd"), "a file is no program");
        assert!(!found(&variables(""), "sh"));
    }
}
