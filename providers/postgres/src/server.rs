//! Connections: a pool for each database of a server, and transactions.

use crate::config::Config;
use crate::error::Failure;
use crate::identifier::{literal, quote};
use crate::mark::CallName;
use crate::script::Script;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use terrace_provider::wrap::silence;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, FromSqlOwned, ToSql};

/// A connection of a pool.
pub(crate) type Client = Object;

/// Time limit of a call that waits for a free connection.
const POOL_WAIT: Duration = Duration::from_secs(60);

/// Setup of every connection: qualified names, and the same format of constants on every server. The server ends
/// connections of clients that vanish in a transaction or a statement.
const SETUP: &str = "SET search_path = ''; SET standard_conforming_strings = on; SET client_min_messages = warning; \
     SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; \
     SET extra_float_digits = 1; SET quote_all_identifiers = off; SET idle_in_transaction_session_timeout = '60s'; \
     SELECT set_config(name, '10s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'";

/// A server, with one user.
pub(crate) struct Server {
    pub(crate) config: Config,
    pools: Mutex<HashMap<String, Pool>>,
}

impl Server {
    /// A server without open connections.
    pub(crate) fn new(config: Config) -> Self {
        Self { config, pools: Mutex::default() }
    }

    /// A connection to a database; by default to the instance's own database.
    pub(crate) async fn client(&self, database: Option<&str>) -> Result<Client, Failure> {
        let pool = self.pool(database.unwrap_or(&self.config.database))?;
        let client = pool.get().await.map_err(Failure::of_pool)?;
        silence::answered();
        Ok(client)
    }

    fn pool(&self, database: &str) -> Result<Pool, Failure> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(database) {
            return Ok(pool.clone());
        }
        let mut driver = self.config.driver.clone();
        driver.dbname(database);
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let (timeout, lock) = (self.config.timeout, self.config.lock_timeout.as_millis());
        let setup = format!("{SETUP}; SET lock_timeout = {lock}");
        let pool = Pool::builder(Manager::from_config(driver, self.config.connector.clone(), settings))
            .max_size(self.config.connections)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(POOL_WAIT), create: Some(2 * timeout), recycle: Some(timeout) })
            .post_create(Hook::async_fn(move |client, _| {
                let setup = setup.clone();
                Box::pin(async move { client.batch_execute(&setup).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| Failure::bug(format!("the connection pool cannot be built: {error}")))?;
        pools.insert(database.to_owned(), pool.clone());
        Ok(pool)
    }

    /// Closes the instance's own connections to a database before or after its drop.
    pub(crate) fn close_pool(&self, database: &str) {
        let pool = self.pools.lock().unwrap_or_else(PoisonError::into_inner).remove(database);
        if let Some(pool) = pool {
            pool.close();
        }
    }

    /// Begins a transaction for a call. Unqualified names in configured SQL resolve in `schema` first, then in
    /// `public`.
    pub(crate) async fn work(
        &self,
        database: Option<&str>,
        call: &CallName,
        timeout: Duration,
        schema: Option<&str>,
    ) -> Result<Work, Failure> {
        let client = self.client(database).await?;
        let mut begin = format!(
            "BEGIN; SET LOCAL application_name = {}; SET LOCAL statement_timeout = {}; ",
            literal(&call.application()),
            timeout.as_millis().clamp(1, 2_147_483_647)
        );
        begin.push_str(&search_path(schema));
        Ok(Work {
            client: Some(client),
            begin: Mutex::new(Some(begin)),
            schema: schema.map(str::to_owned),
            is_qualified: AtomicBool::new(schema.is_none()),
        })
    }
}

/// Sets the search path for configured SQL.
fn search_path(schema: Option<&str>) -> String {
    schema.map(|schema| format!("SET LOCAL search_path = {}, public, pg_temp; ", quote(schema))).unwrap_or_default()
}

/// The rows of a statement.
pub(crate) async fn query(client: &Client, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
    let statement = client.prepare_cached(sql).await?;
    silence::answered();
    let rows = client.query(&statement, parameters).await?;
    silence::answered();
    Ok(rows)
}

/// A value of a row.
///
/// # Errors
/// When the server returns an unexpected value, as a server that only speaks the protocol may do.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Failure> {
    row.try_get(at).map_err(|error| Failure::bug(format!("the server returned an unexpected value: {error}")))
}

/// The first value of the first row, if there is one.
///
/// # Errors
/// As [`column`].
pub(crate) fn first<T: FromSqlOwned>(rows: &[Row]) -> Result<Option<T>, Failure> {
    rows.first().map(|row| column(row, 0)).transpose()
}

/// The version of the server: 150004 means 15.4.
pub(crate) async fn version(client: &Client) -> Result<i32, Failure> {
    let rows = query(client, "SELECT current_setting('server_version_num')::int4", &[]).await?;
    Ok(first::<i32>(&rows)?.unwrap_or_default())
}

/// A transaction on its own connection. A drop before its end closes the connection: the server rolls back, and the
/// pool never hands out a connection with an open transaction.
pub(crate) struct Work {
    client: Option<Client>,
    /// The beginning of the transaction, until it is sent with the first statement.
    begin: Mutex<Option<String>>,
    schema: Option<String>,
    /// True while names must be qualified.
    is_qualified: AtomicBool,
}

/// From here on, names must be qualified.
const CLEAR_SEARCH_PATH: &str = "SET LOCAL search_path = ''";

impl Work {
    fn begun_with(&self) -> Option<String> {
        self.begin.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The connection, in the transaction.
    pub(crate) async fn client(&self) -> Result<&Client, Failure> {
        let client = self.client.as_ref().ok_or_else(|| Failure::bug("the connection is closed"))?;
        if let Some(begin) = self.begun_with() {
            client.batch_execute(&begin).await?;
        }
        Ok(client)
    }

    /// Runs statements.
    pub(crate) async fn run(&self, script: &Script) -> Result<(), Failure> {
        let client = self.client.as_ref().ok_or_else(|| Failure::bug("the connection is closed"))?;
        let begin = self.begun_with().unwrap_or_default();
        let before = begin.chars().count();
        let sent = client.batch_execute(&format!("{begin}{}", script.text())).await;
        sent.map_err(|error| {
            let position = match error.as_db_error().and_then(|error| error.position()) {
                Some(tokio_postgres::error::ErrorPosition::Original(at)) => {
                    usize::try_from(*at).ok().and_then(|at| at.checked_sub(before))
                }
                _ => None,
            };
            Failure::Server { at: script.place(position), error }
        })
    }

    /// Runs the last statements before a read of the result.
    pub(crate) async fn run_before_reads(&self, mut script: Script) -> Result<(), Failure> {
        script.push(CLEAR_SEARCH_PATH);
        self.run(&script).await?;
        self.is_qualified.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.run(&Script::of(sql)).await
    }

    /// Switches to qualified names, for reads.
    pub(crate) async fn reader(&self) -> Result<&Client, Failure> {
        let client = self.client().await?;
        if !self.is_qualified.swap(true, Ordering::Relaxed) {
            client.batch_execute(CLEAR_SEARCH_PATH).await?;
        }
        Ok(client)
    }

    /// Switches to the search path of configured SQL.
    pub(crate) async fn use_configured_search_path(&self) -> Result<(), Failure> {
        let client = self.client().await?;
        if self.schema.is_some() && self.is_qualified.swap(false, Ordering::Relaxed) {
            client.batch_execute(&search_path(self.schema.as_deref())).await?;
        }
        Ok(())
    }

    /// Commits the transaction.
    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        let Some(client) = self.client.take() else { return Err(Failure::bug("the connection is closed")) };
        match client.batch_execute("COMMIT").await {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(Object::take(client));
                Err(Failure::of_commit(error))
            }
        }
    }

    /// Rolls the transaction back.
    pub(crate) async fn roll_back(mut self) {
        let Some(client) = self.client.take() else { return };
        if client.batch_execute("ROLLBACK").await.is_err() {
            drop(Object::take(client));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}
