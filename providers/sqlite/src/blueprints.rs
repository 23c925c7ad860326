//! The embedded blueprints of the environment whose components become tables and views.

use terrace_provider::{EmbeddedFile, embedded_blueprints};

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 8] = embedded_blueprints![
    "outputport.yaml",
    "postgres-outputport.yaml",
    "postgres-storage.yaml",
    "snowflake-outputport.yaml",
    "snowflake-storage.yaml",
    "storage.yaml",
    "specific/outputport.json",
    "specific/storage.json",
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
