//! One side of a transfer in a SQLite file: one immediate transaction on its own connection during the whole
//! transfer.

use super::columns::Columns;
use super::context::Context;
use super::error::Failure;
use super::file_identity::FileIdentity;
use super::worker::{Priority, Workers};
use super::{connection, journal, lease, roles};
use crate::StoreUrl;
use crate::clock::{Clock, SystemClock};
use crate::columns::ReadColumns;
use crate::transfer::{
    Cell, Cells, InUse, Kind, OPEN_STEPS, Side, Table, UNENDED_OPERATIONS, UNENDED_REQUESTS, Unended, in_use,
};
use crate::values;
use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use std::path::Path;
use std::sync::Arc;
use terrace_store::{OperationStatus, StoreError};
use uuid::Uuid;

/// A file that is locked against all other writers.
struct SqliteSide {
    workers: Workers,
    context: Context,
    file: Arc<FileIdentity>,
    url: String,
}

/// Opens and locks a file. A missing file is created, an older one upgraded to the newest format.
pub(crate) fn side(path: &Path) -> Result<Box<dyn Side>, StoreError> {
    let clock = SystemClock;
    let now = clock.now();
    let url = StoreUrl::Sqlite(path.to_owned()).to_string();
    connection::inspect_path(path, crate::Access::ReadWrite)?;
    let connection = connection::writer(path, &url, now)?;
    let file = Arc::new(FileIdentity::of(path, now));
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(|error| super::error::unavailable("opened", connection.path(), &error))?;
    let workers = Workers::start("state-transfer", vec![connection])?;
    Ok(Box::new(SqliteSide { workers, context: Context::new(Arc::new(clock)), file, url }))
}

#[async_trait]
impl Side for SqliteSide {
    async fn id(&mut self) -> Result<Uuid, StoreError> {
        self.workers.run(Priority::Normal, "read", |connection| connection::identity(connection)).await
    }

    async fn in_use(&mut self) -> Result<Vec<InUse>, StoreError> {
        let context = self.context.clone();
        self.workers.run(Priority::Normal, "read", move |connection| find_uses(connection, &context)).await
    }

    async fn has_roles(&mut self) -> Result<bool, StoreError> {
        self.workers.run(Priority::Normal, "read", |connection| roles::tables_exist(connection)).await
    }

    async fn make_roles(&mut self) -> Result<(), StoreError> {
        let url = self.url.clone();
        self.workers.run(Priority::Normal, "written", move |connection| roles::make(connection, &url)).await
    }

    async fn has_any(&mut self, table: &'static str) -> Result<bool, StoreError> {
        let sql = format!("SELECT 1 FROM \"{table}\"");
        self.workers.run(Priority::Normal, "read", move |connection| Ok(connection.prepare(&sql)?.exists([])?)).await
    }

    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<Cells>,
        most: usize,
    ) -> Result<Vec<Cells>, StoreError> {
        self.workers.run(Priority::Normal, "read", move |connection| page(connection, table, after, most)).await
    }

    async fn forget_id(&mut self) -> Result<(), StoreError> {
        self.workers
            .run(Priority::Normal, "written", |connection| Ok(connection.execute_batch("DELETE FROM store")?))
            .await
    }

    async fn add(&mut self, table: &'static Table, rows: Vec<Cells>) -> Result<(), StoreError> {
        self.workers.run(Priority::Normal, "written", move |connection| add(connection, table, &rows)).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let (now, file) = (self.context.clock.now(), Arc::clone(&self.file));
        self.workers
            .run(Priority::Normal, "written", move |connection| {
                connection.execute(
                    "UPDATE operation SET status = ?1, ended_at = ?2, summary = ?3 WHERE ended_at IS NULL",
                    (
                        values::word(&OperationStatus::Interrupted)?,
                        now.as_microsecond(),
                        crate::transfer::INTERRUPTED_SUMMARY,
                    ),
                )?;
                if !file.is_present() {
                    return Err(Failure::misuse("its file was deleted or replaced meanwhile"));
                }
                Ok(connection.execute_batch("COMMIT")?)
            })
            .await
    }
}

fn find_uses(connection: &Connection, context: &Context) -> Result<Vec<InUse>, Failure> {
    fn all<T>(
        connection: &Connection,
        sql: &str,
        read: impl Fn(&mut Columns<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut statement = connection.prepare(sql)?;
        let found = statement.query_map([], |row| read(&mut Columns::of(row)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
    let steps = all(connection, OPEN_STEPS, |columns| {
        Ok(InUse::Step { stack: columns.stack()?, address: columns.take()?, operation: columns.uuid()? })
    })?;
    let requests = all(connection, UNENDED_REQUESTS, |columns| {
        Ok(InUse::Request {
            id: columns.uuid()?,
            kind: columns.take()?,
            stack: columns.stack()?,
            order: columns.order()?,
            is_queued: columns.word::<OperationStatus>()? == OperationStatus::Queued,
        })
    })?;
    let operations = all(connection, UNENDED_OPERATIONS, |columns| {
        Ok(Unended {
            sequence: columns.take()?,
            id: columns.uuid()?,
            kind: columns.take()?,
            actor: columns.take()?,
            is_cancelled: columns.take::<Option<String>>()?.is_some(),
        })
    })?;
    let abandoned = journal::abandoned(connection, context, Timestamp::MAX)?;
    Ok(in_use(lease::held(connection, context)?, requests, operations, &abandoned, steps))
}

fn page(connection: &Connection, table: &Table, after: Option<Cells>, most: usize) -> Result<Vec<Cells>, Failure> {
    let columns = table.column_list(|column| format!("\"{}\"", column.name));
    let keys = vec!["?"; table.keys].join(", ");
    let sql = table.page(&columns, after.is_some().then_some(keys.as_str()), most);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(after.unwrap_or_default()), |row| cells(table, row))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn cells(table: &Table, row: &Row<'_>) -> rusqlite::Result<Cells> {
    let cell = |(index, column): (usize, &crate::transfer::Column)| {
        Ok(match (row.get_ref(index)?, column.kind) {
            (ValueRef::Null, _) => Cell::Null,
            (_, Kind::Number | Kind::Time) => Cell::Number(row.get(index)?),
            (_, Kind::Flag) => Cell::Number(row.get::<_, bool>(index)?.into()),
            (_, Kind::Text) => Cell::Text(row.get(index)?),
            (_, Kind::Bytes) => Cell::Bytes(row.get(index)?),
            (_, Kind::Id) => Cell::Id(row.get(index).map(Uuid::from_bytes)?),
        })
    };
    table.columns.iter().enumerate().map(cell).collect()
}

fn add(connection: &Connection, table: &Table, rows: &[Cells]) -> Result<(), Failure> {
    let columns = table.column_list(|column| format!("\"{}\"", column.name));
    let values = vec!["?"; table.columns.len()].join(", ");
    let sql = format!("INSERT INTO \"{}\" ({columns}) VALUES ({values})", table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    for row in rows {
        statement.execute(params_from_iter(row))?;
    }
    Ok(())
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Id(id) => ValueRef::Blob(id.as_bytes()),
        }))
    }
}
