//! A store as a document: `terrace state export` and `terrace state import`.
//!
//! The document has everything that planning needs, at one moment, even while an apply runs: rows, components, owners,
//! and optionally the history. It has no leases, journal or logs: these belong to their store. Texts of the engine
//! (attributes, identity, lifecycle, outputs) are copied unchanged, with their sealed parts. The importing caller needs
//! the same state key, and seals them for its own store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::{Map, Value};
use terrace_store::access::{Access, Fields};
use terrace_store::address::{Address, ComponentKey, StackId};
use terrace_store::{
    ComponentRow, Generation, HistoryEntry, Ids, OwnerRow, Ownership, Record, Row, RowStatus, Rows, Sealed, StackRead,
    StackSnapshot, StoreError, Write,
};
use uuid::Uuid;

/// The version of the document that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The beginning of an exported state in the formatting of [`export`].
pub const BEGINNING: &str = "{\n  \"formatVersion\":";

/// Why a document cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not an exported state.
    #[error("this is not an exported state: {0}")]
    Malformed(String),
    /// A newer terrace wrote it.
    #[error("the exported state has format {found}; this terrace reads up to format {FORMAT_VERSION}")]
    NewerFormat {
        /// The format of the document.
        found: u32,
    },
    /// The `private` bytes of a row are not base64.
    #[error("`private` of {stack}:{address} is not base64: {reason}")]
    Private {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The reason.
        reason: String,
    },
}

/// The part of a document that is read first: a newer format may differ in the rest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    format_version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    format_version: u32,
    state_id: Uuid,
    stacks: Vec<Stack>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stack {
    stack: StackId,
    resources: Vec<Resource>,
    components: Vec<Component>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owns: Vec<Owned>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<Version>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resource {
    address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deposed: Option<String>,
    status: RowStatus,
    generation: Generation,
    provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_version: Option<String>,
    schema_version: u32,
    identity: Sealed,
    attributes: Sealed,
    private: String,
    dependencies: Vec<Address>,
    lifecycle: String,
    updated_at: Timestamp,
    operation: Uuid,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Component {
    key: ComponentKey,
    depends_on: Vec<ComponentKey>,
    outputs: Sealed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blueprint: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reads: Vec<StackRead>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    principals: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    access_fields: Fields,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ids: Option<Ids>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Owned {
    address: Address,
    component: ComponentKey,
    #[serde(default, skip_serializing_if = "Sealed::is_empty")]
    declaration: Sealed,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Version {
    address: Address,
    generation: Generation,
    at: Timestamp,
    operation: Uuid,
    /// Absent for a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<Resource>,
}

/// Exports one stack, or all.
///
/// # Errors
/// When the store cannot be read.
pub async fn export(store: &dyn Rows, stack: Option<&StackId>, with_history: bool) -> Result<Value, StoreError> {
    let state_id = store.identity().await?.id;
    let snapshots = store.snapshot(stack, with_history).await?;
    let stacks = snapshots.into_iter().filter(has_content).map(Stack::from).collect();
    serde_json::to_value(Document { format_version: FORMAT_VERSION, state_id, stacks })
        .map_err(|error| StoreError::Unavailable { action: "read", reason: error.to_string() })
}

/// The ID of the exported state; `None` for other documents.
#[must_use]
pub fn state_id(document: &str) -> Option<Uuid> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Origin {
        state_id: Uuid,
    }
    parse::<Origin>(document).ok().map(|origin| origin.state_id)
}

/// Returns the records that write a document's content into a store.
///
/// Every row is expected to be absent: the store refuses the commit as stale, without any change, if it has one of
/// them. Generations and history start again in the importing store. All rows get the given operation.
///
/// # Errors
/// When the document is not an exported state, or has a newer format.
pub fn import(document: &str, operation: Uuid) -> Result<Vec<Record>, ImportError> {
    let head: Head = parse(document)?;
    if head.format_version > FORMAT_VERSION {
        return Err(ImportError::NewerFormat { found: head.format_version });
    }
    let document: Document = parse(document)?;
    let mut writes = Vec::new();
    for Stack { stack, resources, components, owns, history: _ } in document.stacks {
        for resource in resources {
            let row = resource.into_row(&stack)?;
            writes.push(Write::Put { row: Box::new(row), expected: 0 });
        }
        for component in components {
            let Component { key, depends_on, outputs, blueprint, reads, principals, access_fields: fields, ids } =
                component;
            let access = principals.map(|principals| Access { principals, fields });
            let component = ComponentRow { key, depends_on, outputs, blueprint, reads, access, ids };
            writes.push(Write::Component { stack: stack.clone(), component });
        }
        for Owned { address, component, declaration } in owns {
            let ownership = Ownership { address, stack: stack.clone(), component };
            writes.push(Write::PutOwner(OwnerRow { ownership, declaration }));
        }
    }
    Ok(writes.into_iter().map(|write| Record::Write { operation, write }).collect())
}

/// Merges an imported component into a recorded one.
///
/// # Errors
/// The names of outputs with different values.
pub fn merged(recorded: &ComponentRow, imported: &ComponentRow) -> Result<ComponentRow, Vec<String>> {
    let mut merged = recorded.clone();
    merged.access = merged.access.or_else(|| imported.access.clone());
    merged.blueprint = merged.blueprint.or_else(|| imported.blueprint.clone());
    merged.ids = merged.ids.or_else(|| imported.ids.clone());
    let new = imported.depends_on.iter().filter(|key| !recorded.depends_on.contains(key));
    merged.depends_on.extend(new.cloned());
    let new = imported.reads.iter().filter(|read| !recorded.reads.contains(read));
    merged.reads.extend(new.cloned());
    if recorded.outputs == imported.outputs {
        return Ok(merged);
    }
    let parse = |sealed: &Sealed| serde_json::from_str::<Map<String, Value>>(sealed.as_str()).map_err(|_| Vec::new());
    let (mut outputs, imported) = (parse(&recorded.outputs)?, parse(&imported.outputs)?);
    let mut differing = Vec::new();
    for (name, value) in imported {
        match outputs.get(&name) {
            None => drop(outputs.insert(name, value)),
            Some(current) if *current == value => {}
            Some(_) => differing.push(name),
        }
    }
    if !differing.is_empty() {
        return Err(differing);
    }
    merged.outputs = Sealed::from_stored(Value::Object(outputs).to_string());
    Ok(merged)
}

/// Parses JSON of that shape. An error names its position.
fn parse<'d, T: Deserialize<'d>>(document: &'d str) -> Result<T, ImportError> {
    serde_json::from_str(document).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let place = format!(" at line {line} column {column}");
        let reason = error.to_string();
        let reason = reason.strip_suffix(&place).unwrap_or(&reason);
        ImportError::Malformed(match error.classify() {
            Category::Eof => format!("it ends too early, at line {line}, column {column}"),
            Category::Syntax | Category::Io => format!("it is not JSON at line {line}, column {column}: {reason}"),
            Category::Data => format!("at line {line}, column {column}: {reason}"),
        })
    })
}

fn has_content(snapshot: &StackSnapshot) -> bool {
    !(snapshot.rows.is_empty()
        && snapshot.components.is_empty()
        && snapshot.owned.is_empty()
        && snapshot.history.is_empty())
}

impl From<StackSnapshot> for Stack {
    fn from(snapshot: StackSnapshot) -> Self {
        Self {
            stack: snapshot.stack,
            resources: snapshot.rows.into_iter().map(Resource::from).collect(),
            components: snapshot.components.into_iter().map(Component::from).collect(),
            owns: snapshot.owned.into_iter().map(Owned::from).collect(),
            history: snapshot.history.into_iter().map(Version::from).collect(),
        }
    }
}

impl From<Row> for Resource {
    fn from(row: Row) -> Self {
        Self {
            address: row.address,
            deposed: row.deposed,
            status: row.status,
            generation: row.generation,
            provider: row.provider,
            provider_version: row.provider_version,
            schema_version: row.schema_version,
            identity: row.identity,
            attributes: row.attributes,
            private: STANDARD.encode(row.private),
            dependencies: row.dependencies,
            lifecycle: row.lifecycle,
            updated_at: row.updated_at,
            operation: row.operation,
        }
    }
}

impl Resource {
    fn into_row(self, stack: &StackId) -> Result<Row, ImportError> {
        let private = STANDARD.decode(&self.private).map_err(|error| ImportError::Private {
            stack: stack.clone(),
            address: self.address.clone(),
            reason: error.to_string(),
        })?;
        Ok(Row {
            stack: stack.clone(),
            address: self.address,
            deposed: self.deposed,
            status: self.status,
            generation: self.generation,
            provider: self.provider,
            provider_version: self.provider_version,
            schema_version: self.schema_version,
            identity: self.identity,
            attributes: self.attributes,
            private,
            dependencies: self.dependencies,
            lifecycle: self.lifecycle,
            updated_at: self.updated_at,
            operation: self.operation,
        })
    }
}

impl From<ComponentRow> for Component {
    fn from(row: ComponentRow) -> Self {
        let ComponentRow { key, depends_on, outputs, blueprint, reads, access, ids } = row;
        let (principals, access_fields) = match access {
            Some(Access { principals, fields }) => (Some(principals), fields),
            None => (None, Fields::default()),
        };
        Self { key, depends_on, outputs, blueprint, reads, principals, access_fields, ids }
    }
}

impl From<OwnerRow> for Owned {
    fn from(OwnerRow { ownership: Ownership { address, component, stack: _ }, declaration }: OwnerRow) -> Self {
        Self { address, component, declaration }
    }
}

impl From<(Address, HistoryEntry)> for Version {
    fn from((address, entry): (Address, HistoryEntry)) -> Self {
        let HistoryEntry { generation, row, at, operation } = entry;
        Self { address, generation, at, operation, resource: row.map(Resource::from) }
    }
}
