//! Conversion between the sealed texts of a store and the values of a plan.

use crate::marks;
use crate::seal::{Place, Placed, RowPart, Seal};
use crate::{ComponentRow, Generation, Row, RowStatus, Sealed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::descriptor::Lifecycle;
use terrace_provider::normal::respelled;
use terrace_provider::value::wire::{Sealing, Spot, WireError, decode_at};
use terrace_provider::{Attributes, Map, Observed, Path, Private, Recorded, ResourceType, Value};
use uuid::Uuid;

/// The part of a row that lets the engine plan without a descriptor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// The lifecycle settings of the resource.
    #[serde(flatten)]
    pub lifecycle: Lifecycle,
    /// Keyed digests of write-only attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub write_only: BTreeMap<String, String>,
    /// Digests of planned values that the remote system returned differently.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inconsistent: BTreeMap<String, String>,
}

/// A row with its texts opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The key of the deposed object, if the row is for one.
    pub deposed: Option<String>,
    /// The provider instance.
    pub provider: String,
    /// The schema version that it was written with.
    pub schema_version: u32,
    /// The row's version.
    pub generation: Generation,
    /// The object.
    pub prior: Prior,
}

/// An object before a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// The status of the row.
    pub status: RowStatus,
    /// The attributes that identify it.
    pub identity: Attributes,
    /// All attributes, refreshed.
    pub attributes: Attributes,
    /// The recorded attributes, if the refresh found other values.
    pub recorded: Option<Attributes>,
    /// The provider's private data.
    pub private: Private,
    /// The resources that it was created after.
    pub dependencies: Vec<Address>,
    /// Fingerprints that detect changes of write-only attributes.
    pub write_only: BTreeMap<String, String>,
    /// Digests of planned values that the system returned differently.
    pub inconsistent: BTreeMap<String, String>,
    /// The recorded lifecycle settings.
    pub lifecycle: Lifecycle,
}

/// The content of a new row.
#[derive(Debug)]
pub struct NewRow<'a> {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: &'a Address,
    /// The status of the object.
    pub status: RowStatus,
    /// The provider instance.
    pub provider: &'a str,
    /// The provider's version.
    pub provider_version: &'a str,
    /// The resource type's schema version.
    pub schema_version: u32,
    /// The identity attributes.
    pub identity: &'a Attributes,
    /// All attributes. [`storable`] leaves write-only ones out.
    pub attributes: &'a Attributes,
    /// The provider's bytes.
    pub private: &'a Private,
    /// Its direct dependencies.
    pub dependencies: &'a [Address],
    /// The settings for planning without a descriptor.
    pub memory: &'a Memory,
    /// The operation that writes it.
    pub operation: Uuid,
}

/// Opens a row.
///
/// # Errors
/// When a text is damaged or a sealed part cannot be opened.
pub fn open(row: Row, seal: &Seal) -> Result<Opened, WireError> {
    let memory = memory(&row)?;
    Ok(Opened {
        prior: Prior {
            status: row.status,
            identity: open_identity(&row, seal)?,
            attributes: open_attributes(&row, seal)?,
            recorded: None,
            private: open_private(&row.private, &placed(&row, RowPart::Private, seal))?,
            dependencies: row.dependencies,
            write_only: memory.write_only,
            inconsistent: memory.inconsistent,
            lifecycle: memory.lifecycle,
        },
        stack: row.stack,
        address: row.address,
        deposed: row.deposed,
        provider: row.provider,
        schema_version: row.schema_version,
        generation: row.generation,
    })
}

/// Seals an object into a row; the store fills in generation and time.
///
/// # Errors
/// When a sensitive value cannot be sealed.
pub fn seal(new: &NewRow<'_>, seal: &Seal) -> Result<Row, WireError> {
    let (stack, address, schema_version) = (&new.stack, new.address, new.schema_version);
    let at = |part| seal.at(Place::Row { stack, address, schema_version, part });
    Ok(Row {
        stack: new.stack.clone(),
        address: new.address.clone(),
        deposed: None,
        status: new.status,
        generation: 0,
        provider: new.provider.to_owned(),
        provider_version: Some(new.provider_version.to_owned()),
        schema_version: new.schema_version,
        // A provider that returns an identity does not know which of its parts are sensitive.
        identity: Sealed::seal(&marks::mark_attributes_like(new.identity, new.attributes), &at(RowPart::Identity))?,
        attributes: Sealed::seal(new.attributes, &at(RowPart::Attributes))?,
        private: seal_private(new.private, &at(RowPart::Private))?,
        dependencies: new.dependencies.to_vec(),
        lifecycle: stored_memory(new.memory)?,
        updated_at: Timestamp::UNIX_EPOCH,
        operation: new.operation,
    })
}

/// Returns the row without its protection; `None` when the row is not protected.
///
/// # Errors
/// When the row's memory is damaged.
pub fn without_protection(row: Row) -> Result<Option<Row>, WireError> {
    let mut memory = memory(&row)?;
    if !std::mem::take(&mut memory.lifecycle.prevent_destroy) {
        return Ok(None);
    }
    Ok(Some(Row { lifecycle: stored_memory(&memory)?, ..row }))
}

/// Parses the memory of a row.
///
/// # Errors
/// When the text is damaged.
pub fn memory(row: &Row) -> Result<Memory, WireError> {
    serde_json::from_str(&row.lifecycle).map_err(|error| WireError::Damaged(error.to_string()))
}

/// Serialises the memory of a row.
///
/// # Errors
/// When serialisation fails.
pub fn stored_memory(memory: &Memory) -> Result<String, WireError> {
    serde_json::to_string(memory).map_err(|error| WireError::Damaged(error.to_string()))
}

/// Seals the private bytes of a provider, which are secret as a whole. Without a key they are stored unsealed: they
/// hold the provider's own data, never values that a user declared sensitive.
///
/// # Errors
/// When sealing fails.
pub fn seal_private(private: &Private, placed: &Placed<'_>) -> Result<Vec<u8>, WireError> {
    if private.0.is_empty() || !placed.has_key() {
        return Ok(private.0.clone());
    }
    Ok([SEALED_PRIVATE, placed.seal(&Spot::Root, &private.0)?.as_bytes()].concat())
}

/// Prefix of sealed private bytes.
const SEALED_PRIVATE: &[u8] = b"\0terrace-sealed:";

/// Opens the private bytes of a provider.
///
/// # Errors
/// When they are sealed and cannot be opened, or are unsealed although the store requires seals.
pub fn open_private(bytes: &[u8], placed: &Placed<'_>) -> Result<Private, WireError> {
    match bytes.strip_prefix(SEALED_PRIVATE) {
        None if !bytes.is_empty() && placed.requires_bound() => Err(placed.unbound()),
        None => Ok(Private(bytes.to_vec())),
        Some(sealed) => {
            let text = std::str::from_utf8(sealed).map_err(|error| WireError::Damaged(error.to_string()))?;
            Ok(Private(placed.open(&Spot::Root, text)?))
        }
    }
}

/// The sealing of a part of a row.
#[must_use]
pub fn placed<'a>(row: &'a Row, part: RowPart, seal: &'a Seal) -> Placed<'a> {
    let Row { stack, address, schema_version, .. } = row;
    seal.at(Place::Row { stack, address, schema_version: *schema_version, part })
}

/// Opens the attributes of a row.
///
/// # Errors
/// When the text is damaged or a sealed part cannot be opened.
pub fn open_attributes(row: &Row, seal: &Seal) -> Result<Attributes, WireError> {
    row.attributes.open(&placed(row, RowPart::Attributes, seal))
}

/// Opens the identity attributes of a row.
///
/// # Errors
/// As [`open_attributes`].
pub fn open_identity(row: &Row, seal: &Seal) -> Result<Attributes, WireError> {
    row.identity.open(&placed(row, RowPart::Identity, seal))
}

/// Seals a row for another address in the bound store. `from` is the store that it was sealed for. Returns `None` when
/// the row has no sensitive value.
///
/// # Errors
/// When something cannot be opened or sealed.
pub fn resealed(row: Row, from: Option<Uuid>, to: &Address, seal: &Seal) -> Result<Option<Row>, WireError> {
    let source = |part| {
        let placed = placed(&row, part, seal);
        from.map_or(placed, |store| placed.in_store(store))
    };
    let identity = row.identity.open(&source(RowPart::Identity))?;
    let attributes = row.attributes.open(&source(RowPart::Attributes))?;
    let private = open_private(&row.private, &source(RowPart::Private))?;
    let is_sealed = |attributes: &Attributes| attributes.values().any(Value::has_sensitive);
    if !is_sealed(&identity) && !is_sealed(&attributes) && (private.0.is_empty() || !seal.has_key()) {
        return Ok(None);
    }
    let mut row = Row { address: to.clone(), ..row };
    let identity = Sealed::seal(&identity, &placed(&row, RowPart::Identity, seal))?;
    let attributes = Sealed::seal(&attributes, &placed(&row, RowPart::Attributes, seal))?;
    let private = seal_private(&private, &placed(&row, RowPart::Private, seal))?;
    (row.identity, row.attributes, row.private) = (identity, attributes, private);
    Ok(Some(row))
}

/// Refuses a row with an unmarked value of an attribute that the schema declares sensitive, although there is a key. A
/// program without the key wrote the value, or a terrace whose schema did not declare the attribute sensitive.
///
/// # Errors
/// When there is such an attribute.
pub fn check_marked(ty: &ResourceType, opened: &Opened, seal: &Seal) -> Result<(), WireError> {
    let bare = ty.attributes.0.iter().filter(|attribute| attribute.sensitive).find(|attribute| {
        let value = opened.prior.attributes.get(attribute.name);
        value.is_some_and(|value| !value.is_null() && !value.is_unknown() && !value.has_sensitive())
    });
    let Some(attribute) = bare else { return Ok(()) };
    let Opened { stack, address, schema_version, .. } = opened;
    let place = Place::Row { stack, address, schema_version: *schema_version, part: RowPart::Attributes };
    seal.check_marked(&place, &Spot::Key(&Spot::Root, attribute.name))
}

/// Seals the outputs of a component. Unknown outputs are left out. A sensitive output that cannot be sealed is stored
/// without its value.
///
/// # Errors
/// When a sensitive value cannot be sealed although there is a key.
pub fn seal_outputs(
    (stack, component): (&StackId, &ComponentKey),
    outputs: &Map,
    seal: &Seal,
) -> Result<Sealed, WireError> {
    let storable: Map = outputs
        .iter()
        .filter(|(_, value)| !value.has_unknown())
        .map(|(name, value)| (name.clone(), if seal.can_store(value) { value.clone() } else { Value::Unknown }))
        .collect();
    Sealed::seal(&storable, &seal.at(Place::Outputs { stack, component }))
}

/// The recorded outputs of a component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs {
    /// The stored values.
    pub values: Map,
    /// The names of sensitive outputs that were stored without a value for lack of a state key.
    pub unstored: BTreeSet<String>,
}

/// Opens the text that [`seal_outputs`] wrote.
///
/// # Errors
/// When the text is damaged or a sealed part cannot be opened.
pub fn open_outputs(sealed: &Sealed, seal: &dyn Sealing) -> Result<Outputs, WireError> {
    let (outputs, unreadable) = open_readable_outputs(sealed, seal)?;
    unreadable.into_values().next().map_or(Ok(outputs), Err)
}

/// Opens the outputs of a component.
///
/// # Errors
/// As [`open_outputs`].
pub fn open_component(stack: &StackId, row: &ComponentRow, seal: &Seal) -> Result<Outputs, WireError> {
    open_outputs(&row.outputs, &seal.at(Place::Outputs { stack, component: &row.key }))
}

/// Opens the outputs that can be opened, and returns the errors of the rest by name.
///
/// # Errors
/// When the text is damaged.
pub fn open_readable_outputs(
    sealed: &Sealed,
    seal: &dyn Sealing,
) -> Result<(Outputs, BTreeMap<String, WireError>), WireError> {
    let json: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(sealed.as_str()).map_err(|error| WireError::Damaged(error.to_string()))?;
    let (mut outputs, mut unreadable) = (Outputs::default(), BTreeMap::new());
    for (name, value) in json {
        match decode_at(&Spot::Key(&Spot::Root, &name), value, seal) {
            Ok(value) if value.is_unknown() => {
                outputs.unstored.insert(name);
            }
            Ok(value) => {
                outputs.values.insert(name, value);
            }
            Err(error @ WireError::Damaged(_)) => return Err(error),
            Err(error) => {
                unreadable.insert(name, error);
            }
        }
    }
    Ok((outputs, unreadable))
}

/// Returns the attributes to store after a call. Values that the provider read keep the plan's spelling when both mean
/// the same. Planned values complete those that cannot be read back. Write-only values are left out. Values that the
/// schema or the plan marks as sensitive are marked.
#[must_use]
pub fn storable(ty: &ResourceType, planned: &Attributes, observed: &Observed) -> Attributes {
    let mut merged = Attributes::with_capacity_and_hasher(ty.attributes.0.len(), Default::default());
    let given = planned;
    for attribute in &ty.attributes.0 {
        if attribute.write_only {
            continue;
        }
        let planned = given.get(attribute.name);
        let Some(value) = observed.attributes.get(attribute.name).or(planned) else { continue };
        if value.is_null() || value.has_unknown() {
            continue;
        }
        let value = match planned {
            Some(planned) => respelled(attribute, value, planned),
            None => Cow::Borrowed(value),
        };
        let value = match planned {
            _ if attribute.sensitive => Value::sensitive(value.into_owned()),
            Some(planned) => marks::mark_like(&value, planned),
            None => value.into_owned(),
        };
        merged.insert(attribute.name.to_owned(), value);
    }
    marks::mark_derived(&ty.attributes, given, &mut merged);
    merged
}

/// Returns the attributes to store of an object that gets its first row. An attribute that its provider does not return says how
/// to treat the object, such as `makeParents`: it has its default until a declaration says otherwise.
#[must_use]
pub fn first_stored(ty: &ResourceType, observed: &Observed) -> Attributes {
    let mut attributes = storable(ty, &Attributes::default(), observed);
    let unread = ty.attributes.0.iter().filter(|attribute| {
        attribute.configurable && !attribute.computed && !observed.attributes.contains_key(attribute.name)
    });
    for attribute in unread {
        if let Some(default) = &attribute.default {
            let value = if attribute.sensitive { Value::sensitive(default.clone()) } else { default.clone() };
            attributes.insert(attribute.name.to_owned(), value);
        }
    }
    attributes
}

/// Returns the attributes to store after a refresh, completed and marked from the row.
#[must_use]
pub fn refreshed(ty: &ResourceType, recorded: &Attributes, observed: &Observed) -> Attributes {
    storable(ty, recorded, observed)
}

/// The object in the form that providers get.
#[must_use]
pub fn recorded(stack: &StackId, address: &Address, prior: &Prior) -> Recorded {
    Recorded {
        address: format!("{stack}:{address}"),
        identity: prior.identity.clone(),
        attributes: prior.attributes.clone(),
        private: prior.private.clone(),
    }
}

impl Prior {
    /// Hides the values that are sensitive in the planned object. Returns the attributes that keep their values and become
    /// sensitive. An adopted object has no marks yet.
    pub fn hide(&mut self, planned: &Attributes, is_adopted: bool) -> Vec<Path> {
        let added = marks::newly_marked(&self.attributes, planned);
        let has_sensitive = |attributes: &Attributes| attributes.values().any(Value::has_sensitive);
        if has_sensitive(planned) {
            let hidden = if is_adopted { marks::mark_attributes_like } else { marks::add_attribute_marks };
            self.attributes = hidden(&self.attributes, planned);
            self.recorded = self.recorded.take().map(|recorded| hidden(&recorded, planned));
        }
        if has_sensitive(&self.attributes) {
            self.identity = marks::mark_attributes_like(&self.identity, &self.attributes);
        }
        added
    }

    /// Moves the object into the form that providers get, until [`Prior::restore`]. Avoids copies: a plan asks a
    /// provider about every object.
    pub fn take_recorded(&mut self, address: &str) -> Recorded {
        Recorded {
            address: address.to_owned(),
            identity: std::mem::take(&mut self.identity),
            attributes: std::mem::take(&mut self.attributes),
            private: std::mem::take(&mut self.private),
        }
    }

    /// Moves the object back after [`Prior::take_recorded`].
    pub fn restore(&mut self, recorded: Recorded) {
        let Recorded { address: _, identity, attributes, private } = recorded;
        (self.identity, self.attributes, self.private) = (identity, attributes, private);
    }

    /// The settings for planning without a descriptor.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            lifecycle: self.lifecycle.clone(),
            write_only: self.write_only.clone(),
            inconsistent: self.inconsistent.clone(),
        }
    }
}

/// The prior of an object without a row.
pub fn found(ty: &ResourceType, observed: Observed) -> Prior {
    Prior {
        status: RowStatus::Ready,
        attributes: first_stored(ty, &observed),
        identity: observed.identity,
        recorded: None,
        private: observed.private,
        dependencies: Vec::new(),
        write_only: BTreeMap::new(),
        inconsistent: BTreeMap::new(),
        lifecycle: Lifecycle::default(),
    }
}
