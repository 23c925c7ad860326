//! Removes what is old: versions that are not current, operations that are over with their steps and logs.

use super::connection::Session;
use super::error::Failure;
use super::{Context, columns, journal, lock};
use jiff::Timestamp;
use std::time::Duration;
use terrace_engine::store::Pruned;

/// Removes what was written, or ended, longer ago than that; of operations that were abandoned nobody knows the end, so that
/// their beginning counts. The newest version of every address stays, for generations count on from it; so does what was
/// current at that moment, for operations that stay on record can be gone back to, and so do operations with an open step.
pub(super) async fn older_than(session: &Session, context: &Context, keep: Duration) -> Result<Pruned, Failure> {
    lock::everything(session).await?;
    let now = context.now(session).await?;
    let moment = columns::time(now.checked_sub(keep).unwrap_or(Timestamp::MIN));
    let versions = session
        .execute(
            "DELETE FROM version WHERE written_at < $1
                AND NOT EXISTS (SELECT 1 FROM resource WHERE resource.version = version.id)
                AND generation < (SELECT max(generation) FROM version AS newest
                                  WHERE newest.stack = version.stack AND newest.address = version.address)
                AND (deposed <> ''
                     OR coalesce((SELECT next.written_at < $1 FROM version AS next
                                  WHERE next.stack = version.stack AND next.address = version.address
                                    AND next.deposed = '' AND next.generation > version.generation
                                  ORDER BY next.generation LIMIT 1), true))",
            &[&moment],
        )
        .await?;
    session
        .execute(
            "DELETE FROM component_version WHERE written_at < $1
                AND (SELECT next.written_at FROM component_version AS next
                     WHERE next.stack = component_version.stack AND next.key = component_version.key
                       AND next.generation > component_version.generation
                     ORDER BY next.generation LIMIT 1) < $1",
            &[&moment],
        )
        .await?;
    let mut old: Vec<i64> = session
        .list("SELECT sequence FROM operation WHERE ended_at < $1", &[&moment], |columns| columns.take())
        .await?;
    old.extend(journal::abandoned(session, now, moment).await?);
    let sql = "SELECT sequence FROM operation
               WHERE sequence = ANY($1) AND NOT EXISTS (SELECT 1 FROM intent WHERE intent.operation = sequence)
                 AND NOT EXISTS (SELECT 1 FROM request WHERE request.operation = sequence AND result IS NULL)
               ORDER BY sequence FOR UPDATE";
    let old: Vec<i64> = session.list(sql, &[&old], |columns| columns.take()).await?;
    for table in ["log", "step", "request", "operation_stack"] {
        session.execute(&format!("DELETE FROM {table} WHERE operation = ANY($1)"), &[&old]).await?;
    }
    let operations = session.execute("DELETE FROM operation WHERE sequence = ANY($1)", &[&old]).await?;
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Pruned { versions: count(versions), operations: count(operations) })
}
