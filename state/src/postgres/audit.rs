//! Audit log: a chain of entries. Writers lock the row of its end (`audit_head`) and no other row after it, so that
//! they follow each other without deadlocks.

use super::columns::{self, Columns};
use super::error::Failure;
use super::server::Context;
use super::session::Session;
use crate::rules::AUDIT_BATCH;
use crate::sql::LAST_AUDIT_ENTRY_TO_PRUNE;
use jiff::Timestamp;
use terrace_store::{Anchor, AuditEntry, AuditLink, AuditPage, GENESIS};

/// Appends entries, and returns their number.
pub(super) async fn append(session: &Session, context: &Context, entries: &[AuditEntry]) -> Result<u64, Failure> {
    if entries.is_empty() {
        return Ok(0);
    }
    let mut head = lock(session).await?;
    let now = context.now(session).await?;
    let mut appended = 0;
    for entry in entries {
        // An unanswered earlier attempt or another process may have committed it.
        let may_exist = context.is_repeated || entry.is_of_event();
        if may_exist && session.exists("SELECT 1 FROM audit WHERE id = $1", &[&entry.id]).await? {
            continue;
        }
        let link = AuditLink::after(head.number, &head.hash, now, entry).map_err(unwritable)?;
        let sql = "INSERT INTO audit (number, id, at, entry, hash) VALUES ($1, $2, $3, $4, $5)";
        let AuditLink { number, id, at, entry, hash } = link;
        let (row, at) = (columns::integer(number), columns::time(at));
        session.execute(sql, &[&row, &id, &at, &columns::text(&entry), &hash]).await?;
        head = Anchor { number, hash };
        appended += 1;
    }
    let sql = "UPDATE audit_head SET number = $1, hash = $2";
    session.execute(sql, &[&columns::integer(head.number), &head.hash]).await?;
    Ok(appended)
}

/// Locks the end of the chain.
async fn lock(session: &Session) -> Result<Anchor, Failure> {
    let sql = "SELECT number, hash FROM audit_head FOR UPDATE";
    if let Some(head) = session.first(sql, &[], anchor).await? {
        return Ok(head);
    }
    let first = "INSERT INTO audit_head (singleton, number, hash) VALUES (1, 0, $1) ON CONFLICT DO NOTHING";
    session.execute(first, &[&GENESIS]).await?;
    let head = session.first(sql, &[], anchor).await?;
    head.ok_or_else(|| Failure::Unreadable("the audit log has lost its end".to_owned()))
}

/// The entries after a number.
pub(super) async fn page(session: &Session, after: u64, limit: usize) -> Result<AuditPage, Failure> {
    let sql = "SELECT number, id, at, entry, hash FROM audit WHERE number > $1 ORDER BY number LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let links =
        session.list(sql, &[&columns::integer(after), &limit], |columns| crate::columns::audit_link(columns)).await?;
    let head = session.first("SELECT number, hash FROM audit_head WHERE number > 0", &[], anchor).await?;
    Ok(AuditPage { links, head })
}

/// `PRUNE` in ASCII: the lock of processes that prune the log.
const PRUNING: i64 = 0x50_5255_4e45;

/// Of the first entries up to a number, removes those that are older than a moment, and appends an entry that names the
/// last removed one. Returns the number of removed entries.
///
/// Writers wait only for the new entry: the end of the chain is locked after the removal.
pub(super) async fn prune_batch(
    session: &Session,
    context: &Context,
    until: u64,
    moment: Timestamp,
) -> Result<u64, Failure> {
    session.raise_limits().await?;
    session.query("SELECT pg_advisory_xact_lock($1)", &[&PRUNING]).await?;
    let batch = i64::try_from(AUDIT_BATCH).unwrap_or(i64::MAX);
    let (until, moment) = (columns::integer(until), columns::time(moment));
    let last = session.first(LAST_AUDIT_ENTRY_TO_PRUNE, &[&until, &batch, &moment], anchor).await?;
    let Some(last) = last else { return Ok(0) };
    let sql = "DELETE FROM audit WHERE number <= $1";
    let removed = session.execute(sql, &[&columns::integer(last.number)]).await?;
    append(session, context, &[AuditEntry::pruned(last.number, last.hash)]).await?;
    Ok(removed)
}

fn anchor(columns: &mut Columns<'_>) -> Result<Anchor, Failure> {
    crate::columns::anchor(columns)
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::misuse(format!("cannot write an entry of the audit log: {error}"))
}
