//! Tables of a server. Values are read as text, so that all types can be shown.

use super::{
    Column, LONGEST_VALUE, MOST_COUNTED, MOST_TABLES, PAGE, QUERY_TIMEOUT, Rows, Table, into_page, query_error, quoted,
    truncate,
};
use crate::database::error::DatabaseError;
use crate::database::record::{Access, HOST, USER};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A session of a database of terrace.
fn config(access: &Access) -> Config {
    let mut config = Config::new();
    config.user(USER).dbname(USER);
    if let Some(password) = &access.password {
        config.password(password.expose_secret());
    }
    config
}

/// Opens a read-only session.
pub(in crate::database) async fn open(name: &str, config: Config) -> Result<Client, DatabaseError> {
    let connected = read_only(config).connect(NoTls).await;
    let (client, connection) = connected.map_err(|error| query_error(name, error_message(&error)))?;
    tokio::spawn(connection);
    Ok(client)
}

fn read_only(mut config: Config) -> Config {
    config.connect_timeout(QUERY_TIMEOUT).application_name("terrace");
    config.options(format!("-c default_transaction_read_only=on -c statement_timeout={}", QUERY_TIMEOUT.as_millis()));
    config
}

/// Opens a session with a server on this machine.
pub(super) async fn connect(name: &str, access: &Access) -> Result<Client, DatabaseError> {
    let mut config = config(access);
    config.host(HOST).port(access.port.unwrap_or_default());
    open(name, config).await
}

/// Opens a session through a stream that leads to the server.
pub(in crate::database) async fn connect_through(
    name: &str,
    access: &Access,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Client, DatabaseError> {
    let connecting = tokio::time::timeout(QUERY_TIMEOUT, read_only(config(access)).connect_raw(stream, NoTls)).await;
    let connected = connecting.map_err(|_| query_error(name, "no answer in time"))?;
    let (client, connection) = connected.map_err(|error| query_error(name, error_message(&error)))?;
    tokio::spawn(connection);
    Ok(client)
}

/// Message of the server, or else of the client.
fn error_message(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

type TextRows = Vec<Vec<Option<String>>>;

/// Runs a query; returns the rows as text.
async fn query(name: &str, client: &Client, sql: &str) -> Result<TextRows, DatabaseError> {
    let messages = client.simple_query(sql).await.map_err(|error| query_error(name, error_message(&error)))?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|position| row.try_get(position).ok().flatten().map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

/// Quotes a text for SQL; backslashes are not special (`standard_conforming_strings`).
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(in crate::database) async fn tables(name: &str, client: &Client) -> Result<Vec<Table>, DatabaseError> {
    let sql = format!(
        "SELECT n.nspname, c.relname, CASE WHEN c.relkind IN ('v', 'f') THEN 'view' END \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
         ORDER BY 1, 2 LIMIT {MOST_TABLES}"
    );
    let rows = query(name, client, &sql).await?;
    let table = |row: Vec<Option<String>>| {
        let mut fields = row.into_iter();
        let (schema, name) = (fields.next()??, fields.next()??);
        Some(Table { schema, name, is_view: fields.next().flatten().is_some() })
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

pub(in crate::database) async fn rows(
    name: &str,
    client: &Client,
    table: &Table,
    first: u64,
) -> Result<Rows, DatabaseError> {
    let place = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
    let sql = format!(
        "SELECT attname, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
         WHERE attrelid = {}::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        literal(&place)
    );
    let column = |row: Vec<Option<String>>| {
        let mut fields = row.into_iter();
        Some(Column { name: fields.next()??, kind: fields.next()?? })
    };
    let columns: Vec<Column> = query(name, client, &sql).await?.into_iter().filter_map(column).collect();
    let length = LONGEST_VALUE + 1;
    let shown: Vec<String> = columns
        .iter()
        .map(|column| format!("pg_catalog.left({}::pg_catalog.text, {length})", quoted(&column.name)))
        .collect();
    // Physical positions order the rows of a table, so that pages are consistent. Views and foreign tables have none.
    let order = if table.is_view { "" } else { " ORDER BY tableoid, ctid" };
    let sql = format!("SELECT {} FROM {place}{order} LIMIT {} OFFSET {first}", shown.join(", "), PAGE + 1);
    let rows = query(name, client, &sql).await?;
    let rows = rows.into_iter().map(|row| row.into_iter().map(|value| value.map(truncate)).collect()).collect();
    Ok(into_page(columns, rows))
}

pub(in crate::database) async fn count(name: &str, client: &Client, tables: &[Table]) -> Result<u64, DatabaseError> {
    let mut sum = 0_u64;
    for table in tables {
        let place = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {place} LIMIT {MOST_COUNTED}) AS counted");
        let rows = query(name, client, &sql).await?;
        let rows = rows.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        sum = sum.saturating_add(rows);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_stays_one_literal() {
        assert_eq!(literal("a'b\\"), "'a''b\\'");
    }
}
