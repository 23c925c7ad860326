//! The blueprints of the embedded environment whose components become managed files, compiled in.

use terrace_provider::EmbeddedFile;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        vec![$(EmbeddedFile { path: $path, text: include_str!(concat!("../blueprints/", $path)) }),*]
    };
}

/// All embedded files, by their path within the crate's `blueprints` folder.
pub(crate) fn embedded() -> Vec<EmbeddedFile> {
    embedded![
        "confluent-kafka-outputport.yaml",
        "confluent-kafka-streams-workload.yaml",
        "confluent-kafka-topic.yaml",
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
    ]
}
