//! Store in a SQLite file.
//!
//! One connection writes, on its own thread, in immediate transactions that are durable when they return. A few
//! others read, each call in one snapshot, and never wait for a sync. Several processes may use one file.
//!
//! Read [`commit`] for transactions, [`write`] and [`read`] for rows, [`lease`] for the rights of writers.

mod audit;
mod columns;
mod commit;
mod connection;
mod context;
mod error;
#[cfg(feature = "fault-points")]
mod fault;
mod file_identity;
mod journal;
mod lease;
mod lease_clock;
mod migrate;
mod operation;
mod prune;
mod read;
mod request;
mod roles;
mod stacks;
mod transfer;
mod worker;
mod write;

use crate::clock::{Clock, earlier};
use crate::{Access, StoreUrl};
use async_trait::async_trait;
use connection::PathContent;
use context::Context;
use error::Failure;
use file_identity::FileIdentity;
pub use file_identity::find_saved_copy;
use jiff::Timestamp;
pub use migrate::SQLITE_MARK;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use terrace_store::address::{Address, ComponentKey, StackId};
use terrace_store::{
    Acquired, Administration, AuditEntry, AuditLog, AuditPage, Cancelled, Claimant, ComponentRead, ComponentRow,
    Enqueued, HistoryEntry, Journal, Lease, LeaseInfo, LeaseRequest, Leases, LogLine, NewOperation, NewRequest,
    OpenIntent, OperationFilter, OperationRow, Operations, OwnerRow, OwnersOf, Pruned, Record, RequestClaim,
    RequestEnd, RequestQueue, RequestRow, Row, Rows, Selection, ServerStore, StackSnapshot, StepRow, StoreError,
    StoreIdentity, StoredRequest,
};
use uuid::Uuid;
use worker::{Priority, Workers};

pub(crate) use migrate::FORMAT;
pub(crate) use transfer::side;

/// The format of a file; 0 if there is no store yet.
pub(crate) fn format_of(path: &Path) -> Result<u32, StoreError> {
    let url = StoreUrl::Sqlite(path.to_owned()).to_string();
    match connection::inspect_path(path, Access::ReadOnly)? {
        PathContent::Missing => Ok(0),
        PathContent::File => migrate::inspect(&connection::reader(path, &url)?, &url),
    }
}

/// The ID of a file's state, and whether it has ever been used; `None` if there is no store yet.
pub(crate) fn identify(path: &Path) -> Result<Option<(Uuid, bool)>, StoreError> {
    let url = StoreUrl::Sqlite(path.to_owned()).to_string();
    let PathContent::File = connection::inspect_path(path, Access::ReadOnly)? else { return Ok(None) };
    let connection = connection::reader(path, &url)?;
    if migrate::inspect(&connection, &url)? == 0 {
        return Ok(None);
    }
    let inspect = || {
        let is_used = connection.query_row(crate::sql::IS_USED, [], |row| row.get(0))?;
        Ok((connection::identity(&connection)?, is_used))
    };
    inspect().map(Some).map_err(|failure: Failure| failure.into_store_error("opened", &connection))
}

/// The damage of a file, if any.
pub(crate) fn damage(path: &Path) -> Result<Option<String>, StoreError> {
    let url = StoreUrl::Sqlite(path.to_owned()).to_string();
    let PathContent::File = connection::inspect_path(path, Access::ReadOnly)? else { return Ok(None) };
    let connection = connection::reader(path, &url)?;
    // The first finding is enough: a damaged page may cause any number of further ones.
    match connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(found) if found == "ok" => Ok(None),
        Ok(found) => Ok(Some(found.replace('\n', " "))),
        // The file may be too damaged for the check.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => Ok(Some(error.to_string())),
        Err(error) => Err(error::unavailable("read", connection.path(), &error)),
    }
}

/// Concurrent reads beside a writer. A store without a writer belongs to a command, which reads one thing after
/// another.
const READERS: usize = 3;

/// A store in a SQLite file, or in memory.
pub(crate) struct SqliteStore {
    identity: StoreIdentity,
    context: Context,
    /// Before the writer, so that they close first and the writer can checkpoint the log.
    readers: Workers,
    writer: Writer,
}

/// How the store writes.
enum Writer {
    /// Not at all: the store was opened for reading.
    ReadOnly,
    /// On its own thread, into a file.
    Own(Workers, Arc<FileIdentity>),
    /// Like the reader: a database in memory has only one connection.
    SharedWithReader,
}

impl SqliteStore {
    /// Opens a file.
    pub(crate) fn open(path: &Path, access: Access, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let url = StoreUrl::Sqlite(path.to_owned()).to_string();
        let found = connection::inspect_path(path, access)?;
        let writer = match (access, found) {
            (Access::ReadOnly, PathContent::Missing) => return Self::empty(url, clock),
            (Access::ReadOnly, PathContent::File) => Writer::ReadOnly,
            (Access::ReadWrite, PathContent::File | PathContent::Missing) => {
                let now = clock.now();
                let connection = connection::writer(path, &url, now)?;
                Writer::Own(Workers::start("state-writer", vec![connection])?, Arc::new(FileIdentity::of(path, now)))
            }
        };
        let first = connection::reader(path, &url)?;
        match migrate::inspect(&first, &url)? {
            migrate::FORMAT => {}
            // A database without any table: another process is creating the store.
            0 => return Self::empty(url, clock),
            older => return Err(crate::access::needs_migration(older, FORMAT, &url)),
        }
        let id = connection::identity(&first).map_err(|failure| failure.into_store_error("opened", &first))?;
        let mut readers = vec![first];
        let count = if access == Access::ReadOnly { 1 } else { READERS };
        for _ in 1..count {
            readers.push(connection::reader(path, &url)?);
        }
        let readers = Workers::start("state-reader", readers)?;
        Ok(Self { identity: StoreIdentity { id, url }, context: Context::new(clock), readers, writer })
    }

    /// Opens a database that ends with the store.
    pub(crate) fn in_memory(access: Access, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let url = StoreUrl::SqliteMemory.to_string();
        let connection = connection::memory(&url, access, clock.now())?;
        let id =
            connection::identity(&connection).map_err(|failure| failure.into_store_error("opened", &connection))?;
        let writer = if access == Access::ReadOnly { Writer::ReadOnly } else { Writer::SharedWithReader };
        let readers = Workers::of_callers(connection);
        Ok(Self { identity: StoreIdentity { id, url }, context: Context::new(clock), readers, writer })
    }

    /// An empty store, for a reader of a store that does not exist yet.
    pub(crate) fn empty(url: String, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let store = Self::in_memory(Access::ReadOnly, clock)?;
        Ok(Self { identity: StoreIdentity { id: Uuid::nil(), url }, ..store })
    }

    async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>, &Context) -> Result<T, Failure> + Send + 'static,
    {
        let context = self.context.clone();
        let work = move |connection: &mut Connection| {
            // All queries of one call see one snapshot.
            let transaction = connection.transaction()?;
            let answer = work(&transaction, &context)?;
            transaction.finish()?;
            Ok(answer)
        };
        self.readers.run(Priority::Normal, "read", work).await
    }

    /// Writes for the work of an operation.
    async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>, &Context) -> Result<T, Failure> + Send + 'static,
    {
        self.write_with(Priority::Normal, work).await
    }

    /// Writes for calls of a server, and renewals of leases and claims, which would expire behind other work.
    async fn write_urgent<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>, &Context) -> Result<T, Failure> + Send + 'static,
    {
        self.write_with(Priority::High, work).await
    }

    async fn write_with<T, W>(&self, priority: Priority, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>, &Context) -> Result<T, Failure> + Send + 'static,
    {
        let (writer, file) = match &self.writer {
            Writer::ReadOnly => {
                return Err(crate::access::read_only_error());
            }
            Writer::Own(writer, file) => (writer, Some(Arc::clone(file))),
            Writer::SharedWithReader => (&self.readers, None),
        };
        let context = self.context.clone();
        let work = move |connection: &mut Connection| {
            let is_gone = || file.as_ref().filter(|file| !file.is_present());
            // A refused priority call is not saved for later. Results of work are saved.
            if let Some(file) = is_gone().filter(|_| priority == Priority::High) {
                return Err(file.save(connection).into());
            }
            let done = in_transaction(connection, |transaction| work(transaction, &context));
            // A write to a lost file may fail in many ways.
            is_gone().map_or(done, |file| Err(file.save(connection).into()))
        };
        writer.run(priority, "written", work).await
    }
}

/// Runs work in one durable transaction.
fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let answer = work(&transaction)?;
    #[cfg(feature = "fault-points")]
    fault::before_commit()?;
    transaction.commit()?;
    #[cfg(feature = "fault-points")]
    fault::after_commit()?;
    Ok(answer)
}

#[async_trait]
impl Rows for SqliteStore {
    async fn identity(&self) -> Result<StoreIdentity, StoreError> {
        Ok(self.identity.clone())
    }

    async fn stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.read(|connection, _| read::stacks(connection)).await
    }

    async fn known_stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.read(|connection, _| read::known_stacks(connection)).await
    }

    async fn rows(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Row>, StoreError> {
        let (stack, selection) = (stack.clone(), selection.clone());
        self.read(move |connection, _| read::rows(connection, &stack, &selection)).await
    }

    async fn retained_rows(&self, environment: &str) -> Result<Vec<Row>, StoreError> {
        let environment = environment.to_owned();
        self.read(move |connection, _| read::retained_rows(connection, &environment)).await
    }

    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError> {
        let stack = stack.clone();
        self.read(move |connection, _| read::components(connection, &stack)).await
    }

    async fn component_reads(
        &self,
        stack: &StackId,
        components: &BTreeSet<ComponentKey>,
    ) -> Result<Vec<ComponentRead>, StoreError> {
        let (stack, components) = (stack.clone(), components.clone());
        self.read(move |connection, _| {
            components.iter().map(|component| read::component_read(connection, &stack, component)).collect()
        })
        .await
    }

    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError> {
        let (environment, of) = (environment.to_owned(), of.clone());
        self.read(move |connection, _| read::owners(connection, &environment, &of)).await
    }

    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError> {
        let (stack, selection) = (stack.clone(), selection.clone());
        self.read(move |connection, context| journal::open_intents(connection, context, &stack, &selection)).await
    }

    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError> {
        let stack = stack.cloned();
        self.read(move |connection, _| read::snapshot(connection, stack, with_history)).await
    }
}

#[async_trait]
impl Operations for SqliteStore {
    async fn operations(&self, filter: &OperationFilter) -> Result<Vec<OperationRow>, StoreError> {
        let filter = filter.clone();
        self.read(move |connection, context| journal::operations(connection, context, &filter)).await
    }

    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError> {
        self.read(|connection, context| journal::unended(connection, context)).await
    }

    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError> {
        self.read(move |connection, context| journal::operation(connection, context, id)).await
    }

    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError> {
        self.read(move |connection, _| journal::is_cancel_requested(connection, operation)).await
    }
}

#[async_trait]
impl Journal for SqliteStore {
    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError> {
        let operation = operation.clone();
        self.write(move |transaction, context| operation::begin(transaction, context, &operation)).await
    }

    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError> {
        let leases = leases.to_vec();
        self.write(move |transaction, context| commit::commit(transaction, context, &leases, &records)).await
    }

    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError> {
        self.read(move |connection, _| journal::is_spent(connection, plan)).await
    }
}

#[async_trait]
impl Leases for SqliteStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.context.clock.now())
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError> {
        let request = request.clone();
        self.write(move |transaction, context| lease::acquire(transaction, context, &request)).await
    }

    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError> {
        let leases = leases.to_vec();
        self.write_urgent(move |transaction, context| lease::renew(transaction, context.clock.now(), &leases, term))
            .await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let leases = leases.to_vec();
        self.write(move |transaction, _| {
            for lease in &leases {
                lease::free(transaction, &lease.id)?;
            }
            Ok(())
        })
        .await
    }

    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        self.read(|connection, context| lease::held(connection, context)).await
    }
}

#[async_trait]
impl Administration for SqliteStore {
    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError> {
        let (stack, address) = (stack.clone(), address.clone());
        self.read(move |connection, _| read::history(connection, &stack, &address)).await
    }

    async fn break_lease(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |transaction, _| lease::free(transaction, &id)).await
    }

    async fn operation_ids(&self, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        self.read(move |connection, _| journal::ids(connection, &within, limit)).await
    }

    async fn logs(&self, id: Uuid, after: usize) -> Result<Vec<LogLine>, StoreError> {
        self.read(move |connection, _| journal::logs(connection, id, after)).await
    }

    async fn request_cancel(&self, operation: Uuid, by: &str) -> Result<Option<Cancelled>, StoreError> {
        let by = by.to_owned();
        self.write_urgent(move |transaction, context| journal::request_cancel(transaction, context, operation, &by))
            .await
    }

    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError> {
        self.write(move |transaction, context| {
            let moment = earlier(context.clock.now(), keep);
            prune::before(transaction, context, moment)
        })
        .await
    }
}

#[async_trait]
impl AuditLog for SqliteStore {
    async fn audit(&self, entries: Vec<AuditEntry>) -> Result<u64, StoreError> {
        self.write_urgent(move |transaction, context| audit::append(transaction, context, &entries)).await
    }

    async fn audit_page(&self, after: u64, limit: usize) -> Result<AuditPage, StoreError> {
        self.read(move |connection, _| audit::page(connection, after, limit)).await
    }

    async fn prune_audit(&self, keep: Duration) -> Result<u64, StoreError> {
        let moment = earlier(self.now().await?, keep);
        let end = self.audit_page(0, 0).await?.head.map_or(0, |head| head.number);
        let mut pruned = 0;
        loop {
            let batch =
                self.write(move |transaction, context| audit::prune_batch(transaction, context, end, moment)).await?;
            match batch {
                0 => return Ok(pruned),
                removed => pruned += removed,
            }
        }
    }
}

#[async_trait]
impl RequestQueue for SqliteStore {
    fn for_calls(self: Arc<Self>) -> Arc<dyn ServerStore> {
        self
    }

    async fn enqueue(&self, request: &NewRequest, most: usize) -> Result<Enqueued, StoreError> {
        let request = request.clone();
        self.write_urgent(move |transaction, context| request::enqueue(transaction, context, &request, most)).await
    }

    async fn find_by_idempotency_key(&self, key: &str) -> Result<Option<(Uuid, String)>, StoreError> {
        let key = key.to_owned();
        self.read(move |connection, _| request::find_by_idempotency_key(connection, &key)).await
    }

    async fn claim(&self, claimant: &Claimant, term: Duration) -> Result<Option<RequestClaim>, StoreError> {
        let claimant = claimant.clone();
        self.write(move |transaction, context| request::claim(transaction, context, &claimant, term)).await
    }

    async fn release_claims(&self, claimant: &Claimant) -> Result<(), StoreError> {
        let claimant = claimant.id;
        self.write(move |transaction, context| request::release_claims(transaction, context, claimant)).await
    }

    async fn renew_claim(&self, claim: &RequestClaim, term: Duration) -> Result<(), StoreError> {
        let claim = claim.clone();
        self.write_urgent(move |transaction, context| request::renew_claim(transaction, context, &claim, term)).await
    }

    async fn finish(&self, claim: &RequestClaim, end: &RequestEnd) -> Result<(), StoreError> {
        let (claim, end) = (claim.clone(), end.clone());
        self.write(move |transaction, context| request::finish(transaction, context, &claim, &end)).await
    }

    async fn release_claim(&self, claim: &RequestClaim, after: Duration) -> Result<(), StoreError> {
        let claim = claim.clone();
        self.write(move |transaction, context| request::release_claim(transaction, context, &claim, after)).await
    }

    async fn waiting(&self) -> Result<usize, StoreError> {
        self.read(|connection, _| request::waiting(connection)).await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(|transaction, _| write::check_writable(transaction)).await
    }

    async fn stored_requests(&self) -> Result<Vec<StoredRequest>, StoreError> {
        self.read(|connection, _| request::stored_requests(connection)).await
    }

    async fn request(&self, operation: Uuid) -> Result<Option<RequestRow>, StoreError> {
        self.read(move |connection, _| request::request(connection, operation)).await
    }
}

#[cfg(test)]
mod tests;
