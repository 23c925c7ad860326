//! Pruning: old versions that are not current, and ended operations with their steps and logs.
//!
//! Pruning runs in batches, oldest rows first, each in a separate transaction with its own locks: operations wait at
//! most for one batch.

use super::error::Failure;
use super::server::Context;
use super::session::Session;
use super::{columns, journal};
use crate::columns::ReadColumns;
use crate::rules;
use crate::sql::TABLES_OF_OPERATION;
use jiff::Timestamp;

/// The rows of one transaction.
const BATCH: i64 = 2000;

/// A table to prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Versions,
    ComponentVersions,
    Operations,
}

/// The result of a batch.
pub(super) struct Batch {
    /// The row after which the next batch starts; `None` if the rest is not old.
    pub(super) next: Option<i64>,
    /// The number of removed rows.
    pub(super) removed: usize,
}

/// Some versions stay: the newest version of every address, because generations continue from it, and versions that
/// were current at the moment (`$1`), because users can roll back to remaining operations.
const OLD_VERSIONS: &str = "
    version WHERE id = ANY($2) AND written_at < $1
      AND NOT EXISTS (SELECT 1 FROM resource WHERE resource.stack = version.stack
                         AND resource.address = version.address AND resource.version = version.id)
      AND generation < (SELECT max(generation) FROM version AS newest
                        WHERE newest.stack = version.stack AND newest.address = version.address)
      AND (deposed <> ''
           OR coalesce((SELECT next.written_at < $1 FROM version AS next
                        WHERE next.stack = version.stack AND next.address = version.address
                          AND next.deposed = '' AND next.generation > version.generation
                        ORDER BY next.generation LIMIT 1), true))";

const OLD_COMPONENT_VERSIONS: &str = "
    component_version WHERE id = ANY($2) AND written_at < $1
      AND (SELECT next.written_at FROM component_version AS next
           WHERE next.stack = component_version.stack AND next.key = component_version.key
             AND next.generation > component_version.generation
           ORDER BY next.generation LIMIT 1) < $1";

/// Removes old rows among the next rows of a table.
pub(super) async fn batch(
    session: &Session,
    context: &Context,
    part: Part,
    after: i64,
    moment: Timestamp,
) -> Result<Batch, Failure> {
    session.raise_limits().await?;
    match part {
        Part::Versions => versions(session, ("version", OLD_VERSIONS), after, moment).await,
        Part::ComponentVersions => {
            versions(session, ("component_version", OLD_COMPONENT_VERSIONS), after, moment).await
        }
        Part::Operations => operations(session, context, after, moment).await,
    }
}

async fn versions(
    session: &Session,
    (table, old): (&str, &str),
    after: i64,
    moment: Timestamp,
) -> Result<Batch, Failure> {
    let sql = format!("SELECT id, written_at FROM {table} WHERE id > $1 ORDER BY id LIMIT $2");
    let rows: Vec<(i64, Timestamp)> =
        session.list(&sql, &[&after, &BATCH], |columns| Ok((columns.take()?, columns.time()?))).await?;
    let written_before: Vec<i64> = rows.iter().filter(|(_, at)| *at < moment).map(|(id, _)| *id).collect();
    // Rows are in the order of their writes.
    let next = rows.last().map(|(id, _)| *id).filter(|_| !written_before.is_empty());
    let moment = columns::time(moment);
    let sql = format!("SELECT stack FROM {old}");
    let stacks: Vec<i64> = match written_before.is_empty() {
        true => Vec::new(),
        false => session.list(&sql, &[&moment, &written_before], |columns| columns.take()).await?,
    };
    if stacks.is_empty() {
        return Ok(Batch { next, removed: 0 });
    }
    let sql = "SELECT 1 FROM stack WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    session.query(sql, &[&stacks]).await?;
    let removed = session.execute(&format!("DELETE FROM {old}"), &[&moment, &written_before]).await?;
    Ok(Batch { next, removed: count(removed) })
}

/// Operations with an open step stay.
async fn operations(session: &Session, context: &Context, after: i64, moment: Timestamp) -> Result<Batch, Failure> {
    let rows = journal::operations_after(session, context, after, BATCH).await?;
    let began_before = rows.iter().any(|(_, row)| row.started_at < moment);
    let next = rows.last().map(|(sequence, _)| *sequence).filter(|_| began_before);
    let old: Vec<i64> =
        rows.iter().filter(|(_, row)| rules::is_old(row, moment)).map(|(sequence, _)| *sequence).collect();
    if old.is_empty() {
        return Ok(Batch { next, removed: 0 });
    }
    let sql = "SELECT sequence FROM operation
               WHERE sequence = ANY($1) AND NOT EXISTS (SELECT 1 FROM intent WHERE intent.operation = sequence)
                 AND NOT EXISTS (SELECT 1 FROM request WHERE request.operation = sequence AND result IS NULL)
               ORDER BY sequence FOR UPDATE";
    let old: Vec<i64> = session.list(sql, &[&old], |columns| columns.take()).await?;
    for table in TABLES_OF_OPERATION {
        session.execute(&format!("DELETE FROM {table} WHERE operation = ANY($1)"), &[&old]).await?;
    }
    let removed = session.execute("DELETE FROM operation WHERE sequence = ANY($1)", &[&old]).await?;
    Ok(Batch { next, removed: count(removed) })
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
