//! The embedded blueprints of the environment whose components become managed files.

use terrace_provider::{EmbeddedFile, embedded_blueprints};

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 8] = embedded_blueprints![
    "confluent-kafka-outputport.yaml",
    "confluent-kafka-streams-workload.yaml",
    "confluent-kafka-topic.yaml",
    "databricks-dlt.yaml",
    "databricks-job.yaml",
    "databricks-outputport.yaml",
    "databricks-workflow.yaml",
    "databricks-workload.yaml",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blueprints_and_schemas_are_embedded() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("blueprints");
        let faults = terrace_provider::embedded::faults(&folder, &BLUEPRINTS).unwrap();
        assert_eq!(faults, [] as [&str; 0]);
    }
}
