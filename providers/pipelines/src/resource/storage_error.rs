//! Errors of destinations as errors of the provider.

use terrace_pipelines::storage::{StorageError, StorageErrorKind};
use terrace_provider::{ErrorKind, Path, ProviderError};

/// Conversion that depends on the time of the error.
pub(crate) trait StorageProblem {
    /// Maps an error before any change: the engine may retry temporary ones.
    fn while_reading(self) -> ProviderError;

    /// Maps an error after possible changes: a read shows the present state.
    fn while_changing(self) -> ProviderError;
}

impl StorageProblem for StorageError {
    fn while_reading(self) -> ProviderError {
        provider_error(&self, ErrorKind::Transient, ErrorKind::Cancelled)
    }

    fn while_changing(self) -> ProviderError {
        provider_error(&self, ErrorKind::Failed, ErrorKind::Failed)
    }
}

fn provider_error(error: &StorageError, temporary: ErrorKind, stopped: ErrorKind) -> ProviderError {
    let kind = match error.kind {
        StorageErrorKind::Invalid(name) => ErrorKind::InvalidInput { path: Some(Path::attribute(name)) },
        StorageErrorKind::Denied => ErrorKind::PermissionDenied,
        StorageErrorKind::Temporary => temporary,
        StorageErrorKind::Stopped => stopped,
        StorageErrorKind::Quota | StorageErrorKind::Failed => ErrorKind::Failed,
    };
    let mapped = ProviderError::new(kind, error.to_string());
    error.advice().into_iter().fold(mapped, ProviderError::solution)
}
