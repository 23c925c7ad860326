//! Comparison keys for rows and objects.

use terrace_language::address::Address;
use terrace_language::registry::Registry;
use terrace_provider::Attributes;

/// A row of a plan: the position of its stack (`None` for a shared resource) and its address.
pub(crate) type RowKey<'a> = (Option<usize>, &'a Address);

/// The row of an address in the stack at that position.
pub(crate) fn row_key(stack: usize, address: &Address) -> RowKey<'_> {
    ((!address.is_shared()).then_some(stack), address)
}

/// An object's identity as one text, normalised as its system compares names. It reveals sensitive values: never print it.
pub(crate) fn compared_key(registry: &Registry, ty: &str, identity: &Attributes) -> String {
    match registry.resource_type(ty) {
        Some((_, ty)) => identity_key(&ty.compared(identity)),
        None => identity_key(identity),
    }
}

/// An identity as one text, for comparisons. It reveals sensitive values: never print it.
pub(crate) fn identity_key(identity: &Attributes) -> String {
    identity.values().map(|value| value.to_revealed_json().to_string()).collect::<Vec<_>>().join("/")
}

/// An object of a provider instance. It reveals sensitive values: never print it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct ObjectName {
    pub(crate) ty: String,
    pub(crate) instance: String,
    /// The [`identity_key`] or the [`compared_key`].
    pub(crate) identity: String,
}

/// A change, as the positions of its stack and of the change.
pub(crate) type Position = (usize, usize);
