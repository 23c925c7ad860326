//! What names the rows and the objects of plans while they are put together.

use crate::address::Address;
use terrace_provider::Attributes;

/// A row of a plan: the position of its stack, none for what is shared, and its address.
pub(crate) type RowKey<'a> = (Option<usize>, &'a Address);

/// The row of an address in the stack at that position.
pub(crate) fn row_key(stack: usize, address: &Address) -> RowKey<'_> {
    ((!address.is_shared()).then_some(stack), address)
}

/// An identity as one text, for comparing. It reveals what is sensitive: to be shown to nobody.
pub(crate) fn identity_key(identity: &Attributes) -> String {
    identity.values().map(|value| value.to_revealed_json().to_string()).collect::<Vec<_>>().join("/")
}
