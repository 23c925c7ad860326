//! Example of a provider outside of terrace's repository: entries of a key-value store, which is a folder with one file
//! for each key.
//!
//! Read in this order: [`schema`](mod@schema) (settings and resource types), `store` (the technology), `session` (the
//! calls).
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
    /// Creates the provider, without a connection.
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

    /// Opens an instance. terrace connects before it uses the first resource of the instance, and for a validation
    /// without network. Report invalid settings here; the first call reports a wrong password or an unreachable host.
    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let folder = settings.values.get("folder").and_then(Value::as_str).unwrap_or_default();
        let path = settings.project_folder.join(folder);
        if path.exists() && !path.is_dir() {
            return Err(ProviderError::invalid(
                Some(Path::attribute("folder")),
                format!("the store `{folder}` of the instance `{}` is not a folder", settings.instance),
            )
            .solution("name an existing folder, or a new path"));
        }
        Ok(Arc::new(session::KvSession::new(store::Store::new(path))))
    }
}
