//! Errors at files.

use crate::project::{ProjectPath, io_error};
use terrace_provider::ProviderError;

/// Converts a file system error at the path of a file.
pub(super) fn file_error(action: &str, path: &ProjectPath, error: &std::io::Error) -> ProviderError {
    io_error(action, path.as_path(), error)
}
