//! The blueprints of storage areas and output ports, compiled in.

use terrace_provider::EmbeddedFile;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(EmbeddedFile { path: $path, text: include_str!(concat!("../blueprints/", $path)) }),*]
    };
}

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 4] = embedded![
    "snowflake-outputport.yaml",
    "snowflake-storage.yaml",
    "specific/snowflake-outputport.json",
    "specific/snowflake-storage.json",
];
