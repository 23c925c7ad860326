//! The definitions of the custom resources.

/// The definitions as YAML documents: the files of `deploy/helm/operator/crds`.
pub const DEFINITIONS: &str = concat!(
    include_str!("../../../deploy/helm/operator/crds/stacks.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/pipelines.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/pipelineruns.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/databases.yaml"),
    "---\n",
    include_str!("../../../deploy/helm/operator/crds/workers.yaml"),
);
