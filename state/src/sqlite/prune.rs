//! Pruning: old versions that are not current, and ended operations with their steps and logs.

use super::context::Context;
use super::error::Failure;
use super::journal;
use crate::sql::TABLES_OF_OPERATION;
use jiff::Timestamp;
use rusqlite::Transaction;
use terrace_store::Pruned;

/// Removes versions and operations that were written or ended before a moment. An abandoned operation has no end, so
/// its start counts. Some rows stay: the newest version of every address, because generations continue from it;
/// versions that were current at that moment, because users can roll back to remaining operations; and operations with
/// an open step.
pub(super) fn before(transaction: &Transaction<'_>, context: &Context, moment: Timestamp) -> Result<Pruned, Failure> {
    let microseconds = moment.as_microsecond();
    let versions = transaction.execute(
        "DELETE FROM version WHERE written_at < ?1 AND id NOT IN (SELECT version FROM resource)
            AND generation < (SELECT max(generation) FROM version AS newest
                              WHERE newest.stack = version.stack AND newest.address = version.address)
            AND (deposed <> ''
                 OR coalesce((SELECT next.written_at FROM version AS next
                              WHERE next.stack = version.stack AND next.address = version.address
                                AND next.deposed = '' AND next.generation > version.generation
                              ORDER BY next.generation LIMIT 1), ?1 - 1) < ?1)",
        [microseconds],
    )?;
    transaction.execute(
        "DELETE FROM component_version WHERE written_at < ?1
            AND (SELECT next.written_at FROM component_version AS next
                 WHERE next.stack = component_version.stack AND next.key = component_version.key
                   AND next.id > component_version.id ORDER BY next.id LIMIT 1) < ?1",
        [microseconds],
    )?;
    let mut old: Vec<i64> = transaction
        .prepare_cached("SELECT sequence FROM operation WHERE ended_at < ?1")?
        .query_map([microseconds], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    old.extend(journal::abandoned(transaction, context, moment)?);
    let mut operations = 0;
    for operation in old {
        let sql = "SELECT 1 FROM intent WHERE operation = ?1
                   UNION ALL SELECT 1 FROM request WHERE operation = ?1 AND result IS NULL";
        if transaction.prepare_cached(sql)?.exists([operation])? {
            continue;
        }
        for table in TABLES_OF_OPERATION {
            let sql = format!("DELETE FROM {table} WHERE operation = ?1");
            transaction.prepare_cached(&sql)?.execute([operation])?;
        }
        operations += transaction.prepare_cached("DELETE FROM operation WHERE sequence = ?1")?.execute([operation])?;
    }
    Ok(Pruned { versions, operations })
}
