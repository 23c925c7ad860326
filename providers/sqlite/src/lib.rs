//! Tables, views and indexes in SQLite files: the warehouse of the embedded environment.
//!
//! Each call is one transaction on one file, so a killed process leaves a complete call or no change. No installation
//! is required: SQLite is compiled in. SQLite does not store comments, so the provider writes them as SQL comments into
//! the definitions and reads them from there.
//!
//! Read in this order: `schema` (the types), `session` (the calls), `table` with its submodules (most of the work).
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a wrong slice only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod blueprints;
mod connection;
mod database;
mod declared_type;
mod error;
mod identifier;
mod index;
mod lookup;
mod mark;
mod object;
mod object_id;
mod schema;
mod session;
mod spelling;
mod sql_type;
mod table;
mod tokenizer;
mod view;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// The provider of SQLite databases.
#[derive(Debug)]
pub struct SqliteProvider {
    schema: ProviderSchema,
}

impl SqliteProvider {
    /// Creates the provider without a connection.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::schema() }
    }
}

impl Default for SqliteProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for SqliteProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        Ok(Arc::new(session::SqliteSession::new(connection::Folders::of(settings)?)))
    }
}
