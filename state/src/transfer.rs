//! Transfer of a whole state to another database: `terrace state migrate`.
//!
//! All content is copied, table by table and in batches, without interpretation. Sealed values stay sealed; IDs and
//! times stay the same. The new state has the identity of the old one, so that saved plans can be applied there. The
//! transfer refuses a state with leases or open steps. The tables of a role mapper beside the state move with it.
//!
//! The old state is locked against writers during the whole transfer. The new one is written in one transaction, which
//! reads it again and compares it before the commit. After any failure, or a crash, the new one is still empty.
//!
//! Read [`tables`] for the transferred tables; each database has its own [`Side`].

mod side;
mod tables;

pub use side::InUse;
pub(crate) use side::{Cell, Cells, INTERRUPTED_SUMMARY, Side, Unended, in_use};
pub use tables::{Column, ROLE_TABLES, TABLES, Table, UNTRANSFERRED_COLUMNS, UNTRANSFERRED_TABLES};
pub(crate) use tables::{Kind, OPEN_STEPS, UNENDED_OPERATIONS, UNENDED_REQUESTS};

use crate::StoreUrl;
use terrace_store::StoreError;
use terrace_store::digest::Sha256Writer;
use uuid::Uuid;

/// Rows of the first batch.
const FEW: usize = 64;
/// The most rows of a batch.
const MANY: usize = 1024;
/// Batches shrink above this number of bytes, and grow below a quarter of it.
const LARGE: usize = 4 << 20;

/// The result of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The identity of the state, which both databases have now.
    pub id: Uuid,
    /// Every transferred table.
    pub tables: Vec<MigratedTable>,
}

/// A table that is equal in both states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigratedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// The digest of all rows, independent of the database.
    pub digest: String,
}

/// Why a state was not moved. The target is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source has no state.
    #[error("there is no state in {0}")]
    Nothing(String),
    /// A state in memory ends with the command.
    #[error("a state in memory ends with the command")]
    InMemory,
    /// Source and target are the same state, or copies of it.
    #[error("{0} is the same state, or a copy of it")]
    Same(String),
    /// The state is in use, or has to be recovered.
    #[error("the state is in use")]
    InUse(Vec<InUse>),
    /// The target is not empty.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// The copy does not equal the state.
    #[error("the copy of `{table}` differs from the state, {place}")]
    Differs {
        /// The table.
        table: &'static str,
        /// The place of the difference.
        place: String,
    },
    /// A database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves a whole state to an empty place. The old one stays unchanged. `committing` is called just before the commit
/// that makes the new one valid.
///
/// # Errors
/// When the state is in use, the target is not empty, or a database fails: then nothing has moved.
pub async fn migrate(
    from: &StoreUrl,
    to: &StoreUrl,
    committing: &(dyn Fn() + Send + Sync),
) -> Result<Migrated, TransferError> {
    if matches!(to, StoreUrl::SqliteMemory) {
        return Err(TransferError::InMemory);
    }
    if crate::identify(from).await?.is_none() {
        return Err(TransferError::Nothing(from.to_string()));
    }
    let mut source = side(from).await?;
    let id = source.id().await?;
    // This check comes before the target is locked: it may be the same database.
    match crate::identify(to).await? {
        Some((other, _)) if other == id => return Err(TransferError::Same(to.to_string())),
        // Opening a target of an older format would upgrade it for nothing.
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
            opened.map_err(|error| StoreError::Unavailable { action: "opened", reason: error.to_string() })?
        }
        StoreUrl::SqliteMemory => {
            Err(StoreError::Unavailable { action: "opened", reason: "it ends with the command".to_owned() })
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => crate::postgres::side(url).await,
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => Err(crate::access::no_postgres()),
    }
}

/// The number of rows of the next batch.
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

/// Reads a table of both databases again, and compares them row by row.
async fn compare(
    source: &mut dyn Side,
    target: &mut dyn Side,
    table: &'static Table,
) -> Result<MigratedTable, TransferError> {
    let (mut pace, mut after, mut rows, mut digest) = (Pace(FEW), None, 0_u64, Sha256Writer::default());
    loop {
        let expected = source.page(table, after.clone(), pace.0).await?;
        let found = target.page(table, after, pace.0).await?;
        if expected != found {
            let same = expected.iter().zip(&found).take_while(|(expected, found)| expected == found).count();
            let row = |rows: &[Cells]| rows.get(same).map(|row| row_label(table, row));
            let place = match (row(&expected), row(&found)) {
                (Some(row), _) => format!("at {row}"),
                (None, Some(row)) => format!("which lacks {row}"),
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

/// The key of a row, for people.
fn row_label(table: &Table, row: &Cells) -> String {
    let parts = table.columns.iter().zip(row).take(table.keys).map(|(column, cell)| {
        let value = match cell {
            Cell::Null => "null".to_owned(),
            Cell::Number(number) => number.to_string(),
            Cell::Text(text) => format!("`{text}`"),
            Cell::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Cell::Id(id) => id.to_string(),
        };
        format!("{} {value}", column.name)
    });
    parts.collect::<Vec<_>>().join(", ")
}

impl Cell {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Null | Self::Number(_) | Self::Id(_) => 8,
        }
    }

    /// Adds type and length before the value, so that different rows have different digests.
    fn add_to(&self, digest: &mut Sha256Writer) {
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
