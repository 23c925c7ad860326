//! What names the rows and the objects of plans while they are put together.

use crate::address::Address;
use crate::registry::Registry;
use terrace_provider::Attributes;

/// A row of a plan: the position of its stack, none for what is shared, and its address.
pub(crate) type RowKey<'a> = (Option<usize>, &'a Address);

/// The row of an address in the stack at that position.
pub(crate) fn row_key(stack: usize, address: &Address) -> RowKey<'_> {
    ((!address.is_shared()).then_some(stack), address)
}

/// The identity of an object of that type as one text, in the form in which its system compares names. It reveals
/// sensitive values, as [`identity_key`] does: never print it.
pub(crate) fn compared_key(registry: &Registry, ty: &str, identity: &Attributes) -> String {
    match registry.resource_type(ty) {
        Some((_, ty)) => identity_key(&ty.compared(identity)),
        None => identity_key(identity),
    }
}

/// An identity as one text, for comparing. It reveals what is sensitive: to be shown to nobody.
pub(crate) fn identity_key(identity: &Attributes) -> String {
    identity.values().map(|value| value.to_revealed_json().to_string()).collect::<Vec<_>>().join("/")
}
