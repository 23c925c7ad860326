//! Lookups of a plan: answered while planning, or deferred to the apply.

use super::Deferred;
use terrace_language::address::{Address, LOOKUP};
use terrace_language::source::Place;
use terrace_provider::{Attributes, Value};

/// A lookup of the plan.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Its address: `api/data.sqlite_columns.orders`.
    pub address: Address,
    /// The provider instance.
    pub provider: String,
    /// The planned arguments; values known after apply are unknown.
    pub arguments: Attributes,
    /// The arguments, to be evaluated again once their unknown values are known.
    pub deferred: Option<Deferred>,
    /// The resources that it is read after.
    pub depends_on: Vec<Address>,
    /// The lookups of its component that it reads.
    pub reads: Vec<String>,
    /// The resources of its component that read it.
    pub needed_by: Vec<String>,
    /// Why it is read during the apply; `None` if it was answered while planning.
    pub reason: Option<ReadReason>,
    /// The result; values known after apply are unknown.
    pub result: Value,
    /// Its declaration.
    pub place: Option<Place>,
}

/// Why a lookup is read during the apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadReason {
    /// Its arguments are known after apply.
    Unknown,
    /// A resource that it depends on or looks up changes.
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
    /// The reason in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "is read during apply: its arguments are known then",
            Self::Pending => "is read during apply: the object that it looks up changes",
        }
    }

    /// Terraform's name of the reason in plan JSON.
    #[must_use]
    pub const fn terraform(self) -> &'static str {
        match self {
            Self::Unknown => "read_because_config_unknown",
            Self::Pending => "read_because_dependency_pending",
        }
    }
}
