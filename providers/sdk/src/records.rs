//! Objects as the state records them, as providers read them, and as plans describe them.

use crate::{Attributes, Value};
use std::fmt;

/// Opaque bytes of a provider that are stored with a row or a plan. Secret: never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Private(pub Vec<u8>);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} private bytes)", self.0.len())
    }
}

/// An object as the state records it.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// The resource's address with its stack.
    pub address: String,
    /// The identity attributes.
    pub identity: Attributes,
    /// All attributes.
    pub attributes: Attributes,
    /// The provider's own bytes.
    pub private: Private,
}

impl Recorded {
    /// A text attribute.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Value::as_str)
    }
}

/// An object as the provider reads it or has just created it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The identity attributes.
    pub identity: Attributes,
    /// All attributes, computed ones included, without configured attributes that cannot be read back.
    pub attributes: Attributes,
    /// The provider's own bytes.
    pub private: Private,
}

/// An object to create or update.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    /// All attributes; the provider computes the unknown ones.
    pub attributes: Attributes,
    /// The private bytes of the plan.
    pub private: Private,
}
