//! Audit log: a chain of entries. The writer has the file exclusively, so that the chain has one end.

use super::columns::{Columns, integer};
use super::context::Context;
use super::error::Failure;
use crate::columns;
use crate::rules::AUDIT_BATCH;
use crate::sql::LAST_AUDIT_ENTRY_TO_PRUNE;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction};
use terrace_store::{Anchor, AuditEntry, AuditLink, AuditPage, GENESIS};

/// Appends entries, and returns their number.
pub(super) fn append(transaction: &Transaction<'_>, context: &Context, entries: &[AuditEntry]) -> Result<u64, Failure> {
    if entries.is_empty() {
        return Ok(0);
    }
    let (now, mut head) = (context.clock.now(), head(transaction)?.unwrap_or_else(genesis));
    let mut appended = 0;
    for entry in entries {
        if entry.is_of_event() {
            let sql = "SELECT EXISTS (SELECT 1 FROM audit WHERE id = ?1)";
            let is_known: bool = transaction.prepare_cached(sql)?.query_row([entry.id.as_bytes()], |row| row.get(0))?;
            if is_known {
                continue;
            }
        }
        let link = AuditLink::after(head.number, &head.hash, now, entry).map_err(unwritable)?;
        let sql = "INSERT INTO audit (number, id, at, entry, hash) VALUES (?1, ?2, ?3, ?4, ?5)";
        let AuditLink { number, id, at, entry, hash } = link;
        let at = at.as_microsecond();
        transaction.prepare_cached(sql)?.execute((integer(number), id.as_bytes(), at, entry, &hash))?;
        head = Anchor { number, hash };
        appended += 1;
    }
    let sql = "INSERT INTO audit_head (singleton, number, hash) VALUES (1, ?1, ?2)
               ON CONFLICT (singleton) DO UPDATE SET number = excluded.number, hash = excluded.hash";
    transaction.prepare_cached(sql)?.execute((integer(head.number), &head.hash))?;
    Ok(appended)
}

/// The entries after a number.
pub(super) fn page(connection: &Connection, after: u64, limit: usize) -> Result<AuditPage, Failure> {
    let sql = "SELECT number, id, at, entry, hash FROM audit WHERE number > ?1 ORDER BY number LIMIT ?2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let links = statement.query_map((integer(after), limit), |row| columns::audit_link(&mut Columns::of(row)))?;
    Ok(AuditPage { links: links.collect::<Result<_, _>>()?, head: head(connection)? })
}

/// Of the first entries up to a number, removes those that are older than a moment, and appends an entry that names the
/// last removed one. Returns the number of removed entries.
pub(super) fn prune_batch(
    transaction: &Transaction<'_>,
    context: &Context,
    until: u64,
    moment: Timestamp,
) -> Result<u64, Failure> {
    let batch = i64::try_from(AUDIT_BATCH).unwrap_or(i64::MAX);
    let parameters = (integer(until), batch, moment.as_microsecond());
    let last = transaction.prepare_cached(LAST_AUDIT_ENTRY_TO_PRUNE)?.query_row(parameters, anchor).optional()?;
    let Some(last) = last else { return Ok(0) };
    let sql = "DELETE FROM audit WHERE number <= ?1";
    let removed = transaction.prepare_cached(sql)?.execute([integer(last.number)])?;
    append(transaction, context, &[AuditEntry::pruned(last.number, last.hash)])?;
    Ok(removed as u64)
}

fn head(connection: &Connection) -> Result<Option<Anchor>, Failure> {
    Ok(connection
        .prepare_cached("SELECT number, hash FROM audit_head WHERE number > 0")?
        .query_row([], anchor)
        .optional()?)
}

fn anchor(row: &rusqlite::Row<'_>) -> rusqlite::Result<Anchor> {
    columns::anchor(&mut Columns::of(row))
}

fn genesis() -> Anchor {
    Anchor { number: 0, hash: GENESIS.to_owned() }
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::misuse(format!("cannot write an entry of the audit log: {error}"))
}
