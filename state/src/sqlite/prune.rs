//! Removes what is old: versions that are not current, operations that ended with their steps and logs.

use super::error::Failure;
use jiff::Timestamp;
use rusqlite::Transaction;
use terrace_engine::store::Pruned;

/// Removes what was written, or ended, before a moment. The newest version of every address stays, for generations
/// count on from it; so do operations with an open step.
pub(super) fn before(transaction: &Transaction<'_>, moment: Timestamp) -> Result<Pruned, Failure> {
    let moment = moment.as_microsecond();
    let versions = transaction.execute(
        "DELETE FROM version WHERE written_at < ?1 AND id NOT IN (SELECT version FROM resource)
            AND generation < (SELECT max(generation) FROM version AS newest
                              WHERE newest.stack = version.stack AND newest.address = version.address)",
        [moment],
    )?;
    const OLD: &str = "SELECT sequence FROM operation
                       WHERE ended_at < ?1 AND sequence NOT IN (SELECT operation FROM intent)";
    for table in ["log", "step", "operation_stack"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE operation IN ({OLD})"), [moment])?;
    }
    let operations = transaction.execute(&format!("DELETE FROM operation WHERE sequence IN ({OLD})"), [moment])?;
    Ok(Pruned { versions, operations })
}
