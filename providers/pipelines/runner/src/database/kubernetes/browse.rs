//! Tables of databases in a cluster, through a connection that the API server forwards to the pod.

use super::super::browse::{Rows, Table, check_running, find_table, first_row, postgres};
use super::super::error::{DatabaseError, DatabaseErrorKind};
use super::super::record::Record;
use super::manifest::{PORT, pod_name};
use super::{ClusterDatabases, refused};
use std::time::Duration;
use tokio_postgres::Client;

/// Limit of all queries of a call: a forwarded connection that is lost stays silent. Longer than the server's limit for a query.
const LIMIT: Duration = Duration::from_secs(60);

async fn in_time<T>(name: &str, queries: impl Future<Output = Result<T, DatabaseError>>) -> Result<T, DatabaseError> {
    tokio::time::timeout(LIMIT, queries).await.unwrap_or_else(|_| {
        let message = format!("the database `{name}` did not answer within {} seconds", LIMIT.as_secs());
        Err(DatabaseError::new(DatabaseErrorKind::Failed, message))
    })
}

impl ClusterDatabases {
    async fn connect(&self, name: &str) -> Result<(Record, Client), DatabaseError> {
        let record = self.existing(name).await?;
        check_running(&record, self.status_of(&record))?;
        let access = self.access(&record).await?;
        let stream = self.client.forward(&pod_name(name), PORT).await.map_err(refused)?;
        let client = postgres::connect_through(&record, &access, stream).await?;
        Ok((record, client))
    }

    /// Tables and views of a running database, sorted, without those of the system.
    ///
    /// # Errors
    /// When it does not exist, is not running, or does not answer.
    pub async fn tables(&self, name: &str) -> Result<Vec<Table>, DatabaseError> {
        in_time(name, async {
            let (record, client) = self.connect(name).await?;
            postgres::tables(&record, &client).await
        })
        .await
    }

    /// A page of a table's rows; pages count from 0.
    ///
    /// # Errors
    /// As [`ClusterDatabases::tables`], and when the table does not exist.
    pub async fn rows(&self, name: &str, schema: &str, table: &str, page: u64) -> Result<Rows, DatabaseError> {
        in_time(name, async {
            let (record, client) = self.connect(name).await?;
            let table = find_table(postgres::tables(&record, &client).await?, name, schema, table)?;
            postgres::rows(&record, &client, &table, first_row(page)).await
        })
        .await
    }

    /// Number of rows of all tables, up to a limit, and number of tables.
    ///
    /// # Errors
    /// As [`ClusterDatabases::tables`].
    pub async fn count(&self, name: &str) -> Result<(u64, usize), DatabaseError> {
        in_time(name, async {
            let (record, client) = self.connect(name).await?;
            let tables = postgres::tables(&record, &client).await?;
            let tables: Vec<Table> = tables.into_iter().filter(|table| !table.is_view).collect();
            Ok((postgres::count(&record, &client, &tables).await?, tables.len()))
        })
        .await
    }
}
