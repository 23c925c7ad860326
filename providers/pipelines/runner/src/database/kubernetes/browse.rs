//! Tables of databases in a cluster, through a connection that the API server forwards to the pod.

use super::super::browse::{Rows, Table, check_running, find_table, first_row, in_time, postgres};
use super::super::error::DatabaseError;
use super::manifest::{PORT, pod_name};
use super::{ClusterDatabases, refused};
use tokio_postgres::Client;

impl ClusterDatabases {
    async fn connect(&self, name: &str) -> Result<Client, DatabaseError> {
        let record = self.existing(name).await?;
        check_running(&record, self.status_of(&record))?;
        let access = self.access(&record).await?;
        let stream = self.client.forward(&pod_name(name), PORT).await.map_err(refused)?;
        postgres::connect_through(name, &access, stream).await
    }

    /// Tables and views of a running database, sorted, without those of the system.
    ///
    /// # Errors
    /// When it does not exist, is not running, or does not answer.
    pub async fn tables(&self, name: &str) -> Result<Vec<Table>, DatabaseError> {
        in_time(name, async {
            let client = self.connect(name).await?;
            postgres::tables(name, &client).await
        })
        .await
    }

    /// A page of a table's rows; pages count from 0.
    ///
    /// # Errors
    /// As [`ClusterDatabases::tables`], and when the table does not exist.
    pub async fn rows(&self, name: &str, schema: &str, table: &str, page: u64) -> Result<Rows, DatabaseError> {
        in_time(name, async {
            let client = self.connect(name).await?;
            let table = find_table(postgres::tables(name, &client).await?, name, schema, table)?;
            postgres::rows(name, &client, &table, first_row(page)).await
        })
        .await
    }

    /// Number of rows of all tables, up to a limit, and number of tables.
    ///
    /// # Errors
    /// As [`ClusterDatabases::tables`].
    pub async fn count(&self, name: &str) -> Result<(u64, usize), DatabaseError> {
        in_time(name, async {
            let client = self.connect(name).await?;
            let tables = postgres::tables(name, &client).await?;
            let tables: Vec<Table> = tables.into_iter().filter(|table| !table.is_view).collect();
            Ok((postgres::count(name, &client, &tables).await?, tables.len()))
        })
        .await
    }
}
