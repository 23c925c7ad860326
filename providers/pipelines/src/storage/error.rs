//! What goes wrong with a destination, in words without secrets.

use std::io;
use std::path::Path;
use terrace_provider::{ErrorKind, ProviderError};

/// Something went wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StorageError {
    /// Of which kind it is.
    pub trouble: Trouble,
    message: String,
    hint: Option<String>,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// An attribute or a setting cannot work: its name.
    Invalid(&'static str),
    /// The destination does not let us, or not any more: a token expires.
    Denied,
    /// All that may be kept there is there.
    Quota,
    /// It may work the next time.
    Temporary,
    /// Somebody wanted to stop.
    Stopped,
    /// Anything else.
    Failed,
}

impl StorageError {
    pub(crate) fn new(trouble: Trouble, message: impl Into<String>) -> Self {
        Self { trouble, message: message.into(), hint: None }
    }

    pub(crate) fn invalid(attribute: &'static str, message: impl Into<String>) -> Self {
        Self::new(Trouble::Invalid(attribute), message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Trouble::Failed, message)
    }

    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let trouble = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Trouble::Denied,
            io::ErrorKind::QuotaExceeded => Trouble::Quota,
            _ => Trouble::Failed,
        };
        Self::new(trouble, format!("cannot {action} `{}`: {error}", path.display()))
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The same before anything was changed: what is temporary is tried again.
    #[must_use]
    pub fn while_looking(self) -> ProviderError {
        self.told(ErrorKind::Transient, ErrorKind::Cancelled)
    }

    /// The same after something may have been changed: what is there then is found by reading it.
    #[must_use]
    pub fn while_changing(self) -> ProviderError {
        self.told(ErrorKind::Failed, ErrorKind::Failed)
    }

    fn told(self, temporary: ErrorKind, stopped: ErrorKind) -> ProviderError {
        let at = |name| Some(terrace_provider::Path::attribute(name));
        let kind = match self.trouble {
            Trouble::Invalid(name) => ErrorKind::InvalidInput { path: at(name) },
            Trouble::Denied => ErrorKind::PermissionDenied,
            Trouble::Temporary => temporary,
            Trouble::Stopped => stopped,
            Trouble::Quota | Trouble::Failed => ErrorKind::Failed,
        };
        let error = ProviderError::new(kind, self.message);
        self.hint.into_iter().fold(error, ProviderError::solution)
    }
}
