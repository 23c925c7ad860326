//! Embedded blueprints of components with topics, access and schemas.

use terrace_provider::{EmbeddedFile, embedded_blueprints};

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 6] = embedded_blueprints![
    "confluent-kafka-outputport.yaml",
    "confluent-kafka-streams-workload.yaml",
    "confluent-kafka-topic.yaml",
    "specific/confluent-kafka-outputport.json",
    "specific/confluent-kafka-streams-workload.json",
    "specific/confluent-kafka-topic.json",
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
