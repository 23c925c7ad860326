//! Offline instances, which optionally run lookups: plans come from the schema, and no objects exist.

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{
    Attempt, Attributes, Call, Found, Grantee, Observed, Planned, Provider, ProviderError, ProviderSchema, Recorded,
    ResourceType, Session, Settings, Value,
};
use tokio::sync::OnceCell;

/// A provider that connects only for lookups, or never.
pub(super) struct OfflineProvider {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) runs_lookups: bool,
}

#[async_trait]
impl Provider for OfflineProvider {
    fn schema(&self) -> &ProviderSchema {
        self.provider.schema()
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let settings = self.runs_lookups.then(|| settings.clone());
        Ok(Arc::new(OfflineSession { provider: Arc::clone(&self.provider), settings, connected: OnceCell::new() }))
    }
}

/// A session without objects.
struct OfflineSession {
    provider: Arc<dyn Provider>,
    /// The settings for lookups; without settings, results of lookups are unknown.
    settings: Option<Settings>,
    connected: OnceCell<Arc<dyn Session>>,
}

#[async_trait]
impl Session for OfflineSession {
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

    async fn grantees(&self, _ty: &ResourceType, _accesses: &[Attributes]) -> Result<Vec<Grantee>, ProviderError> {
        Ok(Vec::new())
    }

    async fn lookup(&self, name: &str, arguments: &Attributes) -> Result<Attributes, ProviderError> {
        if let Some(settings) = &self.settings {
            let connected = self.connected.get_or_try_init(|| self.provider.connect(settings)).await?;
            return connected.lookup(name, arguments).await;
        }
        let lookup = self.provider.schema().lookups.iter().find(|lookup| lookup.name == name);
        let names = lookup.into_iter().flat_map(|lookup| lookup.result.names());
        Ok(names.map(|name| (name.to_owned(), Value::Unknown)).collect())
    }
}

fn refused(ty: &ResourceType) -> ProviderError {
    ProviderError::bug(format!("{} cannot be changed offline", ty.name))
}
