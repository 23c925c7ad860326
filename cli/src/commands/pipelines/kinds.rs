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
    (ClusterKind::Helm, "any Kubernetes: another name of `kubernetes`"),
    (ClusterKind::Kubernetes, "any Kubernetes, by its kubeconfig"),
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
            ClusterKind::Local
            | ClusterKind::Kamatera
            | ClusterKind::Gcloud
            | ClusterKind::Helm
            | ClusterKind::Kubernetes => {
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

/// Programs that prepare a cluster of Kubernetes, each with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vendor {
    /// The vendor's program; `None` for a cluster that exists.
    pub(super) program: Option<(&'static str, &'static str)>,
}

/// The vendor of a kind of Kubernetes; `None` for kinds on this machine.
pub(super) const fn vendor(kind: ClusterKind) -> Option<Vendor> {
    let program = match kind {
        ClusterKind::Local | ClusterKind::Public => return None,
        ClusterKind::Minikube | ClusterKind::MinikubePublic => {
            Some(("minikube", "https://minikube.sigs.k8s.io/docs/start/"))
        }
        ClusterKind::Kamatera => Some(("cloudcli", "https://github.com/cloudwm/cloudcli")),
        ClusterKind::Gcloud => Some(("gcloud", "https://cloud.google.com/sdk/docs/install")),
        ClusterKind::Helm | ClusterKind::Kubernetes => None,
    };
    Some(Vendor { program })
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
