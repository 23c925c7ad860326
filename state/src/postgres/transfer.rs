//! One side of a transfer in a PostgreSQL database: one transaction that locks all tables against writers during the
//! whole transfer.

use super::columns::{self, Columns};
use super::connection::ConnectionClass;
use super::error::Failure;
use super::server::{Context, Server};
use super::session::{Purpose, Session};
use super::{journal, lease, migrate, roles};
use crate::clock::Clock;
use crate::columns::ReadColumns;
use crate::transfer::{
    Cell, Cells, Column, INTERRUPTED_SUMMARY, InUse, Kind, OPEN_STEPS, Side, TABLES, Table, UNENDED_OPERATIONS,
    UNENDED_REQUESTS, Unended, in_use,
};
use crate::url::PostgresUrl;
use crate::values;
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;
use terrace_store::{OperationStatus, StoreError};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Locks all writers out. Two transfers in opposite directions cannot deadlock: the order is that of [`super::lock`],
/// then the tables without an order there. Readers see the old content.
const LOCK: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0;
    LOCK TABLE stack, owner, lease, operation, request IN EXCLUSIVE MODE;
    LOCK TABLE store, version, resource, dependent, component, component_version, operation_stack, step, intent, log,
               spent_plan, audit, audit_head IN EXCLUSIVE MODE";

type Value = Box<dyn ToSql + Sync + Send>;

/// A database that is locked against all other writers.
struct PostgresSide {
    // Dropped before the server, whose thread its connection needs.
    session: Session,
    server: Server,
}

/// Opens, upgrades and locks a database.
pub(crate) async fn side(url: &PostgresUrl) -> Result<Box<dyn Side>, StoreError> {
    let server = Server::new(url, &(Arc::new(crate::SystemClock) as Arc<dyn Clock>))?;
    let (pool, shown) = (server.pool.clone(), server.url.clone());
    let opened = server.run("opened", async move {
        migrate::run(&pool, &shown, None).await?;
        let session = Session::on(&pool, Purpose::Write, ConnectionClass::Work.deadline(Purpose::Write)).await?;
        session.run(LOCK).await?;
        session.raise_deadline();
        Ok(session)
    });
    let session = opened.await?;
    Ok(Box::new(PostgresSide { session, server }))
}

impl PostgresSide {
    fn converted<T>(&self, action: &'static str, done: Result<T, Failure>) -> Result<T, StoreError> {
        done.map_err(|failure| failure.into_store_error(action, &self.server.url))
    }
}

#[async_trait]
impl Side for PostgresSide {
    async fn id(&mut self) -> Result<Uuid, StoreError> {
        self.converted("read", migrate::identity(&self.session).await)
    }

    async fn in_use(&mut self) -> Result<Vec<InUse>, StoreError> {
        self.converted("read", find_uses(&self.session, &self.server.context).await)
    }

    async fn has_roles(&mut self) -> Result<bool, StoreError> {
        self.converted("read", roles::tables_exist(&self.session).await)
    }

    async fn make_roles(&mut self) -> Result<(), StoreError> {
        self.converted("written", roles::make(&self.session, &self.server.url).await)
    }

    async fn has_any(&mut self, table: &'static str) -> Result<bool, StoreError> {
        let sql = format!("SELECT 1 FROM \"{table}\" LIMIT 1");
        self.converted("read", self.session.exists(&sql, &[]).await)
    }

    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<Cells>,
        most: usize,
    ) -> Result<Vec<Cells>, StoreError> {
        self.converted("read", page(&self.session, table, after, most).await)
    }

    async fn forget_id(&mut self) -> Result<(), StoreError> {
        self.converted("written", self.session.run("DELETE FROM store").await)
    }

    async fn add(&mut self, table: &'static Table, rows: Vec<Cells>) -> Result<(), StoreError> {
        self.converted("written", add(&self.session, table, &rows).await)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { session, server } = *self;
        let done = last(&session, &server.context).await;
        session.end(done).await.map_err(|failure| failure.into_store_error("written", &server.url))
    }
}

async fn find_uses(session: &Session, context: &Context) -> Result<Vec<InUse>, Failure> {
    let steps = session.list(OPEN_STEPS, &[], |columns| {
        Ok(InUse::Step { stack: columns.stack()?, address: columns.text()?, operation: columns.uuid()? })
    });
    let steps = steps.await?;
    let requests = session.list(UNENDED_REQUESTS, &[], |columns| {
        Ok(InUse::Request {
            id: columns.uuid()?,
            kind: columns.text()?,
            stack: columns.stack()?,
            order: columns.order()?,
            is_queued: columns.word::<OperationStatus>()? == OperationStatus::Queued,
        })
    });
    let requests = requests.await?;
    let operations = session.list(UNENDED_OPERATIONS, &[], |columns| {
        Ok(Unended {
            sequence: columns.take()?,
            id: columns.uuid()?,
            kind: columns.text()?,
            actor: columns.text()?,
            is_cancelled: columns.optional_text()?.is_some(),
        })
    });
    let operations = operations.await?;
    let now = context.now(session).await?;
    let abandoned = journal::abandoned(session, now, Timestamp::MAX).await?;
    Ok(in_use(lease::held(session, now).await?, requests, operations, &abandoned, steps))
}

async fn page(session: &Session, table: &Table, after: Option<Cells>, most: usize) -> Result<Vec<Cells>, Failure> {
    let listed = table.column_list(|column| match column.kind {
        Kind::Number => format!("\"{}\"::bigint", column.name),
        _ => format!("\"{}\"", column.name),
    });
    let keys: Vec<&Column> = table.columns.iter().take(table.keys).collect();
    let parameters =
        keys.iter().enumerate().map(|(index, column)| format!("${}::{}", index + 1, sql_type(column.kind)));
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let sql = table.page(&listed, after.is_some().then_some(parameters.as_str()), most);
    let mut values: Vec<Value> = Vec::with_capacity(keys.len());
    for (column, cell) in keys.iter().zip(after.unwrap_or_default()) {
        values.push(one(column.kind, &cell)?);
    }
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    session.list(&sql, &values, |columns| table.columns.iter().map(|column| cell(columns, column.kind)).collect()).await
}

fn cell(columns: &mut Columns<'_>, kind: Kind) -> Result<Cell, Failure> {
    Ok(match kind {
        Kind::Number => columns.take::<Option<i64>>()?.map(Cell::Number),
        Kind::Flag => columns.take::<Option<bool>>()?.map(|flag| Cell::Number(flag.into())),
        Kind::Time => columns.optional_time()?.map(|time| Cell::Number(time.as_microsecond())),
        Kind::Text => columns.optional_text()?.map(Cell::Text),
        Kind::Bytes => columns.take::<Option<Vec<u8>>>()?.map(Cell::Bytes),
        Kind::Id => columns.take::<Option<Uuid>>()?.map(Cell::Id),
    }
    .unwrap_or(Cell::Null))
}

/// Inserts many rows with one statement, which takes each column as a list.
async fn add(session: &Session, table: &Table, rows: &[Cells]) -> Result<(), Failure> {
    let listed = table.column_list(|column| format!("\"{}\"", column.name));
    let (mut lists, mut values): (Vec<String>, Vec<Value>) = (Vec::new(), Vec::new());
    for (index, column) in table.columns.iter().enumerate() {
        lists.push(format!("${}::{}[]", index + 1, sql_type(column.kind)));
        values.push(many(column.kind, rows.iter().filter_map(|row| row.get(index)))?);
    }
    let sql = format!(
        "INSERT INTO \"{}\" ({listed}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest({})",
        table.name,
        lists.join(", ")
    );
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    session.execute(&sql, &values).await?;
    Ok(())
}

const fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "bigint",
        Kind::Flag => "boolean",
        Kind::Time => "timestamptz",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
        Kind::Id => "uuid",
    }
}

/// A value as a parameter.
fn one(kind: Kind, cell: &Cell) -> Result<Value, Failure> {
    Ok(match kind {
        Kind::Number => Box::new(number(cell)?),
        Kind::Flag => Box::new(flag(cell)?),
        Kind::Time => Box::new(time(cell)?),
        Kind::Text => Box::new(text(cell)?),
        Kind::Bytes => Box::new(bytes(cell)?),
        Kind::Id => Box::new(id(cell)?),
    })
}

/// The values of a column as one parameter.
fn many<'a>(kind: Kind, cells: impl Iterator<Item = &'a Cell>) -> Result<Value, Failure> {
    Ok(match kind {
        Kind::Number => Box::new(cells.map(number).collect::<Result<Vec<_>, _>>()?),
        Kind::Flag => Box::new(cells.map(flag).collect::<Result<Vec<_>, _>>()?),
        Kind::Time => Box::new(cells.map(time).collect::<Result<Vec<_>, _>>()?),
        Kind::Text => Box::new(cells.map(text).collect::<Result<Vec<_>, _>>()?),
        Kind::Bytes => Box::new(cells.map(bytes).collect::<Result<Vec<_>, _>>()?),
        Kind::Id => Box::new(cells.map(id).collect::<Result<Vec<_>, _>>()?),
    })
}

fn number(cell: &Cell) -> Result<Option<i64>, Failure> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Number(number) => Ok(Some(*number)),
        _ => Err(wrong_type()),
    }
}

fn flag(cell: &Cell) -> Result<Option<bool>, Failure> {
    Ok(number(cell)?.map(|number| number != 0))
}

fn time(cell: &Cell) -> Result<Option<Timestamp>, Failure> {
    let converted =
        |number| Timestamp::from_microsecond(number).map_err(|error| Failure::Unreadable(error.to_string()));
    Ok(number(cell)?.map(converted).transpose()?.map(columns::time))
}

fn text(cell: &Cell) -> Result<Option<String>, Failure> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Text(text) => Ok(Some(columns::text(text).into_owned())),
        _ => Err(wrong_type()),
    }
}

fn bytes(cell: &Cell) -> Result<Option<Vec<u8>>, Failure> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Bytes(bytes) => Ok(Some(bytes.clone())),
        _ => Err(wrong_type()),
    }
}

fn id(cell: &Cell) -> Result<Option<Uuid>, Failure> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Id(id) => Ok(Some(*id)),
        _ => Err(wrong_type()),
    }
}

fn wrong_type() -> Failure {
    Failure::Unreadable("a column has a value of another type".to_owned())
}

/// The final statements after all rows are written.
async fn last(session: &Session, context: &Context) -> Result<(), Failure> {
    for (table, sequence) in TABLES.iter().filter_map(|table| Some((table, table.sequence?))) {
        let column = table.key();
        // The next number is the maximum plus one, or the first for an empty table.
        let sql = format!(
            "SELECT setval('{sequence}', coalesce(max({column}), 1), max({column}) IS NOT NULL) FROM \"{}\"",
            table.name
        );
        session.query(&sql, &[]).await?;
    }
    let sql = "UPDATE operation SET status = $1, ended_at = $2, summary = $3 WHERE ended_at IS NULL";
    let (status, now) = (values::word(&OperationStatus::Interrupted)?, columns::time(context.now(session).await?));
    session.execute(sql, &[&status, &now, &INTERRUPTED_SUMMARY]).await?;
    Ok(())
}
