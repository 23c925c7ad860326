//! Tables of a SQLite file.

use super::{
    Column, LONGEST_VALUE, MOST_COUNTED, MOST_TABLES, PAGE, QUERY_TIMEOUT, Rows, Table, into_page, query_error, quoted,
    truncate,
};
use crate::database::error::DatabaseError;
use crate::database::record::Record;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Result, Row};

/// Runs a query outside of the async threads; interrupts it after a timeout.
pub(super) async fn query<T: Send + 'static>(
    record: &Record,
    work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> std::result::Result<T, DatabaseError> {
    let data = record.data.clone();
    let (send_handle, handle_received) = tokio::sync::oneshot::channel();
    let answer = tokio::task::spawn_blocking(move || {
        let file =
            Connection::open_with_flags(data, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        file.busy_timeout(QUERY_TIMEOUT)?;
        // If this fails, the query timed out before it started.
        let _ = send_handle.send(file.get_interrupt_handle());
        work(&file)
    });
    tokio::pin!(answer);
    let answered = tokio::select! {
        answered = &mut answer => answered,
        () = tokio::time::sleep(QUERY_TIMEOUT) => {
            if let Ok(handle) = handle_received.await {
                handle.interrupt();
            }
            answer.await
        }
    };
    answered.map_err(|error| query_error(&record.name, error))?.map_err(|error| query_error(&record.name, error))
}

pub(super) fn tables(file: &Connection) -> Result<Vec<Table>> {
    let mut statement = file.prepare(
        "SELECT name, type = 'view' FROM sqlite_schema \
         WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name LIMIT ?1",
    )?;
    let table = |row: &Row<'_>| Ok(Table { schema: String::new(), name: row.get(0)?, is_view: row.get(1)? });
    statement.query_map([i64::try_from(MOST_TABLES).unwrap_or(i64::MAX)], table)?.collect()
}

pub(super) fn rows(file: &Connection, table: &Table, first: u64) -> Result<Rows> {
    let mut statement = file.prepare("SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden <> 1")?;
    let column = |row: &Row<'_>| Ok(Column { name: row.get(0)?, kind: row.get(1)? });
    let columns: Vec<Column> = statement.query_map([&table.name], column)?.collect::<Result<_>>()?;
    let length = LONGEST_VALUE + 1;
    let shown: Vec<String> = columns.iter().map(|column| truncated_column(&quoted(&column.name), length)).collect();
    let sql = format!("SELECT {} FROM {} LIMIT ?1 OFFSET ?2", shown.join(", "), quoted(&table.name));
    let mut statement = file.prepare(&sql)?;
    let width = columns.len();
    let row = |row: &Row<'_>| (0..width).map(|position| Ok(text(row.get_ref(position)?))).collect::<Result<Vec<_>>>();
    let rows: Vec<Vec<Option<String>>> =
        statement.query_map([signed(PAGE + 1), signed(first)], row)?.collect::<Result<_>>()?;
    Ok(into_page(columns, rows))
}

/// Converts a number for SQLite, whose integers are signed.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Expression that truncates a value before it is read.
fn truncated_column(column: &str, length: usize) -> String {
    format!(
        "CASE typeof({column}) WHEN 'text' THEN substr({column}, 1, {length}) \
         WHEN 'blob' THEN 'x''' || hex(substr({column}, 1, {})) || '''' ELSE {column} END",
        length / 2
    )
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(truncate(String::from_utf8_lossy(bytes).into_owned())),
    }
}

pub(super) fn count(file: &Connection, tables: &[Table]) -> Result<u64> {
    tables.iter().try_fold(0, |sum: u64, table| {
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT ?1)", quoted(&table.name));
        let rows: i64 = file.query_row(&sql, [signed(MOST_COUNTED)], |row| row.get(0))?;
        Ok(sum.saturating_add(rows.unsigned_abs()))
    })
}
