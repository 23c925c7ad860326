//! The audit log: a chain of entries. Writers lock the row of its end (`audit_head`) and nothing after it, so that they
//! follow each other without deadlocks.

use super::Context;
use super::columns::{self, Columns};
use super::error::Failure;
use super::session::Session;
use jiff::Timestamp;
use std::time::Duration;
use terrace_engine::store::{Anchor, AuditEntry, AuditLink, AuditPage, GENESIS};

/// Appends entries.
pub(super) async fn append(session: &Session, context: &Context, entries: &[AuditEntry]) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let head = lock(session).await?;
    append_after(session, context, head, entries).await
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

async fn append_after(
    session: &Session,
    context: &Context,
    mut head: Anchor,
    entries: &[AuditEntry],
) -> Result<(), Failure> {
    let now = context.now(session).await?;
    for entry in entries {
        // The first try may have committed it.
        if context.is_repeated && session.exists("SELECT 1 FROM audit WHERE id = $1", &[&entry.id]).await? {
            continue;
        }
        let link = AuditLink::after(head.number, &head.hash, now, entry).map_err(unwritable)?;
        let sql = "INSERT INTO audit (number, id, at, entry, hash) VALUES ($1, $2, $3, $4, $5)";
        let AuditLink { number, id, at, entry, hash } = link;
        let (row, at) = (columns::integer(number), columns::time(at));
        session.execute(sql, &[&row, &id, &at, &columns::text(&entry), &hash]).await?;
        head = Anchor { number, hash };
    }
    let sql = "UPDATE audit_head SET number = $1, hash = $2";
    session.execute(sql, &[&columns::integer(head.number), &head.hash]).await?;
    Ok(())
}

/// The entries after a number.
pub(super) async fn page(session: &Session, after: u64, limit: usize) -> Result<AuditPage, Failure> {
    let sql = "SELECT number, id, at, entry, hash FROM audit WHERE number > $1 ORDER BY number LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let links = session
        .list(sql, &[&columns::integer(after), &limit], |columns| {
            Ok(AuditLink {
                number: columns.count()?,
                id: columns.uuid()?,
                at: columns.time()?,
                entry: columns.text()?,
                hash: columns.text()?,
            })
        })
        .await?;
    let head = session.first("SELECT number, hash FROM audit_head WHERE number > 0", &[], anchor).await?;
    Ok(AuditPage { links, head })
}

/// Removes the entries that are older, and appends an entry that names the last of them.
pub(super) async fn prune(session: &Session, context: &Context, keep: Duration) -> Result<u64, Failure> {
    let head = lock(session).await?;
    let moment = context.now(session).await?.checked_sub(keep).unwrap_or(Timestamp::MIN);
    let sql = "SELECT number, hash FROM audit
               WHERE number < coalesce((SELECT min(number) FROM audit WHERE at >= $1), 9223372036854775807)
               ORDER BY number DESC LIMIT 1";
    let last = session.first(sql, &[&columns::time(moment)], anchor).await?;
    let Some(last) = last else { return Ok(0) };
    let sql = "DELETE FROM audit WHERE number <= $1";
    let removed = session.execute(sql, &[&columns::integer(last.number)]).await?;
    append_after(session, context, head, &[AuditEntry::pruned(last.number, last.hash)]).await?;
    Ok(removed)
}

fn anchor(columns: &mut Columns<'_>) -> Result<Anchor, Failure> {
    Ok(Anchor { number: columns.count()?, hash: columns.text()? })
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::misuse(format!("an entry of the audit log cannot be written: {error}"))
}
