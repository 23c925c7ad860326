//! Folders whose pipelines need a cluster of their own: `.dppctl.yaml` names one, a `Dockerfile` describes an image. Until
//! terrace has such clusters, the public one does not take these pipelines in its place.

use super::kinds::{of_name, vendor};
use crate::args::ClusterKind;
use crate::failure::Failure;
use crate::files;
use std::path::Path;
use terrace_engine::source::Sources;
use terrace_engine::yaml::{self, Budget};
use terrace_provider_pipelines::queue::cluster::Cluster;

/// The file that describes the cluster of a project.
const DESCRIPTION: &str = ".dppctl.yaml";
/// Its field for the kind of the cluster.
const KIND: &str = "clusterProvider";
/// The file that describes the image of a project.
const IMAGE: &str = "Dockerfile";

/// True for a cluster that pipelines fell back to: no `init` chose it.
pub(super) fn is_fallback(cluster: &Cluster) -> bool {
    of_name(&cluster.kind) == Some(ClusterKind::Public) && !cluster.is_ready
}

/// Refuses the public cluster for a folder that asks for another cluster, or for an image.
///
/// # Errors
/// When it does.
pub(super) fn check(folders: &[&Path]) -> Result<(), Failure> {
    let program = crate::dppctl::program();
    let refused = |what: String| {
        Failure::new(format!("{what}: the public cluster does not run these pipelines in its place"))
            .hint(format!("`{program} init local` starts workers on this machine"))
            .hint(format!("for public data, `{program} init public` chooses the public cluster"))
    };
    for folder in folders {
        let path = folder.join(DESCRIPTION);
        if path.is_file() {
            match kind_in(&path) {
                Some(kind) if of_name(&kind).is_some_and(|kind| vendor(kind).is_none()) => continue,
                Some(kind) => {
                    return Err(refused(format!(
                        "`{DESCRIPTION}` asks for the cluster `{kind}`, which is not supported yet"
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

/// The kind of cluster that a description names.
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
    fn public_cluster_is_refused_where_folder_asks_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            let told = check(&[folder.path()]).err().and_then(|failure| failure.message);
            std::fs::remove_file(folder.path().join(name)).unwrap();
            told
        };
        assert!(check(&[folder.path()]).is_ok());
        for (name, text, words) in [
            (DESCRIPTION, "clusterProvider: gcloud\ngcloudProjectId: x\n", "the cluster `gcloud`"),
            (DESCRIPTION, "clusterProvider: mine\n", "the cluster `mine`"),
            (DESCRIPTION, "gcloudProjectId: x\n", "without a readable `clusterProvider`"),
            (DESCRIPTION, "clusterProvider: [\n", "without a readable `clusterProvider`"),
            (IMAGE, "FROM python:3.11\n", "the `Dockerfile` describes an image"),
        ] {
            assert!(told(name, text).is_some_and(|told| told.contains(words)), "{text}: {:?}", told(name, text));
        }
        for kind in ["public", "local"] {
            assert_eq!(told(DESCRIPTION, &format!("clusterProvider: {kind}\n")), None);
        }
    }
}
