//! A whole state moves from one database to another: `terrace state migrate`.
//!
//! Everything that is recorded is copied, table by table and in batches, and nothing is looked into: what is sealed stays
//! sealed, ids and times stay what they were, and the new state has the identity of the old one, so that plans that were
//! saved can be applied there. Leases and open steps do not move: while there are any, nothing does. What a role mapper keeps
//! beside the state moves with it.
//!
//! The old state is locked against writers from the first look to the last. The new one gets everything in one transaction,
//! in which it is read again and compared before it is committed: whatever goes wrong, or whenever the process dies, the
//! new one is as empty as it was.
//!
//! Read [`tables`] for what moves; each database has a [`Side`] of its own.

mod tables;

pub use tables::{Column, LEFT_COLUMNS, LEFT_TABLES, ROLE_TABLES, TABLES, Table};
pub(crate) use tables::{Kind, OPEN_STEPS, UNENDED_OPERATIONS, UNENDED_REQUESTS};

use crate::StoreUrl;
use async_trait::async_trait;
use std::collections::BTreeSet;
use terrace_engine::address::StackId;
use terrace_engine::digest::Hashing;
use terrace_engine::store::{LeaseInfo, StoreError};
use uuid::Uuid;

/// How many rows are read at once in the beginning.
const FEW: usize = 64;
/// And how many at most.
const MANY: usize = 1024;
/// Batches become smaller where they hold more bytes than that, and larger where they hold a quarter of it.
const LARGE: usize = 4 << 20;

/// A value of a column, in the one form that all databases share: flags are numbers, times microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Id(Uuid),
}

/// How an operation ended whose process was gone before its state moved.
pub(crate) const CUT_OFF: &str = "it was cut off before the state moved";

pub(crate) type Cells = Vec<Cell>;

/// One of the two databases, within the transaction that lasts as long as the move. Dropped, it leaves no trace.
#[async_trait]
pub(crate) trait Side: Send {
    /// The identity of the state.
    async fn id(&mut self) -> Result<Uuid, StoreError>;

    /// Who is at work on it, or was cut off.
    async fn in_use(&mut self) -> Result<Vec<InUse>, StoreError>;

    /// True when a role mapper keeps roles beside the state; from here on none writes any.
    async fn has_roles(&mut self) -> Result<bool, StoreError>;

    /// Makes the tables of a role mapper, or brings them to the newest format.
    async fn make_roles(&mut self) -> Result<(), StoreError>;

    /// True when a table has a row.
    async fn has_any(&mut self, table: &'static str) -> Result<bool, StoreError>;

    /// The rows after a key, in order.
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<Cells>,
        most: usize,
    ) -> Result<Vec<Cells>, StoreError>;

    /// Forgets the identity that the state was made with.
    async fn forget_id(&mut self) -> Result<(), StoreError>;

    /// Adds rows.
    async fn add(&mut self, table: &'static Table, rows: Vec<Cells>) -> Result<(), StoreError>;

    /// Makes new numbers go on after those that there are, ends what was cut off and will not be ended by anybody, and
    /// makes all of it durable.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// What came of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The identity of the state, which is that of both now.
    pub id: Uuid,
    /// Every table that moved.
    pub tables: Vec<MigratedTable>,
}

/// A table that is the same in both states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigratedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// The digest of all of them, whichever database they are in.
    pub digest: String,
}

/// Somebody who works on a state, or something that was left in the middle.
#[derive(Debug, Clone, PartialEq)]
pub enum InUse {
    /// A component is leased.
    Lease(LeaseInfo),
    /// An operation runs.
    Operation {
        /// Its id.
        id: Uuid,
        /// What kind.
        kind: String,
        /// Who asked.
        actor: String,
    },
    /// A request waits, or is worked on.
    Request {
        /// Its operation.
        id: Uuid,
        /// What kind.
        kind: String,
        /// The stack.
        stack: StackId,
        /// Its component; empty for the whole stack.
        component: String,
        /// Nobody took it up yet.
        is_queued: bool,
    },
    /// A step has no outcome yet.
    Step {
        /// The stack.
        stack: StackId,
        /// The address of its object.
        address: String,
        /// Its operation.
        operation: Uuid,
    },
}

impl InUse {
    const fn operation(&self) -> Uuid {
        match self {
            Self::Lease(LeaseInfo { operation, .. })
            | Self::Operation { id: operation, .. }
            | Self::Request { id: operation, .. }
            | Self::Step { operation, .. } => *operation,
        }
    }
}

/// Why a state was not moved. The one that it was to move to is as it was.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Nothing is recorded.
    #[error("nothing is recorded in {0}")]
    Nothing(String),
    /// A state in memory ends with the command.
    #[error("a state in memory ends with the command")]
    InMemory,
    /// Both are one, or one is a copy of the other.
    #[error("{0} is this very state, or a copy of it")]
    Same(String),
    /// Somebody works on it, or it has to be recovered.
    #[error("the state is in use")]
    InUse(Vec<InUse>),
    /// Something is there already.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// What was written is not what is read.
    #[error("the copy of `{table}` differs from the state, {place}")]
    Differs {
        /// The table.
        table: &'static str,
        /// Where.
        place: String,
    },
    /// A database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves a whole state to an empty place. The old one stays as it is. `committing` is called before the one moment in which
/// the new one becomes what the old one is.
///
/// # Errors
/// When somebody works on it, the place is not empty, or a database fails: nothing has moved then.
pub async fn migrate(
    from: &StoreUrl,
    to: &StoreUrl,
    committing: &(dyn Fn() + Send + Sync),
) -> Result<Migrated, TransferError> {
    if matches!(to, StoreUrl::SqliteMemory) {
        return Err(TransferError::InMemory);
    }
    if crate::glance(from).await?.is_none() {
        return Err(TransferError::Nothing(from.to_string()));
    }
    let mut source = side(from).await?;
    let id = source.id().await?;
    // Before the other one is locked, too: it may be the same.
    match crate::glance(to).await? {
        Some((other, _)) if other == id => return Err(TransferError::Same(to.to_string())),
        // One of an older format would be brought to the newest, for nothing.
        Some((_, true)) => return Err(TransferError::NotEmpty(to.to_string())),
        _ => {}
    }
    let in_use = source.in_use().await?;
    if !in_use.is_empty() {
        return Err(TransferError::InUse(in_use));
    }
    let mut target = side(to).await?;
    let roles_there = if target.has_roles().await? { ROLE_TABLES } else { &[] };
    let names = TABLES.iter().chain(roles_there).map(|table| table.name).chain(["lease", "intent"]);
    for table in names.filter(|name| *name != "store") {
        if target.has_any(table).await? {
            return Err(TransferError::NotEmpty(to.to_string()));
        }
    }
    let roles = if source.has_roles().await? { ROLE_TABLES } else { &[] };
    if !roles.is_empty() {
        source.make_roles().await?;
        target.make_roles().await?;
    }
    target.forget_id().await?;
    let moving = || TABLES.iter().chain(roles);
    for table in moving() {
        copy(source.as_mut(), target.as_mut(), table).await?;
    }
    let mut tables = Vec::with_capacity(moving().count());
    for table in moving() {
        tables.push(compare(source.as_mut(), target.as_mut(), table).await?);
    }
    committing();
    target.commit().await?;
    Ok(Migrated { id, tables })
}

async fn side(url: &StoreUrl) -> Result<Box<dyn Side>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || crate::sqlite::side(&path)).await;
            opened.map_err(|error| StoreError::Unavailable { doing: "opened", reason: error.to_string() })?
        }
        StoreUrl::SqliteMemory => {
            Err(StoreError::Unavailable { doing: "opened", reason: "it ends with the command".to_owned() })
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => crate::postgres::side(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(crate::no_postgres()),
    }
}

/// How many rows come next: as many as are large together.
struct Pace(usize);

impl Pace {
    fn after(&mut self, rows: &[Cells]) {
        let bytes: usize = rows.iter().flatten().map(Cell::size).sum();
        if bytes > LARGE {
            self.0 = (self.0 / 2).max(1);
        } else if bytes < LARGE / 4 {
            self.0 = (self.0 * 2).min(MANY);
        }
    }
}

fn key(table: &Table, row: Option<&Cells>) -> Option<Cells> {
    Some(row?.iter().take(table.keys).cloned().collect())
}

async fn copy(source: &mut dyn Side, target: &mut dyn Side, table: &'static Table) -> Result<(), TransferError> {
    let (mut pace, mut after) = (Pace(FEW), None);
    loop {
        let rows = source.page(table, after, pace.0).await?;
        if rows.is_empty() {
            return Ok(());
        }
        after = key(table, rows.last());
        pace.after(&rows);
        target.add(table, rows).await?;
    }
}

/// Reads a table of both again, and compares them row by row.
async fn compare(
    source: &mut dyn Side,
    target: &mut dyn Side,
    table: &'static Table,
) -> Result<MigratedTable, TransferError> {
    let (mut pace, mut after, mut rows, mut digest) = (Pace(FEW), None, 0_u64, Hashing::default());
    loop {
        let expected = source.page(table, after.clone(), pace.0).await?;
        let found = target.page(table, after, pace.0).await?;
        if expected != found {
            let same = expected.iter().zip(&found).take_while(|(expected, found)| expected == found).count();
            let row = |rows: &[Cells]| rows.get(same).map(|row| in_words(table, row));
            let place = match (row(&expected), row(&found)) {
                (Some(row), _) => format!("at {row}"),
                (None, Some(row)) => format!("which has nothing at {row}"),
                (None, None) => format!("after {rows} rows"),
            };
            return Err(TransferError::Differs { table: table.name, place });
        }
        if expected.is_empty() {
            return Ok(MigratedTable { name: table.name, rows, digest: digest.finish() });
        }
        expected.iter().flatten().for_each(|cell| cell.add_to(&mut digest));
        rows += expected.len() as u64;
        after = key(table, expected.last());
        pace.after(&expected);
    }
}

/// What tells a row from others, for people.
fn in_words(table: &Table, row: &Cells) -> String {
    let told = table.columns.iter().zip(row).take(table.keys).map(|(column, cell)| {
        let value = match cell {
            Cell::Null => "nothing".to_owned(),
            Cell::Number(number) => number.to_string(),
            Cell::Text(text) => format!("`{text}`"),
            Cell::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Cell::Id(id) => id.to_string(),
        };
        format!("{} {value}", column.name)
    });
    told.collect::<Vec<_>>().join(", ")
}

impl Cell {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Null | Self::Number(_) | Self::Id(_) => 8,
        }
    }

    /// What it is and how long, then itself: no two rows have the same text.
    fn add_to(&self, digest: &mut Hashing) {
        let mut add = |kind: u8, bytes: &[u8]| {
            digest.add(&[kind]);
            digest.add(&(bytes.len() as u64).to_be_bytes());
            digest.add(bytes);
        };
        match self {
            Self::Null => add(0, &[]),
            Self::Number(number) => add(1, &number.to_be_bytes()),
            Self::Text(text) => add(2, text.as_bytes()),
            Self::Bytes(bytes) => add(3, bytes),
            Self::Id(id) => add(4, id.as_bytes()),
        }
    }
}

/// Somebody whom others wait for unless nobody works on it any more: it is abandoned, or was asked to stop and holds nothing.
pub(crate) struct Unended {
    /// Its number.
    pub(crate) sequence: i64,
    /// Its id.
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) actor: String,
    /// It was asked to stop.
    pub(crate) is_cancelled: bool,
}

/// All that keeps a state from moving. Of an operation that holds leases those are told, not what it is doing.
pub(crate) fn in_use(
    leases: Vec<LeaseInfo>,
    requests: Vec<InUse>,
    operations: Vec<Unended>,
    abandoned: &[i64],
    steps: Vec<InUse>,
) -> Vec<InUse> {
    let mut at_work: BTreeSet<Uuid> = leases.iter().map(|lease| lease.operation).collect();
    let mut found: Vec<InUse> = leases.into_iter().map(InUse::Lease).collect();
    let running = operations
        .into_iter()
        .filter(|operation| !operation.is_cancelled && !abandoned.contains(&operation.sequence))
        .map(|Unended { id, kind, actor, .. }| InUse::Operation { id, kind, actor });
    for other in running.chain(requests).chain(steps) {
        let operation = other.operation();
        // Each open step has to be looked into, unless somebody is at it.
        let is_told = match other {
            InUse::Step { .. } => at_work.contains(&operation),
            _ => !at_work.insert(operation),
        };
        if !is_told {
            found.push(other);
        }
    }
    found
}
