//! Databases of pipelines for the server's pages.

use super::{all_databases_of, format};
use crate::context::Context;
use crate::failure::Failure;
use async_trait::async_trait;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::database::{DatabaseError, DatabaseErrorKind, ProjectDatabases, browse};
use terrace_provider::Settings as InstanceSettings;
use terrace_server::tables::{Column, Database, NotShown, Pages, Rows, Table, Tables};

/// Interval of checks for a missing guard process.
const PERIOD: Duration = Duration::from_secs(30);

/// The databases of a project.
pub(super) struct DatabasePages {
    databases: ProjectDatabases,
}

impl DatabasePages {
    pub(super) const fn new(databases: ProjectDatabases) -> Self {
        Self { databases }
    }
}

pub(super) fn not_shown(error: DatabaseError) -> NotShown {
    match error.kind {
        DatabaseErrorKind::Missing => NotShown::Missing(error.message),
        _ => NotShown::Unavailable(error.message),
    }
}

pub(super) fn shown_tables(tables: Vec<browse::Table>) -> Vec<Table> {
    let table = |table: browse::Table| Table { schema: table.schema, name: table.name, is_view: table.is_view };
    tables.into_iter().map(table).collect()
}

pub(super) fn shown_rows(rows: browse::Rows) -> Rows {
    let columns = rows.columns.into_iter().map(|column| Column { name: column.name, kind: column.kind }).collect();
    Rows { columns, rows: rows.rows, has_more: rows.has_more }
}

#[async_trait]
impl Tables for DatabasePages {
    fn token(&self) -> Result<SecretString, NotShown> {
        self.databases.here.token().map_err(not_shown)
    }

    async fn databases(&self) -> Result<Vec<Database>, NotShown> {
        let records = self.databases.list().await.map_err(not_shown)?;
        let database = |record: &terrace_pipelines::database::Record| Database {
            name: record.name.clone(),
            system: record.engine.title().to_owned(),
            status: self.databases.status_word(record).to_owned(),
            kept: format::kept_of(record),
        };
        Ok(records.iter().map(database).collect())
    }

    async fn tables(&self, database: &str) -> Result<Vec<Table>, NotShown> {
        self.databases.tables(database).await.map(shown_tables).map_err(not_shown)
    }

    async fn rows(&self, database: &str, schema: &str, table: &str, page: u64) -> Result<Rows, NotShown> {
        self.databases.rows(database, schema, table, page).await.map(shown_rows).map_err(not_shown)
    }
}

/// The databases of a project for `terrace serve`. Restarts missing guard processes, and ends expired databases of the
/// cluster from now on.
///
/// # Errors
/// When a setting cannot work.
pub(in crate::commands) async fn guarded(
    context: &Context<'_>,
    instance: &InstanceSettings,
) -> Result<ProjectDatabases, Failure> {
    let databases = all_databases_of(context, instance).await?;
    let guarded = databases.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            guarded.guard_all().await;
        }
    });
    Ok(databases)
}

/// The pages of databases.
pub(in crate::commands) fn pages(databases: ProjectDatabases) -> Pages {
    Pages { tables: Arc::new(DatabasePages::new(databases)), are_for_other_machines: false }
}
