//! Upgrades of rows and steps from older schema versions. The provider converts the attributes.

use terrace_language::registry::Registry;
use terrace_provider::value::wire::WireError;
use terrace_provider::{ProviderError, ResourceType, Value};
use terrace_store::marks;
use terrace_store::record::{self, Opened};
use terrace_store::seal::{RowPart, Seal};
use terrace_store::{Row, Sealed};

/// Error of an upgrade.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// A newer terrace wrote the record.
    #[error("recorded with version {found} of `{ty}`; this terrace knows version {known}")]
    Newer {
        /// The resource type.
        ty: &'static str,
        /// The version of the record.
        found: u32,
        /// The version of this build.
        known: u32,
    },
    /// Its provider cannot upgrade it.
    #[error("recorded with version {found} of `{ty}`, which cannot be upgraded: {error}")]
    Refused {
        /// The resource type.
        ty: &'static str,
        /// The version of the record.
        found: u32,
        /// The reason.
        error: ProviderError,
    },
    /// The record cannot be opened.
    #[error(transparent)]
    Unreadable(#[from] WireError),
}

impl UpgradeError {
    /// The remedy.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => Some("use the terrace that recorded it, or a newer one".to_owned()),
            Self::Refused { error, .. } => error.hint(),
            Self::Unreadable(_) => None,
        }
    }
}

/// Upgrades an opened row to the schema version of this build. Skips a type that this build does not have.
pub(crate) async fn upgrade(registry: &Registry, opened: &mut Opened) -> Result<(), UpgradeError> {
    let Some(ty) = type_to_upgrade(registry, &opened.address.ty, opened.schema_version)? else { return Ok(()) };
    let found = opened.schema_version;
    let upgraded = match registry.session(&opened.provider).await {
        Ok(session) => session.upgrade(ty, found, opened.prior.attributes.clone()).await,
        Err(error) => Err(error),
    };
    let attributes = upgraded.map_err(|error| UpgradeError::Refused { ty: ty.name, found, error })?;
    let is_known = |name: &str| ty.attributes.get(name).is_some();
    let attributes = attributes.into_iter().filter(|(name, _)| is_known(name));
    opened.prior.attributes = attributes.map(|(name, value)| mark_if_sensitive(ty, name, value)).collect();
    if let Some(identity) = ty.identity_of(&opened.prior.attributes) {
        opened.prior.identity = identity;
    }
    opened.schema_version = ty.schema_version;
    Ok(())
}

/// Upgrades a stored row to the schema version of this build. Leaves a row of an unknown type as it is.
///
/// # Errors
/// If the row is newer than this build, or its provider or seal cannot convert it.
pub async fn upgraded(registry: &Registry, seal: &Seal, row: Row) -> Result<Row, UpgradeError> {
    if type_to_upgrade(registry, &row.address.ty, row.schema_version)?.is_none() {
        return Ok(row);
    }
    let mut opened = record::open(row.clone(), seal)?;
    upgrade(registry, &mut opened).await?;
    let identity = marks::mark_attributes_like(&opened.prior.identity, &opened.prior.attributes);
    let mut row = Row { schema_version: opened.schema_version, ..row };
    let placed = |part| record::placed(&row, part, seal);
    let identity = Sealed::seal(&identity, &placed(RowPart::Identity))?;
    let attributes = Sealed::seal(&opened.prior.attributes, &placed(RowPart::Attributes))?;
    let private = record::seal_private(&opened.prior.private, &placed(RowPart::Private))?;
    (row.identity, row.attributes, row.private) = (identity, attributes, private);
    Ok(row)
}

/// Returns the type if the record has an older schema version, and `None` if it is current.
fn type_to_upgrade<'r>(registry: &'r Registry, ty: &str, found: u32) -> Result<Option<&'r ResourceType>, UpgradeError> {
    let Some((_, ty)) = registry.resource_type(ty) else { return Ok(None) };
    let known = ty.schema_version;
    match found > known {
        true => Err(UpgradeError::Newer { ty: ty.name, found, known }),
        false => Ok((found < known).then_some(ty)),
    }
}

fn mark_if_sensitive(ty: &ResourceType, name: String, value: Value) -> (String, Value) {
    let is_sensitive = ty.attributes.get(&name).is_some_and(|attribute| attribute.sensitive);
    let value = if is_sensitive { Value::sensitive(value) } else { value };
    (name, value)
}
