//! Connections: a pool for each database of one server, and what one transaction on one of them is.

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

/// How long a call waits for a connection that others use.
const TURN: Duration = Duration::from_secs(60);

/// What every connection begins with: names are written out in whole, constants alike on every server; whoever went away
/// in the middle of a transaction, or of a statement, is not waited for forever.
const SETUP: &str = "SET search_path = ''; SET standard_conforming_strings = on; SET client_min_messages = warning; \
     SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; \
     SET extra_float_digits = 1; SET quote_all_identifiers = off; SET idle_in_transaction_session_timeout = '60s'; \
     SELECT set_config(name, '10s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'";

/// One server, as one user.
pub(crate) struct Server {
    pub(crate) config: Config,
    pools: Mutex<HashMap<String, Pool>>,
}

impl Server {
    /// A server; nobody is connected to yet.
    pub(crate) fn new(config: Config) -> Self {
        Self { config, pools: Mutex::default() }
    }

    /// A connection to a database; to the instance's own one for what belongs to none.
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
        let (patience, lock) = (self.config.timeout, self.config.lock_timeout.as_millis());
        let setup = format!("{SETUP}; SET lock_timeout = {lock}");
        let pool = Pool::builder(Manager::from_config(driver, self.config.connector.clone(), settings))
            .max_size(self.config.connections)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(TURN), create: Some(2 * patience), recycle: Some(patience) })
            .post_create(Hook::async_fn(move |client, _| {
                let setup = setup.clone();
                Box::pin(async move { client.batch_execute(&setup).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| Failure::bug(format!("there is no pool of connections: {error}")))?;
        pools.insert(database.to_owned(), pool.clone());
        Ok(pool)
    }

    /// Ends our own connections to a database that is to go, or has gone.
    pub(crate) fn leave(&self, database: &str) {
        let pool = self.pools.lock().unwrap_or_else(PoisonError::into_inner).remove(database);
        if let Some(pool) = pool {
            pool.close();
        }
    }

    /// Begins a transaction for a call. Unqualified names in what a person wrote are looked for in `schema` first, then
    /// in `public`.
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
            is_looking: AtomicBool::new(schema.is_none()),
        })
    }
}

/// Where names without a schema are looked for in what a person wrote.
fn search_path(schema: Option<&str>) -> String {
    schema.map(|schema| format!("SET LOCAL search_path = {}, public, pg_temp; ", quote(schema))).unwrap_or_default()
}

/// The rows that a statement gives.
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
/// When the server answers what we do not expect there: a server that only speaks the protocol, say.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Failure> {
    row.try_get(at).map_err(|error| Failure::bug(format!("an answer of the server is not understood: {error}")))
}

/// The first value of the first row, if there is one.
///
/// # Errors
/// As [`column`].
pub(crate) fn first<T: FromSqlOwned>(rows: &[Row]) -> Result<Option<T>, Failure> {
    rows.first().map(|row| column(row, 0)).transpose()
}

/// The version of the server: 150004 is 15.4.
pub(crate) async fn version(client: &Client) -> Result<i32, Failure> {
    let rows = query(client, "SELECT current_setting('server_version_num')::int4", &[]).await?;
    Ok(first::<i32>(&rows)?.unwrap_or_default())
}

/// A transaction on a connection of its own. One that is dropped before its end ends with its connection: the server rolls
/// it back, and nobody gets a connection in the middle of something.
pub(crate) struct Work {
    client: Option<Client>,
    /// What it begins with, until that is sent together with the first statement.
    begin: Mutex<Option<String>>,
    schema: Option<String>,
    /// Names are written out in whole now.
    is_looking: AtomicBool,
}

/// From here on names are written out in whole.
const LOOK: &str = "SET LOCAL search_path = ''";

impl Work {
    fn begun_with(&self) -> Option<String> {
        self.begin.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The connection, in the transaction.
    pub(crate) async fn client(&self) -> Result<&Client, Failure> {
        let client = self.client.as_ref().ok_or_else(|| Failure::bug("its connection is gone"))?;
        if let Some(begin) = self.begun_with() {
            client.batch_execute(&begin).await?;
        }
        Ok(client)
    }

    /// Runs statements.
    pub(crate) async fn run(&self, script: &Script) -> Result<(), Failure> {
        let client = self.client.as_ref().ok_or_else(|| Failure::bug("its connection is gone"))?;
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

    /// Runs statements that are the last ones before the result is looked at.
    pub(crate) async fn run_and_look(&self, mut script: Script) -> Result<(), Failure> {
        script.push(LOOK);
        self.run(&script).await?;
        self.is_looking.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Runs one statement.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.run(&Script::of(sql)).await
    }

    /// From here on names are written out in whole: for reading.
    pub(crate) async fn look(&self) -> Result<&Client, Failure> {
        let client = self.client().await?;
        if !self.is_looking.swap(true, Ordering::Relaxed) {
            client.batch_execute(LOOK).await?;
        }
        Ok(client)
    }

    /// From here on names are looked for as a person means them.
    pub(crate) async fn speak(&self) -> Result<(), Failure> {
        let client = self.client().await?;
        if self.schema.is_some() && self.is_looking.swap(false, Ordering::Relaxed) {
            client.batch_execute(&search_path(self.schema.as_deref())).await?;
        }
        Ok(())
    }

    /// Ends the transaction with its effect.
    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        let Some(client) = self.client.take() else { return Err(Failure::bug("its connection is gone")) };
        match client.batch_execute("COMMIT").await {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(Object::take(client));
                Err(Failure::of_commit(error))
            }
        }
    }

    /// Ends the transaction without a trace.
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
