//! Options of a plan.

use std::collections::{BTreeMap, BTreeSet};
use terrace_language::access::Grantees;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::selector::Selector;
use terrace_store::Ids;

/// The options of a request.
#[derive(Debug, Clone)]
pub struct Options {
    /// Plan only these components; empty for all.
    pub components: BTreeSet<ComponentKey>,
    /// The ids of components to remove, by stack and key, if no compiled descriptor has them.
    pub named_ids: BTreeMap<(StackId, ComponentKey), Ids>,
    /// Plan only these resources and their dependencies, of that stack or of any; empty for all.
    pub targets: Vec<(Option<StackId>, Selector)>,
    /// Leave out these resources and their dependents, of that stack or of any.
    pub excludes: Vec<(Option<StackId>, Selector)>,
    /// Replace these objects, of that stack or of any.
    pub replace: Vec<(Option<StackId>, Address)>,
    /// Plan only the access list of a component, and nothing else.
    pub access: Option<Grantees>,
    /// Read the remote objects of recorded rows.
    pub refresh: bool,
    /// Make no remote calls: values that need one are unknown. Such a plan serves only for its diagnostics.
    pub offline: bool,
    /// Treat the outputs of components that are left out and not recorded as unknown. Such a plan serves only for its diagnostics
    /// and for display.
    pub assumes_siblings: bool,
    /// Look for existing objects even if only their address identifies them.
    pub by_address: bool,
    /// Only record the current values of objects.
    pub refresh_only: bool,
    /// Delete data instead of retaining it.
    pub remove_data: bool,
    /// Defer changes that cannot be planned yet, with their dependents.
    pub allow_deferral: bool,
    /// The consent to data loss.
    pub allow_data_loss: Consent,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            components: BTreeSet::new(),
            named_ids: BTreeMap::new(),
            targets: Vec::new(),
            excludes: Vec::new(),
            replace: Vec::new(),
            access: None,
            refresh: true,
            offline: false,
            assumes_siblings: false,
            by_address: false,
            refresh_only: false,
            remove_data: false,
            allow_deferral: false,
            allow_data_loss: Consent::None,
        }
    }
}

impl Options {
    /// True if the plan may leave out described resources.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let is_all = self.components.is_empty() && self.targets.is_empty() && self.excludes.is_empty();
        !is_all || self.access.is_some()
    }

    /// True if this object is to be replaced.
    #[must_use]
    pub fn replaces(&self, stack: &StackId, address: &Address) -> bool {
        self.replace.iter().any(|(of, at)| at == address && of.as_ref().is_none_or(|of| of == stack))
    }
}

/// The resources whose data may be destroyed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Consent {
    /// No resource.
    #[default]
    None,
    /// All resources.
    All,
    /// These addresses, of that stack or of any.
    Addresses(BTreeSet<(Option<StackId>, Address)>),
    /// The same for the rest of an interrupted plan: some of these addresses may be gone.
    Remaining(BTreeSet<(Option<StackId>, Address)>),
}

impl Consent {
    /// True if data of this resource may be destroyed.
    #[must_use]
    pub fn covers(&self, stack: &StackId, address: &Address) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Addresses(addresses) | Self::Remaining(addresses) => {
                addresses.iter().any(|(of, at)| at == address && of.as_ref().is_none_or(|of| of == stack))
            }
        }
    }

    /// The same consent for the rest of the plan that it was given for.
    #[must_use]
    pub fn remaining(self) -> Self {
        match self {
            Self::Addresses(addresses) => Self::Remaining(addresses),
            other => other,
        }
    }
}
