//! The pages of a single database in a pod. A Secret of the cluster has the address of the database and the token.

use super::failure;
use super::pages::{not_shown, shown_rows, shown_tables};
use crate::args::PodPagesArguments;
use crate::commands::pipelines::pod_site;
use crate::failure::{Exit, Failure};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use terrace_pipelines::database::{Engine, RemoteDatabase};
use terrace_server::auth::Token;
use terrace_server::tables::{Database, NotShown, Pages, Rows, Table, Tables};
use tokio_util::sync::CancellationToken;

/// File with the address of the database.
const ADDRESS: &str = "DPP_DB_ENGINE";
/// File with the token.
const TOKEN: &str = "token";

/// The database of a pod.
struct PodTables {
    database: RemoteDatabase,
    token: PathBuf,
}

impl PodTables {
    fn check_name(&self, name: &str) -> Result<(), NotShown> {
        match name == self.database.name() {
            true => Ok(()),
            false => Err(NotShown::Missing(format!("the database `{name}` does not exist here"))),
        }
    }

    /// Reads the token: a changed Secret needs no other pod.
    fn read_token(&self) -> Result<SecretString, String> {
        let file = self.token.display();
        let text = std::fs::read_to_string(&self.token).map_err(|error| format!("cannot read `{file}`: {error}"))?;
        let token = SecretString::from(text.trim());
        match token.expose_secret().chars().count() >= Token::MINIMUM_LENGTH {
            true => Ok(token),
            false => Err(format!("the token in `{file}` has fewer than {} characters", Token::MINIMUM_LENGTH)),
        }
    }
}

#[async_trait]
impl Tables for PodTables {
    fn token(&self) -> Result<SecretString, NotShown> {
        self.read_token().map_err(NotShown::Unavailable)
    }

    async fn databases(&self) -> Result<Vec<Database>, NotShown> {
        let status = if self.database.is_reachable().await { "running" } else { "not reachable" };
        Ok(vec![Database {
            name: self.database.name().to_owned(),
            system: Engine::Postgres.title().to_owned(),
            status: status.to_owned(),
            kept: "as long as its release keeps it".to_owned(),
        }])
    }

    async fn tables(&self, database: &str) -> Result<Vec<Table>, NotShown> {
        self.check_name(database)?;
        self.database.tables().await.map(shown_tables).map_err(not_shown)
    }

    async fn rows(&self, database: &str, schema: &str, table: &str, page: u64) -> Result<Rows, NotShown> {
        self.check_name(database)?;
        self.database.rows(schema, table, page).await.map(shown_rows).map_err(not_shown)
    }
}

/// Serves the pages of the pod until a signal.
///
/// # Errors
/// When the files of the Secret are invalid, or the server cannot accept connections.
pub(in crate::commands::pipelines) async fn serve(
    arguments: PodPagesArguments,
    stop: &CancellationToken,
) -> Result<Exit, Failure> {
    let PodPagesArguments { name, secrets, bind } = arguments;
    let database = RemoteDatabase::new(name, secrets.join(ADDRESS));
    let tables = PodTables { database, token: secrets.join(TOKEN) };
    tables.database.check().map_err(failure)?;
    tables.read_token().map_err(|message| {
        Failure::new(message).hint("write a random token into the Secret: `openssl rand -hex 32`")
    })?;
    let failed = |error: io::Error| Failure::new(format!("the pod: {error}"));
    let listener = bind.map_or_else(pod_site::listen, TcpListener::bind).map_err(failed)?;
    let pages = Pages { tables: Arc::new(tables), are_for_other_machines: true };
    let served = pages.serve(listener, stop.clone()).await;
    served.map(|()| Exit::Done).map_err(|error| Failure::new(format!("the pod: {error}")))
}
