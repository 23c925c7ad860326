//! A database at an address in a file, for the pages of a pod: a Secret of the cluster has the address.

use super::browse::{Rows, Table, find_table, first_row, in_time, postgres};
use super::error::{DatabaseError, DatabaseErrorKind};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use tokio_postgres::{Client, Config};

/// Schemes of PostgreSQL, without the driver.
const SCHEMES: [&str; 2] = ["postgresql", "postgres"];

/// A PostgreSQL database. Each call reads the address, which may change.
#[derive(Debug, Clone)]
pub struct RemoteDatabase {
    name: String,
    file: PathBuf,
}

impl RemoteDatabase {
    /// A database with this name for people, whose address (`DPP_DB_ENGINE`) is in a file.
    #[must_use]
    pub const fn new(name: String, file: PathBuf) -> Self {
        Self { name, file }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks the address. Opens no connection.
    ///
    /// # Errors
    /// When the file cannot be read, or has no address of a PostgreSQL server.
    pub fn check(&self) -> Result<(), DatabaseError> {
        self.config().map(drop)
    }

    fn config(&self) -> Result<Config, DatabaseError> {
        let invalid = |message: String| DatabaseError::new(DatabaseErrorKind::Invalid, message);
        let file = self.file.display();
        let text =
            std::fs::read_to_string(&self.file).map_err(|error| invalid(format!("cannot read `{file}`: {error}")))?;
        let address = SecretString::from(text);
        // The error of the library could repeat a part of the address.
        config_of(address.expose_secret().trim()).ok_or_else(|| {
            invalid(format!("`{file}` has no address of PostgreSQL"))
                .hint("write `postgresql://USER:PASSWORD@HOST:5432/DATABASE`")
        })
    }

    async fn connect(&self) -> Result<Client, DatabaseError> {
        postgres::open(&self.name, self.config()?).await
    }

    /// Returns true if the server accepts the connection.
    pub async fn is_reachable(&self) -> bool {
        in_time(&self.name, self.connect()).await.is_ok()
    }

    /// Tables and views, sorted, without those of the system.
    ///
    /// # Errors
    /// When the address is invalid, or the database does not answer.
    pub async fn tables(&self) -> Result<Vec<Table>, DatabaseError> {
        in_time(&self.name, async { postgres::tables(&self.name, &self.connect().await?).await }).await
    }

    /// A page of a table's rows; pages count from 0.
    ///
    /// # Errors
    /// As [`RemoteDatabase::tables`], and when the table does not exist.
    pub async fn rows(&self, schema: &str, table: &str, page: u64) -> Result<Rows, DatabaseError> {
        in_time(&self.name, async {
            let client = self.connect().await?;
            let table = find_table(postgres::tables(&self.name, &client).await?, &self.name, schema, table)?;
            postgres::rows(&self.name, &client, &table, first_row(page)).await
        })
        .await
    }
}

/// The connection of an address, which may name a driver.
fn config_of(address: &str) -> Option<Config> {
    let (scheme, rest) = address.split_once("://")?;
    let scheme = scheme.split('+').next().filter(|scheme| SCHEMES.contains(scheme))?;
    let config: Config = format!("{scheme}://{rest}").parse().ok()?;
    (!config.get_hosts().is_empty()).then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_may_name_a_driver_and_encode_its_password() {
        for address in [
            "postgresql+psycopg2://ada:a%20%27b@db.shop.svc:5433/orders",
            "postgres://ada:a%20%27b@db.shop.svc:5433/orders",
        ] {
            let config = config_of(address).unwrap();
            assert_eq!((config.get_user(), config.get_dbname()), (Some("ada"), Some("orders")));
            assert_eq!((config.get_password(), config.get_ports()), (Some(&b"a 'b"[..]), &[5433][..]));
        }
        for address in
            ["", "open-sesame", "sqlite:///x.db", "mysql://u:p@h/d", "postgresql://", "postgresql://u:p@h:port/d"]
        {
            assert!(config_of(address).is_none(), "{address}");
        }
    }

    #[test]
    fn error_of_an_address_does_not_repeat_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("DPP_DB_ENGINE");
        let database = RemoteDatabase::new("orders".to_owned(), file.clone());
        assert!(database.check().unwrap_err().message.starts_with("cannot read `"));
        std::fs::write(&file, "postgresql://ada:open-sesame@db:port/x").unwrap();
        let error = database.check().unwrap_err();
        assert!(error.message.ends_with("has no address of PostgreSQL") && error.hint.is_some(), "{error:?}");
        std::fs::write(&file, "postgresql://ada:open-sesame@db/x\n").unwrap();
        assert_eq!(database.check().map_err(|error| error.message), Ok(()));
    }
}
