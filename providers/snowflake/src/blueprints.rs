//! The embedded blueprints of storage areas and output ports.

use terrace_provider::{EmbeddedFile, embedded_blueprints};

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 4] = embedded_blueprints![
    "snowflake-outputport.yaml",
    "snowflake-storage.yaml",
    "specific/snowflake-outputport.json",
    "specific/snowflake-storage.json",
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
