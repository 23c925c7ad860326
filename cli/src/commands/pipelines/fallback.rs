//! Refuses the public cluster for pipelines that need their own one: `.dppctl.yaml` names a cluster, a `Dockerfile`
//! describes an image. terrace cannot create such clusters yet.

use super::kinds::{of_name, vendor};
use crate::args::ClusterKind;
use crate::failure::Failure;
use crate::files;
use std::path::Path;
use terrace_engine::source::Sources;
use terrace_engine::yaml::{self, Budget};
use terrace_pipelines::queue::cluster::Cluster;

/// The file that describes the cluster of a project.
const DESCRIPTION: &str = ".dppctl.yaml";
/// Its field for the kind of the cluster.
const KIND: &str = "clusterProvider";
/// The file that describes the image of a project.
const IMAGE: &str = "Dockerfile";

/// True for a cluster that terrace chose by default, without `init`.
pub(super) fn is_fallback(cluster: &Cluster) -> bool {
    of_name(&cluster.kind) == Some(ClusterKind::Public) && !cluster.is_ready
}

/// Refuses the public cluster for a folder that requires another cluster or an image.
///
/// # Errors
/// When the folder requires one.
pub(super) fn check(folders: &[&Path]) -> Result<(), Failure> {
    let refused = |what: String| {
        Failure::new(format!("{what}: the public cluster cannot replace it"))
            .hint("start workers on this machine with `terrace pipelines init local`")
            .hint("for public data, choose the public cluster with `terrace pipelines init public`")
    };
    for folder in folders {
        let path = folder.join(DESCRIPTION);
        if path.is_file() {
            match kind_in(&path) {
                Some(kind) if of_name(&kind).is_some_and(|kind| vendor(kind).is_none()) => continue,
                Some(kind) => {
                    return Err(refused(format!(
                        "`{DESCRIPTION}` requires the cluster `{kind}`, which terrace does not support yet"
                    )));
                }
                None => {
                    return Err(refused(format!("`{DESCRIPTION}` describes a cluster without a readable `{KIND}`")));
                }
            }
        }
        if folder.join(IMAGE).is_file() {
            return Err(refused(format!("the `{IMAGE}` describes an image, which no cluster here can build yet")));
        }
    }
    Ok(())
}

/// The kind of cluster in a description.
fn kind_in(path: &Path) -> Option<String> {
    let text = files::descriptor_or_plan(path).ok()?;
    let id = Sources::default().add(path.display().to_string(), text.as_str());
    let node = yaml::parse(id, &text, &Budget::default()).ok()?;
    Some(node.entry(KIND)?.value.as_text()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_cluster_is_refused_if_folder_requires_another() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            let refusal = check(&[folder.path()]).err().and_then(|failure| failure.message);
            std::fs::remove_file(folder.path().join(name)).unwrap();
            refusal
        };
        assert!(check(&[folder.path()]).is_ok());
        for (name, text, words) in [
            (DESCRIPTION, "clusterProvider: gcloud\ngcloudProjectId: x\n", "the cluster `gcloud`"),
            (DESCRIPTION, "clusterProvider: mine\n", "the cluster `mine`"),
            (DESCRIPTION, "gcloudProjectId: x\n", "without a readable `clusterProvider`"),
            (DESCRIPTION, "clusterProvider: [\n", "without a readable `clusterProvider`"),
            (IMAGE, "FROM python:3.11\n", "the `Dockerfile` describes an image"),
        ] {
            assert!(
                refusal(name, text).is_some_and(|refusal| refusal.contains(words)),
                "{text}: {:?}",
                refusal(name, text)
            );
        }
        for kind in ["public", "local"] {
            assert_eq!(refusal(DESCRIPTION, &format!("clusterProvider: {kind}\n")), None);
        }
    }
}
