//! The blueprints of components that become topics, access and schemas, compiled in.

use terrace_provider::EmbeddedFile;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(EmbeddedFile { path: $path, text: include_str!(concat!("../blueprints/", $path)) }),*]
    };
}

/// All embedded files.
pub(crate) const BLUEPRINTS: [EmbeddedFile; 0] = embedded![];
