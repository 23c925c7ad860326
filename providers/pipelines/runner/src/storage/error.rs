//! Errors of destinations, without secrets.

use std::io;
use std::path::Path;

/// Error of a destination.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StorageError {
    /// Kind of the error.
    pub kind: StorageErrorKind,
    message: String,
    hint: Option<String>,
}

/// Kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// An attribute or a setting is not valid: its name.
    Invalid(&'static str),
    /// The destination denies access; a token may have expired.
    Denied,
    /// The quota of the destination is exhausted.
    Quota,
    /// A retry may succeed.
    Temporary,
    /// The operation was cancelled.
    Stopped,
    /// Any other error.
    Failed,
}

impl StorageError {
    pub(crate) fn new(kind: StorageErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// An invalid attribute or setting, by its name.
    pub fn invalid(attribute: &'static str, message: impl Into<String>) -> Self {
        Self::new(StorageErrorKind::Invalid(attribute), message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(StorageErrorKind::Failed, message)
    }

    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StorageErrorKind::Denied,
            io::ErrorKind::QuotaExceeded => StorageErrorKind::Quota,
            _ => StorageErrorKind::Failed,
        };
        Self::new(kind, format!("cannot {action} `{}`: {error}", path.display()))
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Message for the user.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Hint for the user.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
