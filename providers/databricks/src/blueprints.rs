//! Embedded blueprints of jobs, workflows, pipelines and output ports.

use terrace_provider::{EmbeddedFile, embedded_blueprints};

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 10] = embedded_blueprints![
    "databricks-dlt.yaml",
    "databricks-job.yaml",
    "databricks-outputport.yaml",
    "databricks-workflow.yaml",
    "databricks-workload.yaml",
    "specific/databricks-dlt.json",
    "specific/databricks-job.json",
    "specific/databricks-outputport.json",
    "specific/databricks-workflow.json",
    "specific/databricks-workload.json",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded_with_its_schema() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("blueprints");
        let faults = terrace_provider::embedded::faults(&folder, &BLUEPRINTS).unwrap();
        assert_eq!(faults, [] as [&str; 0]);
    }
}
