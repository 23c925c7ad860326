//! Taking over objects that exist: what an id names, and whether it is free.

use crate::address::{Address, StackId};
use crate::deadline;
use crate::plan::compute::PlanFailure;
use crate::record::open_attributes;
use crate::seal::Seal;
use crate::store::{Selection, StateStore};
use terrace_provider::{ErrorKind, Observed, ProviderError, ResourceType, Session};

/// An object cannot be imported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// There is none of that id.
    #[error("there is no `{ty}` with the id `{id}`")]
    Nothing {
        /// The resource type.
        ty: &'static str,
        /// The id.
        id: String,
    },
    /// It is another resource already.
    #[error("`{id}` is {stack}:{address} already")]
    Recorded {
        /// The id.
        id: String,
        /// The stack of that resource.
        stack: StackId,
        /// That resource.
        address: Address,
    },
    /// The provider cannot look it up.
    #[error("`{id}` cannot be looked up: {error}")]
    Provider {
        /// The id.
        id: String,
        /// Why.
        error: ProviderError,
    },
}

impl ImportError {
    /// The stable word for tools.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Nothing { .. } => "import_nothing",
            Self::Recorded { .. } => "import_recorded",
            Self::Provider { .. } => "cannot_import",
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Nothing { .. } => Some("look at the id; without the import the object would be created".to_owned()),
            Self::Recorded { stack, address, .. } => Some(format!(
                "an object is one resource: `moved` gives it another address within its stack, `terrace state rm \
                 '{stack}:{address}'` drops it"
            )),
            Self::Provider { error, .. } => error.solutions.first().cloned(),
        }
    }
}

/// The object of an id.
///
/// # Errors
/// When there is none, or the provider cannot tell.
pub async fn look_up(session: &dyn Session, ty: &ResourceType, id: &str) -> Result<Observed, ImportError> {
    match deadline::reading(ty.timeouts.read, session.import(ty, id)).await {
        Ok(Some(observed)) => Ok(observed),
        Ok(None) => Err(ImportError::Nothing { ty: ty.name, id: id.to_owned() }),
        Err(error) if error.kind == ErrorKind::NotFound => Err(ImportError::Nothing { ty: ty.name, id: id.to_owned() }),
        Err(error) => Err(ImportError::Provider { id: id.to_owned(), error }),
    }
}

/// The resource that an object of a provider instance is recorded as, in any stack of the environment. Imports are
/// rare: every stack is looked at.
///
/// # Errors
/// When the store cannot be read or what it holds cannot be opened.
pub async fn recorded_as(
    store: &dyn StateStore,
    seal: &Seal,
    (environment, instance): (&str, &str),
    ty: &ResourceType,
    observed: &Observed,
) -> Result<Option<(StackId, Address)>, PlanFailure> {
    if observed.identity.is_empty() {
        return Ok(None);
    }
    for stack in store.stacks().await?.into_iter().filter(|stack| stack.environment == environment) {
        for row in store.rows(&stack, &Selection::All).await?.into_iter().filter(|row| row.address.ty == ty.name) {
            let identity = open_attributes(&row.identity, seal)
                .map_err(|error| PlanFailure::Sealed { address: format!("{stack}:{}", row.address), error })?;
            if identity == observed.identity && row.provider == instance {
                return Ok(Some((stack, row.address)));
            }
        }
    }
    Ok(None)
}
