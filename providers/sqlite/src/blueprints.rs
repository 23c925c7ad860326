//! The blueprints of the embedded environment whose components become tables and views, compiled in.

use terrace_provider::EmbeddedFile;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(EmbeddedFile { path: $path, text: include_str!(concat!("../blueprints/", $path)) }),*]
    };
}

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 8] = embedded![
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
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("blueprints");
        let mut present = Vec::new();
        for part in ["", "specific"] {
            for entry in std::fs::read_dir(folder.join(part)).unwrap() {
                let path = entry.unwrap().path();
                let is_test = path.to_str().is_some_and(|path| path.ends_with(".test.yaml"));
                if path.is_file() && !is_test {
                    present.push(path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        present.sort();
        let mut embedded: Vec<String> = BLUEPRINTS.iter().map(|file| file.path.to_owned()).collect();
        embedded.sort();
        assert_eq!(embedded, present);
    }

    #[test]
    fn every_blueprint_names_a_schema_that_is_there() {
        // One that extends another takes its schema from there.
        let has_own = |file: &&EmbeddedFile| file.path.ends_with(".yaml") && !file.text.contains("\nextends: ");
        for blueprint in BLUEPRINTS.iter().filter(has_own) {
            let schema = blueprint.text.lines().find_map(|line| line.strip_prefix("specific: ")).unwrap();
            let schema = BLUEPRINTS.iter().find(|file| file.path == schema).unwrap();
            let parsed: serde_json::Value = serde_json::from_str(schema.text).unwrap();
            assert_eq!(parsed["$schema"], "https://json-schema.org/draft/2020-12/schema");
        }
    }
}
