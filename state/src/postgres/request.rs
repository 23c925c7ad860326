//! The queue of requests. A claim is fenced like a lease, and ends like one: by its expiry.
//!
//! Whoever claims takes the first request that nobody else is just taking, and waits for nobody.

use super::columns;
use super::connection::Session;
use super::error::Failure;
use super::listen::CHANNEL;
use super::{Context, commit, lock};
use crate::clock::later;
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_engine::store::{Enqueued, NewRequest, OperationStatus, RequestClaim, RequestEnd, RequestRow, StoreError};
use uuid::Uuid;

/// Queues a request.
pub(super) async fn enqueue(
    session: &Session,
    context: &Context,
    request: &NewRequest,
    most: usize,
) -> Result<Enqueued, Failure> {
    let Some(of) = request.operation.stacks.first() else {
        return Err(Failure::misuse(crate::of_no_stack(request.operation.id)));
    };
    if context.is_repeated && session.exists("SELECT 1 FROM operation WHERE id = $1", &[&request.operation.id]).await? {
        return Ok(Enqueued::Queued);
    }
    if let Some(key) = &request.idempotency {
        let key = columns::text(key);
        // Two that ask with one key at once are one after the other.
        session.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&key]).await?;
        let sql = "SELECT operation.id, digest FROM request JOIN operation ON operation.sequence = request.operation
                   WHERE idempotency = $1";
        let known = session.first(sql, &[&key], |columns| Ok((columns.uuid()?, columns.text()?))).await?;
        if let Some((operation, digest)) = known {
            return Ok(if digest == request.digest { Enqueued::Same(operation) } else { Enqueued::KeyTaken });
        }
    }
    let stack = lock::made(session, &BTreeSet::from([of.clone()])).await?.number(of)?;
    // Two that ask the same at once are one after the other.
    session.query("SELECT 1 FROM stack WHERE id = $1 FOR NO KEY UPDATE", &[&stack]).await?;
    let component = columns::text(&request.component);
    let sql = "SELECT operation.id, digest FROM request JOIN operation ON operation.sequence = request.operation
               WHERE stack = $1 AND component = $2 AND result IS NULL ORDER BY request.operation DESC LIMIT 1";
    let newest = session.first(sql, &[&stack, &component], |columns| Ok((columns.uuid()?, columns.text()?))).await?;
    if let Some((operation, _)) = newest.filter(|(_, digest)| *digest == request.digest) {
        return Ok(Enqueued::Same(operation));
    }
    if waiting(session).await? >= most {
        return Ok(Enqueued::Full);
    }
    let operation = commit::record(session, context, &request.operation, OperationStatus::Queued).await?;
    let sql = "INSERT INTO request (operation, stack, component, digest, body, idempotency, can_wait)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let (digest, body) = (columns::text(&request.digest), columns::text(&request.body));
    let key = request.idempotency.as_deref().map(columns::text);
    session.execute(sql, &[&operation, &stack, &component, &digest, &body, &key, &request.can_wait]).await?;
    // Heard by all once this is committed.
    session.query("SELECT pg_notify($1, '')", &[&CHANNEL]).await?;
    Ok(Enqueued::Queued)
}

/// How many requests wait for their first worker.
pub(super) async fn waiting(session: &Session) -> Result<usize, Failure> {
    let sql = "SELECT count(*) FROM request JOIN operation ON operation.sequence = request.operation
               WHERE result IS NULL AND status = $1 AND NOT can_wait";
    let queued = columns::word(&OperationStatus::Queued)?;
    Ok(session.first(sql, &[&queued], |columns| columns.count()).await?.unwrap_or_default())
}

/// Takes the next request: what somebody left first, then what waits, and of those about the same the earlier one. One of
/// the whole stack is about all of its components.
pub(super) async fn claim(
    session: &Session,
    context: &Context,
    holder: &str,
    term: Duration,
) -> Result<Option<RequestClaim>, Failure> {
    let now = context.now(session).await?;
    let sql = "SELECT operation FROM request
               WHERE result IS NULL AND (expires <= $1 OR (expires IS NULL AND NOT EXISTS (
                   SELECT 1 FROM request AS earlier
                   WHERE earlier.result IS NULL AND earlier.operation < request.operation
                     AND earlier.stack = request.stack
                     AND (earlier.component = request.component OR earlier.component = '' OR request.component = ''))))
               ORDER BY expires IS NULL, can_wait, operation LIMIT 1 FOR UPDATE SKIP LOCKED";
    let next: Option<i64> = session.first(sql, &[&columns::time(now)], |columns| columns.take()).await?;
    let Some(operation) = next else { return Ok(None) };
    let sql = "UPDATE request SET fence = fence + 1, holder = $2, expires = $3 WHERE operation = $1";
    let expires = columns::time(later(now, term));
    session.execute(sql, &[&operation, &columns::text(holder), &expires]).await?;
    let sql = "SELECT operation.id, kind, actor, body, fence,
                      (SELECT coalesce(max(step) + 1, 0) FROM step WHERE step.operation = request.operation)
               FROM request JOIN operation ON operation.sequence = request.operation WHERE request.operation = $1";
    session
        .first(sql, &[&operation], |columns| {
            Ok(RequestClaim {
                operation: columns.uuid()?,
                kind: columns.text()?,
                actor: columns.text()?,
                body: columns.text()?,
                fence: columns.count()?,
                next_step: columns.count()?,
            })
        })
        .await
}

/// The number of a claimed request's operation, which nobody else takes over until the transaction ends.
///
/// # Errors
/// When it was taken over, or has ended.
async fn held(session: &Session, claim: &RequestClaim) -> Result<i64, Failure> {
    let sql = "SELECT sequence FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1 AND fence = $2 AND result IS NULL FOR UPDATE OF request";
    let found =
        session.first(sql, &[&claim.operation, &columns::integer(claim.fence)], |columns| columns.take()).await?;
    found.ok_or_else(|| StoreError::ClaimLost(claim.operation).into())
}

/// Keeps a claim for another term.
pub(super) async fn keep(
    session: &Session,
    context: &Context,
    claim: &RequestClaim,
    term: Duration,
) -> Result<(), Failure> {
    let operation = held(session, claim).await?;
    let expires = columns::time(later(context.now(session).await?, term));
    session.execute("UPDATE request SET expires = $2 WHERE operation = $1", &[&operation, &expires]).await?;
    Ok(())
}

/// Ends a request.
pub(super) async fn finish(
    session: &Session,
    context: &Context,
    claim: &RequestClaim,
    end: &RequestEnd,
) -> Result<(), Failure> {
    let ended = "SELECT 1 FROM request JOIN operation ON operation.sequence = request.operation
                 WHERE id = $1 AND fence = $2 AND result = $3";
    let (fence, result) = (columns::integer(claim.fence), columns::text(&end.result));
    if context.is_repeated && session.exists(ended, &[&claim.operation, &fence, &result]).await? {
        return Ok(());
    }
    let operation = held(session, claim).await?;
    let sql = "UPDATE request SET result = $2, holder = NULL, expires = NULL, body = CASE WHEN $3 THEN body ELSE '' END
               WHERE operation = $1";
    session.execute(sql, &[&operation, &result, &end.keeps_body]).await?;
    let sql = "UPDATE operation SET status = $2, summary = $3, ended_at = $4 WHERE sequence = $1";
    let (status, now) = (columns::word(&end.status)?, columns::time(context.now(session).await?));
    session.execute(sql, &[&operation, &status, &columns::text(&end.summary), &now]).await?;
    Ok(())
}

/// A request as it stands.
pub(super) async fn request(session: &Session, id: Uuid) -> Result<Option<RequestRow>, Failure> {
    let sql = "SELECT component, body, result FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1";
    session
        .first(sql, &[&id], |columns| {
            Ok(RequestRow { component: columns.text()?, body: columns.text()?, result: columns.optional_text()? })
        })
        .await
}
