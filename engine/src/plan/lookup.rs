//! Lookups as a plan has them: answered, or to be read while it is applied.

use super::Deferred;
use crate::address::{Address, LOOKUP};
use crate::source::Place;
use terrace_provider::{Attributes, Value};

/// Data that is looked up.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Its name: `api/data.sqlite_columns.orders`.
    pub address: Address,
    /// The provider instance.
    pub provider: String,
    /// The arguments as planned; what is not known yet is unknown.
    pub arguments: Attributes,
    /// The arguments, to be evaluated again when what they wait for is known.
    pub deferred: Option<Deferred>,
    /// The resources that it comes after.
    pub depends_on: Vec<Address>,
    /// The lookups of its component that it reads.
    pub reads: Vec<String>,
    /// The resources of its component that read it.
    pub needed_by: Vec<String>,
    /// Why it is read while the plan is applied; `None` for one that was answered while planning.
    pub reason: Option<ReadReason>,
    /// The answer; what is not known yet is unknown.
    pub result: Value,
    /// Where it is declared.
    pub place: Option<Place>,
}

/// Why a lookup waits until the plan is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadReason {
    /// Its arguments are known after apply.
    Unknown,
    /// What it comes after, or looks at, changes.
    Pending,
}

impl Lookup {
    /// The lookup's name in its provider's schema.
    #[must_use]
    pub fn name(&self) -> &str {
        self.address.ty.strip_prefix(LOOKUP).unwrap_or(&self.address.ty)
    }
}

impl ReadReason {
    /// A few words for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "is read while applying: what it asks is known then",
            Self::Pending => "is read while applying: what it looks at changes",
        }
    }

    /// Terraform's word in plan JSON.
    #[must_use]
    pub const fn terraform(self) -> &'static str {
        match self {
            Self::Unknown => "read_because_config_unknown",
            Self::Pending => "read_because_dependency_pending",
        }
    }
}
