//! Queue of requests. A claim has a fence like a lease, and ends by expiry.
//!
//! A claim takes the first request that no other transaction is claiming, without waiting.

use super::columns;
use super::error::Failure;
use super::listen::CHANNEL;
use super::lock;
use super::server::Context;
use super::session::{self, Parameters, Session};
use crate::clock::later;
use crate::columns::ReadColumns;
use crate::rules::Newest;
use crate::sql::{IS_WITHIN_QUOTA, is_first};
use crate::{misuse, rules, values};
use std::time::Duration;
use terrace_store::address::StackId;
use terrace_store::{
    Claimant, Enqueued, NewRequest, OperationStatus, RequestClaim, RequestEnd, RequestRow, ResealedRequest, StoreError,
    StoredRequest,
};
use uuid::Uuid;

/// Queues a request.
pub(super) async fn enqueue(
    session: &Session,
    context: &Context,
    request: &NewRequest,
    most: usize,
) -> Result<Enqueued, Failure> {
    let Some(of) = request.operation.stacks.first() else {
        return Err(Failure::misuse(misuse::of_no_stack(request.operation.id)));
    };
    if context.is_repeated && session.exists("SELECT 1 FROM operation WHERE id = $1", &[&request.operation.id]).await? {
        return Ok(Enqueued::Queued { behind: None });
    }
    loop {
        if let Some(known) = find_by_key(session, request).await? {
            return Ok(known);
        }
        // New stacks are added before any stack is locked.
        let all = match request.operation.stacks.as_slice() {
            [_] => None,
            all => Some(lock::get_or_create(session, &all.iter().cloned().collect()).await?),
        };
        let all = all.map(|all| all.numbers(&request.operation)).transpose()?;
        let state = QueueState::of(session, request, of, most).await?;
        if let Some(newest) = state.newest.as_ref().filter(|newest| newest.answers(request)) {
            store_key(session, request, newest.number).await?;
            return Ok(Enqueued::Same(newest.operation));
        }
        if is_over_quota(session, request).await? {
            return Ok(Enqueued::OverQuota);
        }
        if state.may_be_full && waiting(session).await? >= most {
            return Ok(Enqueued::Full);
        }
        if queue(session, context, (request, of), (state.stack, all.as_deref())).await? {
            return Ok(Enqueued::Queued { behind: state.newest.map(|newest| newest.operation) });
        }
        if state.stack.is_some() {
            return Err(Failure::misuse(misuse::begun_twice(request.operation.id)));
        }
        // Another transaction added the stack meanwhile and has ended, with all its locks: repeat.
    }
}

/// The request that was queued with the same idempotency key. Two calls with one key at the same time run one after the
/// other.
async fn find_by_key(session: &Session, request: &NewRequest) -> Result<Option<Enqueued>, Failure> {
    let Some(key) = request.idempotency.as_deref() else { return Ok(None) };
    session.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&columns::text(key)]).await?;
    let known = find_by_idempotency_key(session, key).await?;
    Ok(known.map(|(operation, digest)| rules::answer_to_known_key(request, operation, &digest)))
}

/// The operation and the digest of the request that was queued with an idempotency key.
pub(super) async fn find_by_idempotency_key(session: &Session, key: &str) -> Result<Option<(Uuid, String)>, Failure> {
    let sql = "SELECT operation.id, digest FROM request_key JOIN request USING (operation)
               JOIN operation ON operation.sequence = request.operation WHERE key = $1";
    session.first(sql, &[&columns::text(key)], |columns| Ok((columns.uuid()?, columns.text()?))).await
}

/// The state of the queue for a new request.
struct QueueState {
    /// The number of its stack, if it exists. The transaction locks the stack: two equal calls at the same time run one
    /// after the other.
    stack: Option<i64>,
    /// The newest open request of this order.
    newest: Option<Newest>,
    may_be_full: bool,
}

impl QueueState {
    async fn of(session: &Session, request: &NewRequest, of: &StackId, most: usize) -> Result<Self, Failure> {
        let own = "SELECT id FROM stack WHERE name = $1 AND environment = $2 FOR NO KEY UPDATE";
        // The requests are counted only if the numbers since the oldest one do not rule out that the queue is full: a
        // long queue costs a new request no more than a short one.
        // A request for the whole stack concerns all its components.
        let of_same_order = if request.order.is_of_stack() { "" } else { "AND component IN ($3, '')" };
        let others = format!(
            "WITH newest AS (
                 SELECT component, sequence, id, digest, cancelled_by IS NOT NULL AS is_to_stop
                 FROM request JOIN operation ON operation.sequence = request.operation
                 WHERE request.operation = (
                     SELECT max(operation) FROM request
                     WHERE stack = (SELECT id FROM stack WHERE name = $1 AND environment = $2)
                       AND result IS NULL AND $3::text IS NOT NULL {of_same_order})),
             waiting AS (
                 SELECT (SELECT max(sequence) FROM operation) - min(operation) + 1 >= $4 AS may_be_full
                 FROM request WHERE result IS NULL AND expires IS NULL AND NOT can_wait)
             SELECT may_be_full, newest.* FROM waiting LEFT JOIN newest ON true"
        );
        let (name, environment) = (columns::text(&of.name), columns::text(&of.environment));
        let order = columns::text(request.order.as_str());
        let most_waiting = i64::try_from(most).unwrap_or(i64::MAX);
        let (own, others) = session
            .both((own, &[&name, &environment]), (&others, &[&name, &environment, &order, &most_waiting]))
            .await?;
        let (may_be_full, newest): (Option<bool>, _) = session::one(&others, |columns| {
            let may_be_full = columns.take()?;
            let newest = if columns.is_null_next()? { None } else { Some(Newest::read(columns)?) };
            Ok((may_be_full, newest))
        })?
        .unwrap_or_default();
        let stack = session::one(&own, |columns| columns.take())?;
        Ok(Self { stack, newest, may_be_full: may_be_full == Some(true) })
    }
}

/// Records the operation of a request, its stack if that is new, and the request, and commits, which notifies other
/// processes. False if a part exists already.
async fn queue(
    session: &Session,
    context: &Context,
    (request, of): (&NewRequest, &StackId),
    (stack, all): (Option<i64>, Option<&[i64]>),
) -> Result<bool, Failure> {
    let sql = "WITH made AS (
                   INSERT INTO stack (name, environment) SELECT $1, $2 WHERE $3::bigint IS NULL
                   ON CONFLICT DO NOTHING RETURNING id),
               own AS (SELECT $3::bigint AS id WHERE $3 IS NOT NULL UNION ALL SELECT id FROM made),
               begun AS (
                   INSERT INTO operation (id, kind, actor, status, started_at, has_held_leases)
                   SELECT $5, $6, $7, $8, coalesce($9, clock_timestamp()), false FROM own
                   ON CONFLICT (id) DO NOTHING RETURNING sequence),
               of_stacks AS (
                   INSERT INTO operation_stack (operation, stack, position)
                   SELECT sequence, stack, position
                   FROM begun, own, unnest(coalesce($4::bigint[], ARRAY[own.id])) WITH ORDINALITY AS of (stack, position)),
               queued AS (
                   INSERT INTO request (operation, stack, component, digest, body, can_wait, caller, most_running)
                   SELECT sequence, own.id, $10, $11, $12, $13, $17, $18 FROM begun, own RETURNING operation),
               known AS (
                   INSERT INTO request_key (key, operation) SELECT $14, operation FROM queued WHERE $14::text IS NOT NULL)
               SELECT pg_notify($15, $16) FROM queued";
    let NewRequest { operation, order, digest, body, idempotency, can_wait, quota, .. } = request;
    let caller = quota.as_ref().map(|quota| columns::text(&quota.caller));
    let most_running = quota.as_ref().and_then(|quota| quota.running).map(i64::from);
    let (name, environment) = (columns::text(&of.name), columns::text(&of.environment));
    let (kind, actor) = (columns::text(&operation.kind), columns::text(&operation.actor));
    let (status, now) = (values::word(&OperationStatus::Queued)?, context.test_time());
    let (order, digest, body) = (columns::text(order.as_str()), columns::text(digest), columns::text(body.expose()));
    let (key, origin) = (idempotency.as_deref().map(columns::text), &*context.origin);
    let queued = session
        .last(
            sql,
            &[
                &name,
                &environment,
                &stack,
                &all,
                &operation.id,
                &kind,
                &actor,
                &status,
                &now,
                &order,
                &digest,
                &body,
                can_wait,
                &key,
                &CHANNEL,
                &origin,
                &caller,
                &most_running,
            ],
        )
        .await?;
    Ok(!queued.is_empty())
}

/// Stores the idempotency key of a request.
async fn store_key(session: &Session, request: &NewRequest, operation: i64) -> Result<(), Failure> {
    let Some(key) = request.idempotency.as_deref().map(columns::text) else { return Ok(()) };
    session.execute("INSERT INTO request_key (key, operation) VALUES ($1, $2)", &[&key, &operation]).await?;
    Ok(())
}

/// The number of requests that wait for their first worker.
pub(super) async fn waiting(session: &Session) -> Result<usize, Failure> {
    let sql = "SELECT count(*) FROM request WHERE result IS NULL AND expires IS NULL AND NOT can_wait";
    Ok(session.first(sql, &[], |columns| columns.count()).await?.unwrap_or_default())
}

/// Whether a caller has its maximum of waiting requests. Low-priority requests do not count.
async fn is_over_quota(session: &Session, request: &NewRequest) -> Result<bool, Failure> {
    let Some(quota) = request.quota.as_ref().filter(|_| !request.can_wait) else { return Ok(false) };
    let sql = "SELECT count(*) >= $2 FROM (
                   SELECT 1 FROM request
                   WHERE caller = $1 AND result IS NULL AND expires IS NULL AND NOT can_wait LIMIT $2) AS own";
    let (caller, waiting) = (columns::text(&quota.caller), i64::from(quota.waiting));
    Ok(session.first(sql, &[&caller, &waiting], |columns| columns.take()).await?.unwrap_or_default())
}

/// Claims the next request: expired claims first, then waiting requests, the earlier ones of a component first. After
/// its back-off a released request is queued behind those that arrived meanwhile. A request for the whole stack
/// concerns all its components.
pub(super) async fn claim(
    session: &Session,
    context: &Context,
    claimant: &Claimant,
    term: Duration,
) -> Result<Option<RequestClaim>, Failure> {
    // Waiting requests are scanned in the order of their index up to the first one of its component: `OFFSET 0` keeps
    // the server from comparing all pairs first.
    let is_first = is_first(" OFFSET 0");
    let sql = format!(
        "WITH revived AS (DELETE FROM request_death WHERE claimant = $4),
               left_over AS (
                   SELECT operation, fence, claimant, holder FROM request WHERE result IS NULL AND holder IS NOT NULL
                     AND expires <= coalesce($1, statement_timestamp())
                   ORDER BY expires LIMIT 1 FOR UPDATE SKIP LOCKED),
               waiting AS (
                   SELECT operation, can_wait,
                          (SELECT started_at FROM operation WHERE sequence = request.operation) AS asked_at
                   FROM request
                   WHERE result IS NULL AND expires IS NULL AND NOT EXISTS (SELECT 1 FROM left_over)
                     AND {is_first}
                     AND {IS_WITHIN_QUOTA}
                   ORDER BY can_wait, operation LIMIT 1 FOR UPDATE SKIP LOCKED),
               given_back AS (
                   SELECT operation FROM request
                   WHERE result IS NULL AND holder IS NULL AND expires <= coalesce($1, statement_timestamp())
                     AND NOT EXISTS (SELECT 1 FROM left_over)
                     AND NOT EXISTS (SELECT 1 FROM waiting WHERE NOT can_wait AND asked_at <= request.expires)
                     AND {IS_WITHIN_QUOTA}
                   ORDER BY expires LIMIT 1 FOR UPDATE SKIP LOCKED),
               next AS (SELECT operation FROM left_over UNION ALL SELECT operation FROM given_back
                        UNION ALL SELECT operation FROM waiting WHERE NOT EXISTS (SELECT 1 FROM given_back)),
               died AS (
                   INSERT INTO request_death (operation, fence, claimant, holder)
                   SELECT operation, fence, claimant, holder FROM left_over WHERE claimant <> $4 RETURNING holder)
               UPDATE request SET fence = fence + 1, holder = $2, claimant = $4,
                                  expires = coalesce($1, statement_timestamp()) + $3::bigint * interval '1 microsecond'
               FROM next JOIN operation ON operation.sequence = next.operation WHERE request.operation = next.operation
               RETURNING operation.id, kind, operation.actor, body, fence,
                         (SELECT coalesce(max(step) + 1, 0) FROM step WHERE step.operation = request.operation),
                         EXISTS (SELECT 1 FROM request AS other
                                 WHERE other.result IS NULL AND other.expires IS NULL
                                   AND other.operation <> request.operation),
                         ARRAY(SELECT holder FROM request_death
                               WHERE request_death.operation = request.operation AND request_death.claimant <> $4
                               ORDER BY request_death.fence) || ARRAY(SELECT holder FROM died)"
    );
    let term = i64::try_from(term.as_micros()).unwrap_or(i64::MAX);
    let claimed =
        session.last(&sql, &[&context.test_time(), &columns::text(&claimant.name), &term, &claimant.id]).await?;
    session::one(&claimed, |columns| {
        let claim = crate::columns::claim(columns)?;
        Ok(RequestClaim { deaths: columns.texts()?, ..claim })
    })
}

/// Releases all claims of a process, and removes its deaths.
pub(super) async fn release_claims(session: &Session, context: &Context, claimant: Uuid) -> Result<(), Failure> {
    let sql = "WITH revived AS (DELETE FROM request_death WHERE claimant = $1)
               UPDATE request SET holder = NULL, expires = coalesce($2, statement_timestamp())
               WHERE result IS NULL AND expires IS NOT NULL AND holder IS NOT NULL AND claimant = $1";
    session.execute(sql, &[&claimant, &context.test_time()]).await?;
    Ok(())
}

/// The number of a claimed request's operation. No other process can claim the request until the transaction ends.
///
/// # Errors
/// When it was claimed again, or has ended.
async fn held(session: &Session, claim: &RequestClaim) -> Result<i64, Failure> {
    let sql = "SELECT sequence FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1 AND fence = $2 AND result IS NULL FOR UPDATE OF request";
    let found =
        session.first(sql, &[&claim.operation, &columns::integer(claim.fence)], |columns| columns.take()).await?;
    found.ok_or_else(|| StoreError::ClaimLost(claim.operation).into())
}

/// Renews a claim for another term.
pub(super) async fn renew_claim(
    session: &Session,
    context: &Context,
    claim: &RequestClaim,
    term: Duration,
) -> Result<(), Failure> {
    let operation = held(session, claim).await?;
    let expires = columns::time(later(context.now(session).await?, term));
    session
        .execute("UPDATE request SET expires = $2 WHERE operation = $1 AND holder IS NOT NULL", &[&operation, &expires])
        .await?;
    Ok(())
}

/// Releases a claim: the request can be claimed again after that time.
pub(super) async fn release_claim(
    session: &Session,
    context: &Context,
    claim: &RequestClaim,
    after: Duration,
) -> Result<(), Failure> {
    let operation = held(session, claim).await?;
    let free = columns::time(later(context.now(session).await?, after));
    session
        .execute("UPDATE request SET holder = NULL, expires = $2 WHERE operation = $1", &[&operation, &free])
        .await?;
    Ok(())
}

/// Ends a request.
pub(super) async fn finish(
    session: &Session,
    context: &Context,
    claim: &RequestClaim,
    request_end: &RequestEnd,
) -> Result<(), Failure> {
    let ended = "SELECT 1 FROM request JOIN operation ON operation.sequence = request.operation
                 WHERE id = $1 AND fence = $2 AND result = $3";
    let (fence, result) = (columns::integer(claim.fence), columns::text(&request_end.result));
    match held(session, claim).await {
        // An earlier attempt holds the row until it has ended: from here on its result is known.
        Err(Failure::Refused(_))
            if context.is_repeated && session.exists(ended, &[&claim.operation, &fence, &result]).await? =>
        {
            Ok(())
        }
        operation => end(session, context, operation?, request_end).await,
    }
}

/// Ends a request and its operation, and commits.
pub(super) async fn end(
    session: &Session,
    context: &Context,
    operation: i64,
    request_end: &RequestEnd,
) -> Result<(), Failure> {
    let sql = "WITH request AS (
                   UPDATE request SET result = $2, holder = NULL, expires = NULL,
                                      body = CASE WHEN $3 THEN body ELSE '' END
                   WHERE operation = $1),
               deaths AS (DELETE FROM request_death WHERE operation = $1)
               UPDATE operation SET status = $4, summary = $5, ended_at = coalesce($6, clock_timestamp())
               WHERE sequence = $1";
    let (result, status) = (columns::text(&request_end.result), values::word(&request_end.status)?);
    let parameters: Parameters<'_> = &[
        &operation,
        &result,
        &request_end.keeps_body,
        &status,
        &columns::text(&request_end.summary),
        &context.test_time(),
    ];
    session.last(sql, parameters).await?;
    Ok(())
}

/// The number of an open request's operation, if no worker has claimed it and it has not started. No other transaction
/// can change the request until this one ends.
pub(super) async fn unbegun(session: &Session, id: Uuid) -> Result<Option<i64>, Failure> {
    let sql =
        "SELECT sequence, holder IS NULL AND NOT EXISTS (SELECT 1 FROM step WHERE step.operation = request.operation)
               FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1 AND result IS NULL FOR UPDATE OF request";
    let found: Option<(i64, bool)> =
        session.first(sql, &[&id], |columns| Ok((columns.take()?, columns.take()?))).await?;
    Ok(found.filter(|(_, is_unbegun)| *is_unbegun).map(|(operation, _)| operation))
}

/// Whether a request was cancelled before it started.
pub(super) async fn is_cancelled_unstarted(session: &Session, id: Uuid) -> Result<bool, Failure> {
    let RequestEnd { summary, .. } = RequestEnd::cancelled();
    let sql = "SELECT 1 FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1 AND result IS NOT NULL AND cancelled_by IS NOT NULL AND summary = $2";
    session.exists(sql, &[&id, &columns::text(&summary)]).await
}

/// The requests that still have a body.
pub(super) async fn stored_requests(session: &Session) -> Result<Vec<StoredRequest>, Failure> {
    let sql = "SELECT id, component, digest, body, result IS NULL
               FROM request JOIN operation ON operation.sequence = request.operation
               WHERE body <> '' ORDER BY request.operation";
    session.list(sql, &[], |columns| crate::columns::stored_request(columns)).await
}

/// Replaces the sealed bodies of requests.
pub(super) async fn reseal(session: &Session, requests: &[&ResealedRequest]) -> Result<(), Failure> {
    if requests.is_empty() {
        return Ok(());
    }
    let operations: Vec<Uuid> = requests.iter().map(|request| request.operation).collect();
    let texts = |of: fn(&ResealedRequest) -> &str| {
        requests.iter().map(|request| columns::text(of(request))).collect::<Vec<_>>()
    };
    let (stored, orders) = (texts(|request| &request.stored_digest), texts(|request| request.order.as_str()));
    let (digests, bodies) = (texts(|request| &request.digest), texts(|request| request.body.expose()));
    let sql = "UPDATE request SET component = given.component, digest = given.digest, body = given.body
               FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
                    AS given (id, was, component, digest, body) JOIN operation ON operation.id = given.id
               WHERE request.operation = operation.sequence AND request.digest = given.was AND request.body <> ''";
    session.execute(sql, &[&operations, &stored, &orders, &digests, &bodies]).await?;
    Ok(())
}

/// A request with its current status.
pub(super) async fn request(session: &Session, id: Uuid) -> Result<Option<RequestRow>, Failure> {
    let sql = "SELECT component, body, result FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1";
    session.first(sql, &[&id], |columns| crate::columns::request(columns)).await
}
