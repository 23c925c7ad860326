//! The queue of requests. A claim is fenced like a lease, and ends like one: by its expiry.
//!
//! Whoever claims takes the first request that nobody else is just taking, and waits for nobody.

use super::columns;
use super::connection::Session;
use super::error::Failure;
use super::listen::CHANNEL;
use super::{Context, commit, lock};
use crate::clock::later;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::store::{
    AskedAnew, AskedRow, Enqueued, NewRequest, OperationStatus, RequestClaim, RequestEnd, RequestRow, StoreError,
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
        return Err(Failure::misuse(crate::of_no_stack(request.operation.id)));
    };
    if context.is_repeated && session.exists("SELECT 1 FROM operation WHERE id = $1", &[&request.operation.id]).await? {
        return Ok(Enqueued::Queued { behind: None });
    }
    if let Some(key) = &request.idempotency {
        let key = columns::text(key);
        // Two that ask with one key at once are one after the other.
        session.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&key]).await?;
        let sql = "SELECT operation.id, digest FROM request_key JOIN request USING (operation)
                   JOIN operation ON operation.sequence = request.operation WHERE key = $1";
        let known = session.first(sql, &[&key], |columns| Ok((columns.uuid()?, columns.text()?))).await?;
        if let Some((operation, digest)) = known {
            return Ok(if request.asks_the_same(&digest) { Enqueued::Same(operation) } else { Enqueued::KeyTaken });
        }
    }
    // New stacks are made before any is locked.
    let stacks = match request.operation.stacks.as_slice() {
        [_] => None,
        all => Some(lock::made(session, &all.iter().cloned().collect()).await?),
    };
    let stack = own(session, of).await?;
    let component = columns::text(&request.component);
    let most_waiting = i64::try_from(most).unwrap_or(i64::MAX);
    // They are only counted where the numbers that were given since the oldest one do not rule out that so many wait: a long
    // queue costs those who come no more than a short one.
    // One of the whole stack is about all of its components.
    let about_the_same = if request.component.is_empty() { "" } else { "AND component IN ($2, '')" };
    let sql = format!(
        "WITH newest AS (
             SELECT sequence, id, component = $2 AND digest = ANY($4) AND cancelled_by IS NULL AS asks_the_same
             FROM request JOIN operation ON operation.sequence = request.operation
             WHERE request.operation = (
                 SELECT max(operation) FROM request WHERE stack = $1 AND result IS NULL {about_the_same}))
         SELECT (SELECT id FROM newest), (SELECT sequence FROM newest WHERE asks_the_same),
                (SELECT max(sequence) FROM operation) - min(operation) + 1 >= $3
         FROM request WHERE result IS NULL AND expires IS NULL AND NOT can_wait"
    );
    let digest = columns::text(&request.digest);
    let digests: Vec<_> =
        [&request.digest].into_iter().chain(&request.older_digests).map(|it| columns::text(it)).collect();
    let (newest, same, may_be_full): (Option<Uuid>, Option<i64>, Option<bool>) = session
        .first(&sql, &[&stack, &component, &most_waiting, &digests], |columns| {
            Ok((columns.take()?, columns.take()?, columns.take()?))
        })
        .await?
        .unwrap_or_default();
    if let (Some(newest), Some(number)) = (newest, same) {
        keep_key(session, request, number).await?;
        return Ok(Enqueued::Same(newest));
    }
    if may_be_full == Some(true) && waiting(session).await? >= most {
        return Ok(Enqueued::Full);
    }
    let numbers = match stacks {
        None => vec![stack],
        Some(stacks) => commit::numbers(&stacks, &request.operation)?,
    };
    let operation = commit::record_of(session, context, &request.operation, OperationStatus::Queued, &numbers).await?;
    // The others hear of it once this is committed.
    let sql = "WITH queued AS (
                   INSERT INTO request (operation, stack, component, digest, body, can_wait)
                   VALUES ($1, $2, $3, $4, $5, $6) RETURNING operation)
               SELECT pg_notify($7, $8) FROM queued";
    let body = columns::text(request.body.expose());
    let origin = &*context.origin;
    session.query(sql, &[&operation, &stack, &component, &digest, &body, &request.can_wait, &CHANNEL, &origin]).await?;
    keep_key(session, request, operation).await?;
    Ok(Enqueued::Queued { behind: newest })
}

/// Remembers by which key who asks knows the request of an operation again.
async fn keep_key(session: &Session, request: &NewRequest, operation: i64) -> Result<(), Failure> {
    let Some(key) = request.idempotency.as_deref().map(columns::text) else { return Ok(()) };
    session.execute("INSERT INTO request_key (key, operation) VALUES ($1, $2)", &[&key, &operation]).await?;
    Ok(())
}

/// The number of a stack, which is the caller's alone until the transaction ends: two that ask the same at once are one
/// after the other.
async fn own(session: &Session, stack: &StackId) -> Result<i64, Failure> {
    let sql = "SELECT id FROM stack WHERE name = $1 AND environment = $2 FOR NO KEY UPDATE";
    let (name, environment) = (columns::text(&stack.name), columns::text(&stack.environment));
    if let Some(number) = session.first(sql, &[&name, &environment], |columns| columns.take()).await? {
        return Ok(number);
    }
    // What this transaction makes is its own. Where another one is quicker, it is there now.
    let made = "INSERT INTO stack (name, environment) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id";
    let made = session.first(made, &[&name, &environment], |columns| columns.take()).await?;
    let number = match made {
        Some(made) => Some(made),
        None => session.first(sql, &[&name, &environment], |columns| columns.take()).await?,
    };
    number.ok_or_else(|| Failure::misuse(format!("{stack} is gone as soon as it is there")))
}

/// How many requests wait for their first worker.
pub(super) async fn waiting(session: &Session) -> Result<usize, Failure> {
    let sql = "SELECT count(*) FROM request WHERE result IS NULL AND expires IS NULL AND NOT can_wait";
    Ok(session.first(sql, &[], |columns| columns.count()).await?.unwrap_or_default())
}

/// Takes the next request: what somebody left first, then what waits, and of those about the same the earlier one, then what
/// was given back. One of the whole stack is about all of its components.
pub(super) async fn claim(
    session: &Session,
    context: &Context,
    holder: &str,
    term: Duration,
) -> Result<Option<RequestClaim>, Failure> {
    // Those that wait are looked through in the order of their index until one is found that is the first of what it is
    // about: `OFFSET 0` keeps the server from comparing all with all before.
    let sql = "WITH left_over AS (
                   SELECT operation FROM request WHERE result IS NULL AND holder IS NOT NULL
                     AND expires <= coalesce($1, statement_timestamp())
                   ORDER BY expires LIMIT 1 FOR UPDATE SKIP LOCKED),
               waiting AS (
                   SELECT operation FROM request
                   WHERE result IS NULL AND expires IS NULL AND NOT EXISTS (SELECT 1 FROM left_over)
                     AND NOT EXISTS (
                         SELECT 1 FROM request AS earlier
                         WHERE earlier.result IS NULL AND earlier.stack = request.stack
                           AND earlier.component = request.component AND earlier.operation < request.operation
                         OFFSET 0)
                     AND NOT EXISTS (
                         SELECT 1 FROM request AS earlier
                         WHERE earlier.result IS NULL AND earlier.stack = request.stack
                           AND earlier.component = '' AND earlier.operation < request.operation
                         OFFSET 0)
                     AND (request.component <> '' OR NOT EXISTS (
                         SELECT 1 FROM request AS earlier
                         WHERE earlier.result IS NULL AND earlier.stack = request.stack
                           AND earlier.operation < request.operation
                         OFFSET 0))
                   ORDER BY can_wait, operation LIMIT 1 FOR UPDATE SKIP LOCKED),
               given_back AS (
                   SELECT operation FROM request
                   WHERE result IS NULL AND holder IS NULL AND expires <= coalesce($1, statement_timestamp())
                     AND NOT EXISTS (SELECT 1 FROM left_over) AND NOT EXISTS (SELECT 1 FROM waiting)
                   ORDER BY expires LIMIT 1 FOR UPDATE SKIP LOCKED),
               next AS (SELECT operation FROM left_over UNION ALL SELECT operation FROM waiting
                        UNION ALL SELECT operation FROM given_back)
               UPDATE request SET fence = fence + 1, holder = $2,
                                  expires = coalesce($1, statement_timestamp()) + $3::bigint * interval '1 microsecond'
               FROM next JOIN operation ON operation.sequence = next.operation WHERE request.operation = next.operation
               RETURNING operation.id, kind, operation.actor, body, fence,
                         (SELECT coalesce(max(step) + 1, 0) FROM step WHERE step.operation = request.operation),
                         EXISTS (SELECT 1 FROM request AS other
                                 WHERE other.result IS NULL AND other.expires IS NULL
                                   AND other.operation <> request.operation)";
    let term = i64::try_from(term.as_micros()).unwrap_or(i64::MAX);
    session
        .first(sql, &[&context.told(), &columns::text(holder), &term], |columns| {
            Ok(RequestClaim {
                operation: columns.uuid()?,
                kind: columns.text()?,
                actor: columns.text()?,
                body: columns.text()?.into(),
                fence: columns.count()?,
                next_step: columns.count()?,
                others_wait: columns.take()?,
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
    session
        .execute("UPDATE request SET expires = $2 WHERE operation = $1 AND holder IS NOT NULL", &[&operation, &expires])
        .await?;
    Ok(())
}

/// Lets go of a claim: anybody may have the request after so long.
pub(super) async fn give_back(
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
    how: &RequestEnd,
) -> Result<(), Failure> {
    let ended = "SELECT 1 FROM request JOIN operation ON operation.sequence = request.operation
                 WHERE id = $1 AND fence = $2 AND result = $3";
    let (fence, result) = (columns::integer(claim.fence), columns::text(&how.result));
    if context.is_repeated && session.exists(ended, &[&claim.operation, &fence, &result]).await? {
        return Ok(());
    }
    end(session, context, held(session, claim).await?, how).await
}

pub(super) async fn end(session: &Session, context: &Context, operation: i64, how: &RequestEnd) -> Result<(), Failure> {
    let sql = "UPDATE request SET result = $2, holder = NULL, expires = NULL, body = CASE WHEN $3 THEN body ELSE '' END
               WHERE operation = $1";
    session.execute(sql, &[&operation, &columns::text(&how.result), &how.keeps_body]).await?;
    let sql = "UPDATE operation SET status = $2, summary = $3, ended_at = coalesce($4, clock_timestamp())
               WHERE sequence = $1";
    let status = columns::word(&how.status)?;
    session.execute(sql, &[&operation, &status, &columns::text(&how.summary), &context.told()]).await?;
    Ok(())
}

/// A request that has not ended, which nobody else changes until the transaction ends: the number of its operation where
/// nobody works on it and nothing of it has begun.
pub(super) async fn unbegun(session: &Session, id: Uuid) -> Result<Option<i64>, Failure> {
    let sql =
        "SELECT sequence, holder IS NULL AND NOT EXISTS (SELECT 1 FROM step WHERE step.operation = request.operation)
               FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1 AND result IS NULL FOR UPDATE OF request";
    let found: Option<(i64, bool)> =
        session.first(sql, &[&id], |columns| Ok((columns.take()?, columns.take()?))).await?;
    Ok(found.filter(|(_, is_unbegun)| *is_unbegun).map(|(operation, _)| operation))
}

/// Whether a request was called off before anything of it began.
pub(super) async fn is_called_off(session: &Session, id: Uuid) -> Result<bool, Failure> {
    let RequestEnd { summary, .. } = RequestEnd::called_off();
    let sql = "SELECT 1 FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1 AND result IS NOT NULL AND cancelled_by IS NOT NULL AND summary = $2";
    session.exists(sql, &[&id, &columns::text(&summary)]).await
}

/// What is still stored of requests that tells what they ask.
pub(super) async fn asked(session: &Session) -> Result<Vec<AskedRow>, Failure> {
    let sql = "SELECT id, component, digest, body, result IS NULL
               FROM request JOIN operation ON operation.sequence = request.operation
               WHERE body <> '' ORDER BY request.operation";
    session
        .list(sql, &[], |columns| {
            Ok(AskedRow {
                operation: columns.uuid()?,
                component: columns.text()?,
                digest: columns.text()?,
                body: columns.text()?.into(),
                is_open: columns.take()?,
            })
        })
        .await
}

/// Replaces what is stored of requests that tells what they ask.
pub(super) async fn reseal(session: &Session, asked: &[&AskedAnew]) -> Result<(), Failure> {
    if asked.is_empty() {
        return Ok(());
    }
    let operations: Vec<Uuid> = asked.iter().map(|asked| asked.operation).collect();
    let texts = |of: fn(&AskedAnew) -> &str| asked.iter().map(|asked| columns::text(of(asked))).collect::<Vec<_>>();
    let (were, components) = (texts(|asked| &asked.was), texts(|asked| &asked.component));
    let (digests, bodies) = (texts(|asked| &asked.digest), texts(|asked| asked.body.expose()));
    let sql = "UPDATE request SET component = given.component, digest = given.digest, body = given.body
               FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
                    AS given (id, was, component, digest, body) JOIN operation ON operation.id = given.id
               WHERE request.operation = operation.sequence AND request.digest = given.was AND request.body <> ''";
    session.execute(sql, &[&operations, &were, &components, &digests, &bodies]).await?;
    Ok(())
}

/// A request as it stands.
pub(super) async fn request(session: &Session, id: Uuid) -> Result<Option<RequestRow>, Failure> {
    let sql = "SELECT component, body, result FROM request JOIN operation ON operation.sequence = request.operation
               WHERE id = $1";
    session
        .first(sql, &[&id], |columns| {
            Ok(RequestRow {
                component: columns.text()?,
                body: columns.text()?.into(),
                result: columns.optional_text()?,
            })
        })
        .await
}
