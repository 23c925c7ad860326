//! Queue of requests. A claim has a fence like a lease, and ends by expiry or with its process.

use super::columns::{Columns, integer};
use super::context::Context;
use super::error::Failure;
use super::lease::process;
use super::{operation, stacks};
use crate::clock::later;
use crate::columns::{self, ReadColumns};
use crate::rules::Newest;
use crate::sql::{IS_WITHIN_QUOTA, is_first};
use crate::{misuse, rules, values};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::time::Duration;
use terrace_store::{
    Claimant, Enqueued, NewRequest, OperationStatus, OrderKey, RequestClaim, RequestEnd, RequestRow, ResealedRequest,
    StoreError, StoredRequest,
};
use uuid::Uuid;

/// Queues a request.
pub(super) fn enqueue(
    transaction: &Transaction<'_>,
    context: &Context,
    request: &NewRequest,
    most: usize,
) -> Result<Enqueued, Failure> {
    let Some(of) = request.operation.stacks.first() else {
        return Err(Failure::misuse(misuse::of_no_stack(request.operation.id)));
    };
    if let Some(key) = &request.idempotency
        && let Some((operation, digest)) = find_by_idempotency_key(transaction, key)?
    {
        return Ok(rules::answer_to_known_key(request, operation, &digest));
    }
    let stack = stacks::get_or_create(transaction, of)?;
    let newest = newest_of_component(transaction, stack, &request.order)?;
    if let Some(newest) = newest.as_ref().filter(|newest| newest.answers(request)) {
        store_key(transaction, request, newest.number)?;
        return Ok(Enqueued::Same(newest.operation));
    }
    if is_over_quota(transaction, request)? {
        return Ok(Enqueued::OverQuota);
    }
    if is_full(transaction, most)? {
        return Ok(Enqueued::Full);
    }
    let operation = operation::record(transaction, context, &request.operation, OperationStatus::Queued)?;
    let sql = "INSERT INTO request (operation, stack, component, digest, body, can_wait, caller, most_running)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let quota = request.quota.as_ref();
    transaction.prepare_cached(sql)?.execute(params![
        operation,
        stack,
        request.order.as_str(),
        request.digest,
        request.body.expose(),
        request.can_wait,
        quota.map(|quota| quota.caller.as_str()),
        quota.and_then(|quota| quota.running)
    ])?;
    store_key(transaction, request, operation)?;
    Ok(Enqueued::Queued { behind: newest.map(|newest| newest.operation) })
}

/// The operation and the digest of the request that was queued with an idempotency key.
pub(super) fn find_by_idempotency_key(connection: &Connection, key: &str) -> Result<Option<(Uuid, String)>, Failure> {
    let sql = "SELECT operation.id, digest FROM request_key JOIN request USING (operation)
               JOIN operation ON operation.sequence = request.operation WHERE key = ?1";
    let known = connection.prepare_cached(sql)?.query_row([key], |row| {
        let mut columns = Columns::of(row);
        Ok((columns.uuid()?, columns.text()?))
    });
    Ok(known.optional()?)
}

/// Stores the idempotency key of a request.
fn store_key(transaction: &Transaction<'_>, request: &NewRequest, operation: i64) -> Result<(), Failure> {
    let Some(key) = &request.idempotency else { return Ok(()) };
    let sql = "INSERT INTO request_key (key, operation) VALUES (?1, ?2)";
    transaction.prepare_cached(sql)?.execute((key, operation))?;
    Ok(())
}

/// The newest open request of this order or for the whole stack; for a request for the whole stack, the newest one for
/// anything in the stack.
fn newest_of_component(transaction: &Transaction<'_>, stack: i64, order: &OrderKey) -> Result<Option<Newest>, Failure> {
    // Each variant reads only the necessary part of an index.
    let condition = if order.is_of_stack() { "?2 = ''" } else { "component IN (?2, '')" };
    let sql = format!(
        "SELECT component, sequence, id, digest, cancelled_by IS NOT NULL
         FROM request JOIN operation ON operation.sequence = request.operation
         WHERE request.operation = (SELECT max(operation) FROM request WHERE result IS NULL AND stack = ?1 AND {condition})"
    );
    let found =
        transaction.prepare_cached(&sql)?.query_row((stack, order.as_str()), |row| Newest::read(&mut Columns::of(row)));
    Ok(found.optional()?)
}

/// The number of requests that wait for their first worker.
pub(super) fn waiting(connection: &Connection) -> Result<usize, Failure> {
    let sql = "SELECT count(*) FROM request WHERE result IS NULL AND expires IS NULL AND can_wait = 0";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| Columns::of(row).count())?)
}

/// Whether a caller has its maximum of waiting requests. Low-priority requests do not count.
fn is_over_quota(connection: &Connection, request: &NewRequest) -> Result<bool, Failure> {
    let Some(quota) = request.quota.as_ref().filter(|_| !request.can_wait) else { return Ok(false) };
    let sql = "SELECT count(*) >= ?2 FROM (
                   SELECT 1 FROM request WHERE caller = ?1 AND result IS NULL AND expires IS NULL AND can_wait = 0 LIMIT ?2)";
    Ok(connection.prepare_cached(sql)?.query_row((&quota.caller, quota.waiting), |row| row.get(0))?)
}

/// Whether the queue is full. The requests are counted only if the numbers since the oldest one do not rule it out: a
/// long queue costs a new request no more than a short one.
fn is_full(connection: &Connection, most: usize) -> Result<bool, Failure> {
    let sql = "SELECT (SELECT max(sequence) FROM operation) - min(operation) + 1 >= ?1
               FROM request WHERE result IS NULL AND expires IS NULL AND can_wait = 0";
    let most_waiting = i64::try_from(most).unwrap_or(i64::MAX);
    let may_be: Option<bool> = connection.prepare_cached(sql)?.query_row([most_waiting], |row| row.get(0))?;
    Ok(may_be == Some(true) && waiting(connection)? >= most)
}

/// The number of the next request. It must not have an earlier one for the same component.
fn next(transaction: &Transaction<'_>, context: &Context) -> Result<Option<i64>, Failure> {
    let now = context.clock.now();
    let sql = "SELECT request.operation, expires, boot, pid_namespace, pid, process_started
               FROM request JOIN operation ON operation.sequence = request.operation
               WHERE result IS NULL AND expires IS NOT NULL AND holder IS NOT NULL ORDER BY expires, request.operation";
    let mut statement = transaction.prepare_cached(sql)?;
    // At most as many rows as there are workers.
    let mut claimed = statement.query([])?;
    while let Some(row) = claimed.next()? {
        let mut columns = Columns::of(row);
        let operation: i64 = columns.take()?;
        let expires = columns.time()?;
        let process = process(&mut columns)?;
        if !context.term(process.as_ref(), &lease_clock_key(operation), expires).lasts(now) {
            return Ok(Some(operation));
        }
    }
    let sql = format!(
        "SELECT operation, can_wait, (SELECT started_at FROM operation WHERE sequence = request.operation)
         FROM request WHERE result IS NULL AND expires IS NULL AND {} AND {IS_WITHIN_QUOTA}
         ORDER BY can_wait, operation LIMIT 1",
        is_first("")
    );
    let waiting = transaction.prepare_cached(&sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let waiting: Option<(i64, bool, i64)> = waiting.optional()?;
    // After its back-off a released request is queued behind those that arrived meanwhile.
    let free_by = match waiting {
        Some((_, false, asked_at)) => now.as_microsecond().min(asked_at.saturating_sub(1)),
        Some((_, true, _)) | None => now.as_microsecond(),
    };
    let sql = format!(
        "SELECT operation FROM request WHERE result IS NULL AND holder IS NULL AND expires <= ?1 AND {IS_WITHIN_QUOTA}
         ORDER BY expires, operation LIMIT 1"
    );
    let released = transaction.prepare_cached(&sql)?.query_row([free_by], |row| row.get(0)).optional()?;
    Ok(released.or(waiting.map(|(operation, ..)| operation)))
}

/// Claims the next request.
pub(super) fn claim(
    transaction: &Transaction<'_>,
    context: &Context,
    claimant: &Claimant,
    term: Duration,
) -> Result<Option<RequestClaim>, Failure> {
    revive(transaction, claimant.id)?;
    let Some(operation) = next(transaction, context)? else { return Ok(None) };
    let died = "INSERT INTO request_death (operation, fence, claimant, holder)
                SELECT operation, fence, claimant, holder FROM request
                WHERE operation = ?1 AND holder IS NOT NULL AND claimant <> ?2";
    transaction.prepare_cached(died)?.execute((operation, claimant.id.as_bytes()))?;
    let expires = later(context.clock.now(), term).as_microsecond();
    let sql = "UPDATE request SET fence = fence + 1, holder = ?2, expires = ?3, claimant = ?4 WHERE operation = ?1";
    let parameters = (operation, &claimant.name, expires, claimant.id.as_bytes());
    transaction.prepare_cached(sql)?.execute(parameters)?;
    operation::set_process(transaction, context, operation)?;
    let sql = "SELECT holder FROM request_death WHERE operation = ?1 ORDER BY fence";
    let mut deaths = transaction.prepare_cached(sql)?;
    let deaths: Vec<String> = deaths.query_map([operation], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let sql = "SELECT operation.id, kind, actor, body, fence,
                      (SELECT coalesce(max(step) + 1, 0) FROM step WHERE step.operation = request.operation),
                      EXISTS (SELECT 1 FROM request AS other WHERE other.result IS NULL AND other.expires IS NULL)
               FROM request JOIN operation ON operation.sequence = request.operation WHERE request.operation = ?1";
    let claim = transaction
        .prepare_cached(sql)?
        .query_row([operation], |row| Ok(RequestClaim { deaths, ..columns::claim(&mut Columns::of(row))? }))?;
    Ok(Some(claim))
}

/// Removes the deaths of a process that turned out to be alive.
fn revive(transaction: &Transaction<'_>, claimant: Uuid) -> Result<(), Failure> {
    transaction.prepare_cached("DELETE FROM request_death WHERE claimant = ?1")?.execute([claimant.as_bytes()])?;
    Ok(())
}

/// Releases all claims of a process.
pub(super) fn release_claims(transaction: &Transaction<'_>, context: &Context, claimant: Uuid) -> Result<(), Failure> {
    revive(transaction, claimant)?;
    let sql = "UPDATE request SET holder = NULL, expires = ?2
               WHERE result IS NULL AND expires IS NOT NULL AND holder IS NOT NULL AND claimant = ?1";
    let now = context.clock.now().as_microsecond();
    transaction.prepare_cached(sql)?.execute((claimant.as_bytes(), now))?;
    Ok(())
}

/// The name under which a claim is watched.
pub(super) fn lease_clock_key(operation: i64) -> String {
    format!("request {operation}")
}

/// The number of a claimed request's operation.
///
/// # Errors
/// When it was claimed again, or has ended.
fn held(connection: &Connection, claim: &RequestClaim) -> Result<i64, Failure> {
    let sql = "SELECT sequence FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = ?1 AND fence = ?2 AND result IS NULL";
    let found = connection
        .prepare_cached(sql)?
        .query_row((claim.operation.as_bytes(), integer(claim.fence)), |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| StoreError::ClaimLost(claim.operation).into())
}

/// Renews a claim for another term.
pub(super) fn renew_claim(
    transaction: &Transaction<'_>,
    context: &Context,
    claim: &RequestClaim,
    term: Duration,
) -> Result<(), Failure> {
    let operation = held(transaction, claim)?;
    let expires = later(context.clock.now(), term).as_microsecond();
    transaction
        .prepare_cached("UPDATE request SET expires = ?2 WHERE operation = ?1 AND holder IS NOT NULL")?
        .execute((operation, expires))?;
    Ok(())
}

/// Releases a claim: the request can be claimed again after that time.
pub(super) fn release_claim(
    transaction: &Transaction<'_>,
    context: &Context,
    claim: &RequestClaim,
    after: Duration,
) -> Result<(), Failure> {
    let operation = held(transaction, claim)?;
    let free = later(context.clock.now(), after).as_microsecond();
    transaction
        .prepare_cached("UPDATE request SET holder = NULL, expires = ?2 WHERE operation = ?1")?
        .execute((operation, free))?;
    Ok(())
}

/// Ends a request.
pub(super) fn finish(
    transaction: &Transaction<'_>,
    context: &Context,
    claim: &RequestClaim,
    request_end: &RequestEnd,
) -> Result<(), Failure> {
    end(transaction, context, held(transaction, claim)?, request_end)
}

fn end(
    transaction: &Transaction<'_>,
    context: &Context,
    operation: i64,
    request_end: &RequestEnd,
) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "UPDATE request SET result = ?2, holder = NULL, expires = NULL, body = CASE WHEN ?3 THEN body ELSE '' END
             WHERE operation = ?1",
        )?
        .execute((operation, &request_end.result, request_end.keeps_body))?;
    transaction.prepare_cached("DELETE FROM request_death WHERE operation = ?1")?.execute([operation])?;
    let now = context.clock.now().as_microsecond();
    transaction
        .prepare_cached("UPDATE operation SET status = ?2, summary = ?3, ended_at = ?4 WHERE sequence = ?1")?
        .execute((operation, values::word(&request_end.status)?, &request_end.summary, now))?;
    Ok(())
}

/// Ends a request that no worker has claimed and that has not started; false for any other. A cancelled request need
/// not wait for its turn.
pub(super) fn cancel_unstarted(transaction: &Transaction<'_>, context: &Context, id: Uuid) -> Result<bool, Failure> {
    let sql = "SELECT sequence FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = ?1 AND holder IS NULL AND result IS NULL
                 AND NOT EXISTS (SELECT 1 FROM step WHERE step.operation = request.operation)";
    let waiting: Option<i64> =
        transaction.prepare_cached(sql)?.query_row([id.as_bytes()], |row| row.get(0)).optional()?;
    let Some(operation) = waiting else { return Ok(false) };
    end(transaction, context, operation, &RequestEnd::cancelled())?;
    Ok(true)
}

/// The requests that still have a body.
pub(super) fn stored_requests(connection: &Connection) -> Result<Vec<StoredRequest>, Failure> {
    let sql = "SELECT id, component, digest, body, result IS NULL
               FROM request JOIN operation ON operation.sequence = request.operation
               WHERE body <> '' ORDER BY request.operation";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| columns::stored_request(&mut Columns::of(row)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Replaces the sealed body of a request.
pub(super) fn reseal(transaction: &Transaction<'_>, resealed: &ResealedRequest) -> Result<(), Failure> {
    let sql = "UPDATE request SET component = ?3, digest = ?4, body = ?5
               WHERE operation = (SELECT sequence FROM operation WHERE id = ?1) AND digest = ?2 AND body <> ''";
    let ResealedRequest { operation, stored_digest, order, digest, body } = resealed;
    transaction.prepare_cached(sql)?.execute((
        operation.as_bytes(),
        stored_digest,
        order.as_str(),
        digest,
        body.expose(),
    ))?;
    Ok(())
}

/// A request with its current status.
pub(super) fn request(connection: &Connection, id: Uuid) -> Result<Option<RequestRow>, Failure> {
    let sql = "SELECT component, body, result FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = ?1";
    let row = |row: &rusqlite::Row<'_>| columns::request(&mut Columns::of(row));
    Ok(connection.prepare_cached(sql)?.query_row([id.as_bytes()], row).optional()?)
}
