//! Store in a PostgreSQL database, for processes on many machines at once.
//!
//! Every call is one transaction on its own connection; a retry starts a new transaction. The last statement is sent
//! together with `COMMIT` ([`session`]). Reads see one snapshot (REPEATABLE READ). Writes are READ COMMITTED, and lock
//! their rows before they read them, all in the same order ([`lock`]). After a wait, a transaction sees the writes of
//! the transaction that it waited for: deadlocks and retries do not occur. SERIALIZABLE guarantees this, too, but fails
//! more often under load: PostgreSQL reads small tables as a whole, so transactions of unrelated stacks conflict. If
//! the server still refuses a transaction because another program or version locks differently, the store retries a
//! few times.
//!
//! The time is that of the database (`clock_timestamp()`, read when everything is locked), because the clocks of
//! machines differ. Leases end only by expiry.
//!
//! The store runs on its own thread. So leases are renewed even if the caller's threads are busy, and a commit
//! continues when its caller stops waiting.
//!
//! The store waits for a server that restarts ([`server`]): it repeats uncommitted work, and looks up whether an
//! unanswered commit happened.
//!
//! Each answer has a deadline ([`session`]). The store closes a connection that missed it, and each call ends in
//! bounded time.
//!
//! Read [`commit`] for transactions, [`batch`], [`rows`], [`write`] and [`read`] for rows, [`lease`] for the rights of
//! writers.

mod audit;
mod batch;
mod columns;
mod commit;
mod connection;
mod error;
mod journal;
mod lease;
mod listen;
mod lock;
mod migrate;
mod prune;
mod read;
mod request;
mod roles;
mod rows;
mod server;
mod session;
mod transfer;
mod write;

use crate::Access;
use crate::access::read_only_error;
use crate::clock::{Clock, earlier};
use crate::roles::RoleStore;
use crate::sqlite::SqliteStore;
use crate::url::PostgresUrl;
use async_trait::async_trait;
use connection::ConnectionClass;
pub(crate) use connection::parse_url;
use error::Failure;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prune::Part;
use session::{Purpose, Session};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::RangeInclusive;
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

pub(crate) use migrate::FORMAT;
pub(crate) use transfer::side;

use server::{Context, OUTAGE_WAIT, OnUnknownCommit, Server};

/// Opens the store of a database.
pub(crate) async fn open(
    url: &PostgresUrl,
    access: Access,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn ServerStore>, StoreError> {
    match store(url, access, &clock).await? {
        Some(store) => Ok(Arc::new(store)),
        None => Ok(Arc::new(SqliteStore::empty(url.to_string(), clock)?)),
    }
}

/// Opens the role mapper's tables beside the store of a database; creates missing ones.
pub(crate) async fn open_roles(url: &PostgresUrl, clock: Arc<dyn Clock>) -> Result<Arc<dyn RoleStore>, StoreError> {
    let lost = || StoreError::Unavailable { action: "opened", reason: format!("{url} was emptied meanwhile") };
    let store = store(url, Access::ReadWrite, &clock).await?.ok_or_else(lost)?;
    store.make_roles().await?;
    Ok(Arc::new(store))
}

/// The store of a database; `None` if a reader finds none.
async fn store(url: &PostgresUrl, access: Access, clock: &Arc<dyn Clock>) -> Result<Option<PostgresStore>, StoreError> {
    let server = Server::new(url, clock)?;
    let now = server.context.clock.as_ref().map(|clock| clock.now());
    if access == Access::ReadWrite {
        let (pool, shown) = (server.pool.clone(), server.url.clone());
        server.run("opened", async move { migrate::run(&pool, &shown, now).await }).await?;
    }
    let shown = server.url.clone();
    let found = server
        .read("opened", Duration::ZERO, move |session, _| {
            Box::pin(async move {
                match migrate::inspect(session, &shown).await? {
                    FORMAT => Ok(Some(migrate::identity(session).await?)),
                    0 => Ok(None),
                    older => Err(crate::access::needs_migration(older, FORMAT, &shown).into()),
                }
            })
        })
        .await?;
    let identity = found.map(|id| StoreIdentity { id, url: server.url.clone() });
    Ok(identity.map(|identity| PostgresStore {
        server: Arc::new(server),
        identity,
        access,
        class: ConnectionClass::Work,
    }))
}

/// The format of a database; 0 if it has no store yet.
pub(crate) async fn format_of(url: &PostgresUrl) -> Result<u32, StoreError> {
    let server = Server::new(url, &(Arc::new(crate::SystemClock) as Arc<dyn Clock>))?;
    let shown = server.url.clone();
    server
        .read("opened", Duration::ZERO, move |session, _| {
            Box::pin(async move { migrate::inspect(session, &shown).await })
        })
        .await
}

/// The ID of the state, and whether it has ever been used; `None` if there is no store yet.
pub(crate) async fn identify(url: &PostgresUrl) -> Result<Option<(Uuid, bool)>, StoreError> {
    let server = Server::new(url, &(Arc::new(crate::SystemClock) as Arc<dyn Clock>))?;
    let shown = server.url.clone();
    server
        .read("opened", Duration::ZERO, move |session, _| {
            Box::pin(async move {
                match migrate::inspect(session, &shown).await? {
                    0 => Ok(None),
                    _ => {
                        let is_used = session.first(crate::sql::IS_USED, &[], |columns| columns.take()).await?;
                        Ok(Some((migrate::identity(session).await?, is_used.unwrap_or_default())))
                    }
                }
            })
        })
        .await
}

/// The damage of the state, if any.
pub(crate) async fn damage(url: &PostgresUrl) -> Result<Option<String>, StoreError> {
    let server = Server::new(url, &(Arc::new(crate::SystemClock) as Arc<dyn Clock>))?;
    let shown = server.url.clone();
    server
        .read("read", Duration::ZERO, move |session, _| {
            Box::pin(async move {
                match migrate::inspect(session, &shown).await? {
                    0 => Ok(None),
                    _ => {
                        session.raise_deadline();
                        read::damage(session).await
                    }
                }
            })
        })
        .await
}

/// A store in a PostgreSQL database.
struct PostgresStore {
    server: Arc<Server>,
    identity: StoreIdentity,
    access: Access,
    /// The connection class of reads that have none of their own.
    class: ConnectionClass,
}

impl PostgresStore {
    async fn read<T, W>(&self, class: ConnectionClass, purpose: Purpose, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'s> FnOnce(&'s Session, &'s Context) -> BoxFuture<'s, Result<T, Failure>>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.server.read_as(class, purpose, "read", OUTAGE_WAIT, work).await
    }

    /// Writes with the given input, which is kept for a retry.
    async fn write<A, T, W>(
        &self,
        class: ConnectionClass,
        on_unknown_commit: OnUnknownCommit,
        given: A,
        work: W,
    ) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        W: for<'s> Fn(&'s Session, &'s Context, &'s A) -> BoxFuture<'s, Result<T, Failure>>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        if self.access == Access::ReadOnly {
            return Err(read_only_error());
        }
        let given = Arc::new(given);
        self.server
            .write(class, on_unknown_commit, move |session, context| {
                let (given, work) = (Arc::clone(&given), work.clone());
                Box::pin(async move { work(session, context, &given).await })
            })
            .await
    }
}

/// Interval at which a server checks for dead processes with open steps.
const WATCH: Duration = Duration::from_secs(5);

impl PostgresStore {
    /// Records dead processes with open steps, at intervals.
    async fn watch(&self) -> Infallible {
        loop {
            let noted = self.write(ConnectionClass::Renewal, OnUnknownCommit::Repeat, (), |session, context, ()| {
                Box::pin(journal::record_dead_processes(session, context))
            });
            if let Err(error) = noted.await {
                tracing::debug!(%error, "cannot record ended processes now");
            }
            tokio::time::sleep(WATCH).await;
        }
    }
}

#[async_trait]
impl Rows for PostgresStore {
    async fn identity(&self) -> Result<StoreIdentity, StoreError> {
        Ok(self.identity.clone())
    }

    async fn stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.read(self.class, Purpose::ReadOne, |session, _| Box::pin(read::stacks(session))).await
    }

    async fn known_stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.read(self.class, Purpose::ReadOne, |session, _| Box::pin(read::known_stacks(session))).await
    }

    async fn rows(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Row>, StoreError> {
        let (stack, selection) = (stack.clone(), selection.clone());
        self.read(self.class, Purpose::ReadOne, move |session, _| {
            Box::pin(async move { read::rows(session, &stack, &selection).await })
        })
        .await
    }

    async fn retained_rows(&self, environment: &str) -> Result<Vec<Row>, StoreError> {
        let environment = environment.to_owned();
        self.read(self.class, Purpose::ReadOne, move |session, _| {
            Box::pin(async move { read::retained_rows(session, &environment).await })
        })
        .await
    }

    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError> {
        let stack = stack.clone();
        self.read(self.class, Purpose::ReadOne, move |session, _| {
            Box::pin(async move { read::components(session, &stack).await })
        })
        .await
    }

    async fn component_reads(
        &self,
        stack: &StackId,
        components: &BTreeSet<ComponentKey>,
    ) -> Result<Vec<ComponentRead>, StoreError> {
        let (stack, keys) = (stack.clone(), components.clone());
        self.read(self.class, Purpose::Read, move |session, _| {
            Box::pin(async move { read::component_reads(session, &stack, &keys).await })
        })
        .await
    }

    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError> {
        let (environment, of) = (environment.to_owned(), of.clone());
        self.read(self.class, Purpose::ReadOne, move |session, _| {
            Box::pin(async move { read::owners(session, &environment, &of).await })
        })
        .await
    }

    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError> {
        let (stack, selection) = (stack.clone(), selection.clone());
        self.read(self.class, Purpose::ReadOne, move |session, context| {
            Box::pin(async move { journal::open_intents(session, context, &stack, &selection).await })
        })
        .await
    }

    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError> {
        let stack = stack.cloned();
        self.read(self.class, Purpose::Read, move |session, _| {
            session.raise_deadline();
            Box::pin(read::snapshot(session, stack, with_history))
        })
        .await
    }
}

#[async_trait]
impl Operations for PostgresStore {
    async fn operations(&self, filter: &OperationFilter) -> Result<Vec<OperationRow>, StoreError> {
        let filter = filter.clone();
        self.read(self.class, Purpose::Read, move |session, context| {
            Box::pin(journal::operations(session, context, filter))
        })
        .await
    }

    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError> {
        self.read(self.class, Purpose::Read, |session, context| Box::pin(journal::unended(session, context))).await
    }

    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError> {
        self.read(ConnectionClass::Call, Purpose::Read, move |session, context| {
            Box::pin(journal::operation(session, context, id))
        })
        .await
    }

    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError> {
        self.read(ConnectionClass::Renewal, Purpose::ReadOne, move |session, _| {
            Box::pin(journal::is_cancel_requested(session, operation))
        })
        .await
    }
}

#[async_trait]
impl Journal for PostgresStore {
    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError> {
        self.write(ConnectionClass::Work, OnUnknownCommit::Repeat, operation.clone(), |session, context, operation| {
            Box::pin(commit::begin(session, context, operation))
        })
        .await
    }

    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError> {
        self.write(
            ConnectionClass::Work,
            OnUnknownCommit::Repeat,
            (leases.to_vec(), records),
            |session, context, (leases, records)| Box::pin(commit::commit(session, context, leases, records)),
        )
        .await
    }

    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError> {
        self.read(self.class, Purpose::ReadOne, move |session, _| Box::pin(journal::is_spent(session, plan))).await
    }
}

#[async_trait]
impl Leases for PostgresStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read(self.class, Purpose::ReadOne, |session, context| Box::pin(context.now(session))).await
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError> {
        self.write(ConnectionClass::Work, OnUnknownCommit::Repeat, request.clone(), |session, context, request| {
            Box::pin(lease::acquire(session, context, request))
        })
        .await
    }

    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError> {
        self.write(
            ConnectionClass::Renewal,
            OnUnknownCommit::Repeat,
            (leases.to_vec(), term),
            |session, context, (leases, term)| Box::pin(lease::renew(session, context, leases, *term)),
        )
        .await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let ids: Vec<String> = leases.iter().map(|lease| lease.id.clone()).collect();
        self.write(ConnectionClass::Work, OnUnknownCommit::Repeat, ids, |session, _, ids| {
            Box::pin(lease::free(session, ids))
        })
        .await
        .map(|_| ())
    }

    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        self.read(self.class, Purpose::Read, |session, context| {
            Box::pin(async move { lease::held(session, context.now(session).await?).await })
        })
        .await
    }
}

#[async_trait]
impl Administration for PostgresStore {
    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError> {
        let (stack, address) = (stack.clone(), address.clone());
        self.read(self.class, Purpose::Read, move |session, _| {
            Box::pin(async move { read::history(session, &stack, &address).await })
        })
        .await
    }

    async fn break_lease(&self, id: &str) -> Result<bool, StoreError> {
        self.write(ConnectionClass::Work, OnUnknownCommit::Report, vec![id.to_owned()], |session, _, ids| {
            Box::pin(lease::free(session, ids))
        })
        .await
    }

    async fn operation_ids(&self, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        self.read(self.class, Purpose::ReadOne, move |session, _| {
            Box::pin(journal::ids(session, within.clone(), limit))
        })
        .await
    }

    async fn logs(&self, id: Uuid, after: usize) -> Result<Vec<LogLine>, StoreError> {
        self.read(self.class, Purpose::ReadOne, move |session, _| Box::pin(journal::logs(session, id, after))).await
    }

    async fn request_cancel(&self, operation: Uuid, by: &str) -> Result<Option<Cancelled>, StoreError> {
        self.write(
            ConnectionClass::Call,
            OnUnknownCommit::Repeat,
            (operation, by.to_owned()),
            |session, context, (operation, by)| Box::pin(journal::request_cancel(session, context, *operation, by)),
        )
        .await
    }

    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError> {
        let now = self.read(self.class, Purpose::ReadOne, |session, context| Box::pin(context.now(session))).await?;
        let moment = earlier(now, keep);
        let mut pruned = Pruned::default();
        for part in [Part::Versions, Part::ComponentVersions, Part::Operations] {
            let mut after = Some(i64::MIN);
            while let Some(from) = after {
                let batch = self
                    .write(
                        ConnectionClass::Work,
                        OnUnknownCommit::Repeat,
                        (part, from),
                        move |session, context, (part, from)| {
                            Box::pin(prune::batch(session, context, *part, *from, moment))
                        },
                    )
                    .await?;
                match part {
                    Part::Versions => pruned.versions += batch.removed,
                    Part::Operations => pruned.operations += batch.removed,
                    Part::ComponentVersions => {}
                }
                after = batch.next;
            }
        }
        Ok(pruned)
    }
}

#[async_trait]
impl AuditLog for PostgresStore {
    async fn audit(&self, entries: Vec<AuditEntry>) -> Result<u64, StoreError> {
        self.write(ConnectionClass::Call, OnUnknownCommit::Repeat, entries, |session, context, entries| {
            Box::pin(audit::append(session, context, entries))
        })
        .await
    }

    async fn audit_page(&self, after: u64, limit: usize) -> Result<AuditPage, StoreError> {
        self.read(self.class, Purpose::Read, move |session, _| Box::pin(audit::page(session, after, limit))).await
    }

    async fn prune_audit(&self, keep: Duration) -> Result<u64, StoreError> {
        let now = self.read(self.class, Purpose::ReadOne, |session, context| Box::pin(context.now(session))).await?;
        let moment = earlier(now, keep);
        let end = self.audit_page(0, 0).await?.head.map_or(0, |head| head.number);
        let mut pruned = 0;
        loop {
            let batch = self.write(ConnectionClass::Work, OnUnknownCommit::Repeat, (), move |session, context, ()| {
                Box::pin(audit::prune_batch(session, context, end, moment))
            });
            match batch.await? {
                0 => return Ok(pruned),
                removed => pruned += removed,
            }
        }
    }
}

#[async_trait]
impl RequestQueue for PostgresStore {
    fn for_calls(self: Arc<Self>) -> Arc<dyn ServerStore> {
        let (server, identity) = (Arc::clone(&self.server), self.identity.clone());
        Arc::new(Self { server, identity, access: self.access, class: ConnectionClass::Call })
    }

    async fn enqueue(&self, request: &NewRequest, most: usize) -> Result<Enqueued, StoreError> {
        self.write(
            ConnectionClass::Call,
            OnUnknownCommit::Repeat,
            (request.clone(), most),
            |session, context, (request, most)| Box::pin(request::enqueue(session, context, request, *most)),
        )
        .await
    }

    async fn find_by_idempotency_key(&self, key: &str) -> Result<Option<(Uuid, String)>, StoreError> {
        let key = key.to_owned();
        self.read(ConnectionClass::Call, Purpose::ReadOne, move |session, _| {
            Box::pin(async move { request::find_by_idempotency_key(session, &key).await })
        })
        .await
    }

    async fn claim(&self, claimant: &Claimant, term: Duration) -> Result<Option<RequestClaim>, StoreError> {
        self.write(
            ConnectionClass::Work,
            OnUnknownCommit::Report,
            (claimant.clone(), term),
            |session, context, (claimant, term)| Box::pin(request::claim(session, context, claimant, *term)),
        )
        .await
    }

    async fn release_claims(&self, claimant: &Claimant) -> Result<(), StoreError> {
        self.write(ConnectionClass::Work, OnUnknownCommit::Repeat, claimant.id, |session, context, claimant| {
            Box::pin(request::release_claims(session, context, *claimant))
        })
        .await
    }

    async fn renew_claim(&self, claim: &RequestClaim, term: Duration) -> Result<(), StoreError> {
        self.write(
            ConnectionClass::Renewal,
            OnUnknownCommit::Repeat,
            (claim.clone(), term),
            |session, context, (claim, term)| Box::pin(request::renew_claim(session, context, claim, *term)),
        )
        .await
    }

    async fn finish(&self, claim: &RequestClaim, end: &RequestEnd) -> Result<(), StoreError> {
        self.write(
            ConnectionClass::Work,
            OnUnknownCommit::Repeat,
            (claim.clone(), end.clone()),
            |session, context, (claim, end)| Box::pin(request::finish(session, context, claim, end)),
        )
        .await
    }

    async fn release_claim(&self, claim: &RequestClaim, after: Duration) -> Result<(), StoreError> {
        self.write(
            ConnectionClass::Work,
            OnUnknownCommit::Repeat,
            (claim.clone(), after),
            |session, context, (claim, after)| Box::pin(request::release_claim(session, context, claim, *after)),
        )
        .await
    }

    async fn waiting(&self) -> Result<usize, StoreError> {
        self.read(self.class, Purpose::ReadOne, |session, _| Box::pin(request::waiting(session))).await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(ConnectionClass::Work, OnUnknownCommit::Repeat, (), |session, _, ()| {
            Box::pin(write::check_writable(session))
        })
        .await
    }

    async fn listen(&self, wake: &(dyn Fn() + Send + Sync)) -> Result<(), StoreError> {
        let (config, connector) = &self.server.driver;
        let listening = listen::listen(config, connector.clone(), &self.server.context.origin, wake);
        tokio::select! {
            listening = listening => listening.map_err(|failure| failure.into_store_error("read", &self.server.url)),
            never = self.watch() => match never {},
        }
    }

    async fn stored_requests(&self) -> Result<Vec<StoredRequest>, StoreError> {
        self.read(self.class, Purpose::ReadOne, |session, _| Box::pin(request::stored_requests(session))).await
    }

    async fn request(&self, operation: Uuid) -> Result<Option<RequestRow>, StoreError> {
        self.read(ConnectionClass::Call, Purpose::ReadOne, move |session, _| {
            Box::pin(request::request(session, operation))
        })
        .await
    }
}
