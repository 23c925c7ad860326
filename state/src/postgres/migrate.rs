//! Upgrades of a database to the newest format: numbered SQL files, each in one transaction under an advisory lock.
//!
//! The table `terrace_schema` has a row for each executed file. It and all other tables are in the first schema of the
//! connection's search path. Executed files never change; a new format is a new file.

use super::columns;
use super::connection::ConnectionClass;
use super::error::Failure;
use super::session::{Purpose, Session};
use crate::columns::ReadColumns;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use terrace_store::StoreError;
use uuid::Uuid;

const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_init.sql"),
    include_str!("../../migrations/postgres/0002_request.sql"),
    include_str!("../../migrations/postgres/0003_principals.sql"),
    include_str!("../../migrations/postgres/0004_idempotency.sql"),
    include_str!("../../migrations/postgres/0005_operation_of_stack.sql"),
    include_str!("../../migrations/postgres/0006_can_wait.sql"),
    include_str!("../../migrations/postgres/0007_access_fields.sql"),
    include_str!("../../migrations/postgres/0008_queue.sql"),
    include_str!("../../migrations/postgres/0009_origin.sql"),
    include_str!("../../migrations/postgres/0010_request_key.sql"),
    include_str!("../../migrations/postgres/0011_ids.sql"),
    include_str!("../../migrations/postgres/0012_beacon.sql"),
    include_str!("../../migrations/postgres/0013_request_death.sql"),
    include_str!("../../migrations/postgres/0014_request_quota.sql"),
    include_str!("../../migrations/postgres/0015_audit.sql"),
];

/// The newest format that this build knows.
pub(crate) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// `TERR` in ASCII: the lock of processes that upgrade, one at a time in the database.
const LOCK: i64 = 0x5445_5252;

/// The format of a database; 0 for one without a store.
///
/// # Errors
/// When the schema belongs to another program, or the store has a newer format.
pub(super) async fn inspect(session: &Session, url: &str) -> Result<u32, Failure> {
    // In one statement, and without `to_regclass`, whose cache may miss new tables: another process may be creating the
    // store at this moment. Objects of extensions do not count.
    let sql = "SELECT current_schema()::text, count(*) > 0, coalesce(bool_or(relname = 'terrace_schema'), false)
               FROM pg_catalog.pg_class
               WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
                 AND relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend
                                 WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = pg_class.oid
                                   AND deptype = 'e')";
    let found = session
        .first(sql, &[], |columns| Ok((columns.optional_text()?, columns.take::<bool>()?, columns.take::<bool>()?)))
        .await?;
    let format = match found {
        None | Some((None, ..)) => {
            return Err(not_a_store(url, "it has no schema that the user may use: create one first").into());
        }
        Some((Some(_), _, true)) => {
            let sql = "SELECT coalesce(max(version), 0)::bigint FROM terrace_schema";
            session.first(sql, &[], |columns| columns.count()).await?.unwrap_or_default()
        }
        Some((Some(_), true, false)) => {
            let reason = "it has tables of another program: use another database or, with \
                          `options=-csearch_path%3DNAME`, another schema";
            return Err(not_a_store(url, reason).into());
        }
        Some((Some(_), false, false)) => 0,
    };
    if format > FORMAT {
        return Err(StoreError::NewerFormat { url: url.to_owned(), found: format, known: FORMAT }.into());
    }
    Ok(format)
}

/// Runs the missing files.
pub(super) async fn run(pool: &Pool, url: &str, now: Option<Timestamp>) -> Result<(), Failure> {
    loop {
        let session = Session::on(pool, Purpose::Write, ConnectionClass::Work.deadline(Purpose::Write)).await?;
        let done = run_next(&session, url, now).await;
        if session.end(done).await? == FORMAT {
            return Ok(());
        }
    }
}

/// Runs the next file, or creates a new store, and returns the resulting format. The number is read under the lock: another
/// process may have been faster.
async fn run_next(session: &Session, url: &str, now: Option<Timestamp>) -> Result<u32, Failure> {
    if inspect(session, url).await? == FORMAT {
        return Ok(FORMAT);
    }
    // Other processes, and statements on a large state, may take long.
    session.raise_limits().await?;
    session.run("SET LOCAL lock_timeout = 0").await?;
    session.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let format = inspect(session, url).await?;
    let missing = (1_u32..).zip(MIGRATIONS).skip(usize::try_from(format).unwrap_or(usize::MAX));
    // A reader must not see a part of a new store.
    let at_once = if format == 0 { MIGRATIONS.len() } else { 1 };
    let mut reached = format;
    for (number, sql) in missing.take(at_once) {
        session.run(sql).await?;
        session.execute("INSERT INTO terrace_schema (version) VALUES ($1::bigint)", &[&i64::from(number)]).await?;
        if reached == 0 {
            let sql = "INSERT INTO store (singleton, id, made_at) VALUES (1, $1, coalesce($2, clock_timestamp()))";
            session.execute(sql, &[&Uuid::now_v7(), &now.map(columns::time)]).await?;
        }
        reached = number;
    }
    tracing::debug!(url, format = reached, "upgraded the state");
    Ok(reached)
}

/// The store's identity.
pub(super) async fn identity(session: &Session) -> Result<Uuid, Failure> {
    let found = session.first("SELECT id FROM store", &[], |columns| columns.uuid()).await?;
    found.ok_or_else(|| Failure::Unreadable("it has lost its identity".to_owned()))
}

fn not_a_store(url: &str, reason: &str) -> StoreError {
    StoreError::NotAStore { url: url.to_owned(), reason: reason.to_owned() }
}
