//! The blueprints that come with this provider.

use terrace_provider::EmbeddedFile;

/// All embedded files, by their path within the crate's `blueprints` folder.
pub(crate) fn embedded() -> Vec<EmbeddedFile> {
    Vec::new()
}
