//! An example of a provider that lives outside of terrace's repository: entries of a key-value store, which is a folder
//! with one file for each key.
//!
//! Read in this order: [`schema`](mod@schema) (what there is), `store` (the technology: it knows nothing of terrace),
//! `session` (the calls, in terms of the store).
#![forbid(unsafe_code)]

pub mod schema;
mod session;
mod store;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Path, Provider, ProviderError, ProviderSchema, Session, Settings, Value};

/// The provider of key-value stores.
#[derive(Debug)]
pub struct KvProvider {
    schema: ProviderSchema,
}

impl KvProvider {
    /// The provider, not connected to anything.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
    }
}

impl Default for KvProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for KvProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    /// Opens one instance. terrace connects when a resource of the instance is first needed, so this is the place to find
    /// out that a password is wrong or a host does not answer.
    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let folder = settings.values.get("folder").and_then(Value::as_str).unwrap_or_default();
        let path = settings.project_folder.join(folder);
        if path.exists() && !path.is_dir() {
            return Err(ProviderError::invalid(
                Some(Path::attribute("folder")),
                format!("the store `{folder}` of the instance `{}` is no folder", settings.instance),
            )
            .solution("name a folder, or a path where none is yet"));
        }
        Ok(Arc::new(session::KvSession::new(store::Store::new(path))))
    }
}
