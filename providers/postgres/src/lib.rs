//! Databases, schemas, tables, views, indexes, roles and grants of PostgreSQL.
//!
//! A call is a single transaction where PostgreSQL allows it: a killed process leaves all of a call or nothing. The
//! server rewrites types, defaults, conditions and queries. The provider records the server's text of each and compares
//! with that.
//!
//! Read in this order: `schema` (resource types), `server` (connections and transactions), `session` (calls), `table`
//! with its submodules (most of the work), `dependents` (views over changing columns).
#![forbid(unsafe_code)]
// Tests may slice strings at any index: a wrong index fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod attributes;
mod blueprints;
mod config;
mod data_type;
mod database;
mod dependents;
mod error;
mod expression;
mod grant;
mod granted_object;
mod identifier;
mod index;
mod kind;
mod lexer;
mod lookup;
mod mark;
mod membership;
mod namespace;
mod observation;
mod operation;
mod principal;
mod private;
mod rights;
mod role;
pub mod schema;
mod script;
mod server;
mod session;
mod spelling;
mod sql_type;
mod table;
mod unexpressed;
mod view;

use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Provider, ProviderError, ProviderSchema, Session, Settings};

/// The provider of PostgreSQL.
#[derive(Debug)]
pub struct PostgresProvider {
    schema: ProviderSchema,
}

impl PostgresProvider {
    /// The provider, without any connection.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: schema::provider() }
    }
}

impl Default for PostgresProvider {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for PostgresProvider {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Session>, ProviderError> {
        let server = server::Server::new(config::Config::read(settings)?);
        Ok(Arc::new(session::PostgresSession::new(server)))
    }
}
