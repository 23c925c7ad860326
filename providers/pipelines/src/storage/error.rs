//! Errors of destinations, without secrets.

use std::io;
use std::path::Path;
use terrace_provider::{ErrorKind, ProviderError};

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

    pub(crate) fn invalid(attribute: &'static str, message: impl Into<String>) -> Self {
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

    /// Hint for the user.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Maps an error before any change: the engine may retry temporary ones.
    #[must_use]
    pub fn while_reading(self) -> ProviderError {
        self.provider_error(ErrorKind::Transient, ErrorKind::Cancelled)
    }

    /// Maps an error after possible changes: a read shows the present state.
    #[must_use]
    pub fn while_changing(self) -> ProviderError {
        self.provider_error(ErrorKind::Failed, ErrorKind::Failed)
    }

    fn provider_error(self, temporary: ErrorKind, stopped: ErrorKind) -> ProviderError {
        let at = |name| Some(terrace_provider::Path::attribute(name));
        let kind = match self.kind {
            StorageErrorKind::Invalid(name) => ErrorKind::InvalidInput { path: at(name) },
            StorageErrorKind::Denied => ErrorKind::PermissionDenied,
            StorageErrorKind::Temporary => temporary,
            StorageErrorKind::Stopped => stopped,
            StorageErrorKind::Quota | StorageErrorKind::Failed => ErrorKind::Failed,
        };
        let error = ProviderError::new(kind, self.message);
        self.hint.into_iter().fold(error, ProviderError::solution)
    }
}
