//! Tables, views and indexes in SQLite files: the warehouse of the embedded environment.
//!
//! Each call is one transaction on one file, so that a process that is killed leaves all of a call or nothing of it.
//! Nothing has to be installed: SQLite is compiled in. What SQLite does not store, comments, stands as SQL comments in
//! the definitions themselves and is read back from there.
//!
//! Read in this order: `schema` (the types), `session` (the calls), `table` with its submodules (most of the work).
#![forbid(unsafe_code)]
// A test may cut a text anywhere: it fails where it slips.
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
    /// The provider, not connected to anything.
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
