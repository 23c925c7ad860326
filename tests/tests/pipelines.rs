//! Data pipelines on one machine.

mod charts; // values of the chart of a pipeline
mod cluster_runs; // runs in a cluster whose callers are killed
mod cluster_served; // a server whose pipelines run in a cluster
mod databases; // databases of pipelines: servers that outlive commands, times to live, pages
mod deployments; // continuous deployment: branches and tags, kills, protected branches
mod described; // pipeline specs and other descriptors in one folder
mod environments; // kills, timeouts and signals while an environment is created
mod failed_runs; // failed runs and missing databases: what becomes dirty
mod invalid_specs; // invalid specs: valid parts are planned and listed
mod kubernetes; // clusters of Kubernetes: prepared namespaces, vendors' programs
mod queue; // local clusters, killed workers, pods
pub(crate) mod runs; // data pipelines: runs, plans with reasons, kills
mod scheduled; // scheduled pipelines, their history, plugins
mod sites; // static sites, served beside the API
mod storage; // pipeline results copied to other storage
