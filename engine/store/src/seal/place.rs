//! Places of sealed texts.

use super::Seal;
use crate::Ownership;
use terrace_language::address::{Address, ComponentKey, StackId, outputs_in_words};
use terrace_provider::value::wire::{Sealing, Spot, WireError};
use uuid::Uuid;

/// Prefix of the associated data, which distinguishes it from other uses of the key.
const PURPOSE: &[u8] = b"terrace sealed value v2";

/// The place of a sealed text. The text cannot be opened elsewhere.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A part of a row. A deposed row keeps the places of its address.
    Row {
        /// The stack.
        stack: &'a StackId,
        /// The resource.
        address: &'a Address,
        /// The schema version of the row.
        schema_version: u32,
        /// The part.
        part: RowPart,
    },
    /// The outputs of a component.
    Outputs {
        /// The stack.
        stack: &'a StackId,
        /// The component.
        component: &'a ComponentKey,
    },
    /// The declaration of a shared resource by an owner.
    Declaration {
        /// The resource and its owner.
        owner: &'a Ownership,
    },
    /// A plan file.
    Plan {
        /// The plan.
        id: Uuid,
    },
    /// The body of a request in the queue.
    Request {
        /// The operation of the request.
        operation: Uuid,
    },
}

/// The parts of a row with sensitive values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPart {
    /// The identity attributes.
    Identity,
    /// All attributes.
    Attributes,
    /// The provider's bytes.
    Private,
}

impl RowPart {
    const fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Attributes => "attributes",
            Self::Private => "private",
        }
    }
}

/// Seals and opens the texts of a place.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    pub(super) seal: &'a Seal,
    /// The store; `None` if none was bound.
    pub(super) store: Option<Uuid>,
    pub(super) place: Place<'a>,
    /// Opens only texts that are bound to the place and sealed with the current key.
    pub(super) is_only_current: bool,
}

impl Place<'_> {
    /// The associated data of this place. A length precedes each part, so that different places have different data.
    fn authenticated(&self, store: Option<Uuid>, spot: &Spot<'_>) -> Result<Vec<u8>, WireError> {
        let mut text = Vec::with_capacity(160);
        let mut add = |part: &[u8]| {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        };
        add(PURPOSE);
        match (self, store) {
            (Self::Plan { id }, _) => {
                add(b"plan");
                add(id.as_bytes());
            }
            (_, None) => return Err(WireError::CannotOpen("no store is bound to the state key".to_owned())),
            (Self::Row { stack, address, schema_version, part }, Some(store)) => {
                add(b"row");
                add(store.as_bytes());
                add(stack.to_string().as_bytes());
                add(address.to_string().as_bytes());
                add(&schema_version.to_be_bytes());
                add(part.word().as_bytes());
            }
            (Self::Outputs { stack, component }, Some(store)) => {
                add(b"outputs");
                add(store.as_bytes());
                add(stack.to_string().as_bytes());
                add(component.as_bytes());
            }
            (Self::Declaration { owner }, Some(store)) => {
                add(b"declaration");
                add(store.as_bytes());
                add(owner.address.to_string().as_bytes());
                add(owner.stack.to_string().as_bytes());
                add(owner.component.as_bytes());
            }
            (Self::Request { operation }, Some(store)) => {
                add(b"request");
                add(store.as_bytes());
                add(operation.as_bytes());
            }
        }
        add(spot.to_string().as_bytes());
        Ok(text)
    }

    /// The place for messages: "`/password` of the attributes of demo@local:local_file.a".
    pub(crate) fn in_words(&self, spot: &Spot<'_>) -> String {
        let place = match self {
            Self::Row { stack, address, part: RowPart::Private, .. } => {
                return format!("the provider's data of {stack}:{address}");
            }
            Self::Row { stack, address, part, .. } => format!("the {} of {stack}:{address}", part.word()),
            Self::Outputs { stack, component } => outputs_in_words(stack, component),
            Self::Declaration { owner } => {
                format!("the declaration of {} by `{}` of {}", owner.address, owner.component, owner.stack)
            }
            Self::Plan { id } => format!("the plan {id}"),
            Self::Request { operation } => return format!("the request of operation {operation}"),
        };
        match spot {
            Spot::Root => place,
            spot => format!("`{spot}` of {place}"),
        }
    }
}

impl Placed<'_> {
    /// True when values are sealed here.
    pub(crate) fn has_key(&self) -> bool {
        self.seal.has_key()
    }

    /// True when only texts that are bound to their place can be opened.
    #[must_use]
    pub const fn requires_bound(&self) -> bool {
        self.seal.current.is_some() && self.seal.is_bound_required
    }

    /// Checks that an unsealed text is allowed here.
    ///
    /// # Errors
    /// When there is a key, and values in the clear are not accepted.
    pub fn check_unsealed(&self) -> Result<(), WireError> {
        self.seal.check_marked(&self.place, &Spot::Root)
    }

    /// The error of a text that is not bound to this place.
    #[must_use]
    pub fn unbound(&self) -> WireError {
        WireError::Unbound(self.place.in_words(&Spot::Root))
    }

    /// The same place in another store.
    #[must_use]
    pub const fn in_store(self, store: Uuid) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Returns the place restricted to texts that are bound to it and sealed with the current key.
    #[must_use]
    pub fn only_current(self) -> Self {
        Self { is_only_current: self.seal.has_key(), ..self }
    }
}

impl Sealing for Placed<'_> {
    fn seal(&self, spot: &Spot<'_>, clear: &[u8]) -> Result<String, WireError> {
        self.seal.seal(|| self.place.authenticated(self.store, spot), clear)
    }

    fn open(&self, spot: &Spot<'_>, sealed: &str) -> Result<Vec<u8>, WireError> {
        let place = || self.place.authenticated(self.store, spot);
        self.seal.open(place, || self.place.in_words(spot), sealed, self.is_only_current)
    }
}
