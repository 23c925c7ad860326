//! Instances that reach nothing: plans come from the schema alone, and nothing exists yet.

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{
    Attempt, Attributes, Call, Found, Observed, Planned, Provider, ProviderError, ProviderSchema, Recorded,
    ResourceType, Session, Settings, Value,
};

/// A provider that never connects.
pub(super) struct Offline(pub(super) Arc<dyn Provider>);

#[async_trait]
impl Provider for Offline {
    fn schema(&self) -> &ProviderSchema {
        self.0.schema()
    }

    async fn connect(&self, _settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(Nowhere(Arc::clone(&self.0))))
    }
}

/// A session with a place where nothing is.
struct Nowhere(Arc<dyn Provider>);

#[async_trait]
impl Session for Nowhere {
    async fn read(&self, _ty: &ResourceType, _prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        Ok(None)
    }

    async fn create(&self, ty: &ResourceType, _call: &Call, _planned: &Planned) -> Result<Observed, ProviderError> {
        Err(refused(ty))
    }

    async fn update(
        &self,
        ty: &ResourceType,
        _call: &Call,
        _prior: &Recorded,
        _planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        Err(refused(ty))
    }

    async fn delete(&self, ty: &ResourceType, _call: &Call, _prior: &Recorded) -> Result<(), ProviderError> {
        Err(refused(ty))
    }

    async fn find(&self, _ty: &ResourceType, _attempt: &Attempt) -> Result<Found, ProviderError> {
        Ok(Found::Absent)
    }

    async fn import(&self, _ty: &ResourceType, _id: &str) -> Result<Option<Observed>, ProviderError> {
        Ok(None)
    }

    async fn lookup(&self, name: &str, _arguments: &Attributes) -> Result<Attributes, ProviderError> {
        let lookup = self.0.schema().lookups.iter().find(|lookup| lookup.name == name);
        let names = lookup.into_iter().flat_map(|lookup| lookup.result.names());
        Ok(names.map(|name| (name.to_owned(), Value::Unknown)).collect())
    }
}

fn refused(ty: &ResourceType) -> ProviderError {
    ProviderError::bug(format!("{} cannot be changed offline", ty.name))
}
