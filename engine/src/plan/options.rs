//! What was asked of a plan.

use super::access::Grantees;
use crate::address::{Address, StackId};
use crate::selector::Selector;
use crate::store::Ids;
use std::collections::{BTreeMap, BTreeSet};

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only these components, when there are any.
    pub components: BTreeSet<String>,
    /// The ids of components that are to go, by stack and key, where nothing that is compiled says them.
    pub named_ids: BTreeMap<(StackId, String), Ids>,
    /// Only these resources and what they need, when there are any; of that stack or of any.
    pub targets: Vec<(Option<StackId>, Selector)>,
    /// Neither these resources nor what needs them; of that stack or of any.
    pub excludes: Vec<(Option<StackId>, Selector)>,
    /// These objects are made anew; of that stack or of any.
    pub replace: Vec<(Option<StackId>, Address)>,
    /// Only who has access to a component: all else is left as it is.
    pub access: Option<Grantees>,
    /// Read the objects that state knows.
    pub refresh: bool,
    /// Ask nothing of the remote side: what only it could say is unknown. The plan is for its diagnostics.
    pub offline: bool,
    /// Components that are left out and have no outputs on record are taken to be made first: their outputs are unknown.
    /// The plan is for its diagnostics, and to be looked at.
    pub assumes_siblings: bool,
    /// Ask for objects that have no name but their address, too, before they are made.
    pub by_address: bool,
    /// Only record what is found; do nothing about it.
    pub refresh_only: bool,
    /// Remove data too.
    pub remove_data: bool,
    /// What cannot be planned yet is left for another apply, and so is what comes after it.
    pub allow_deferral: bool,
    /// Changes may destroy data.
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
    /// True when a plan may leave things undone that are described.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let is_all = self.components.is_empty() && self.targets.is_empty() && self.excludes.is_empty();
        !is_all || self.access.is_some()
    }

    /// True when this object is to be made anew.
    #[must_use]
    pub fn replaces(&self, stack: &StackId, address: &Address) -> bool {
        self.replace.iter().any(|(of, at)| at == address && of.as_ref().is_none_or(|of| of == stack))
    }
}

/// Where data may be lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Consent {
    /// Nowhere.
    #[default]
    None,
    /// Everywhere.
    All,
    /// At these addresses, of that stack or of any.
    Addresses(BTreeSet<(Option<StackId>, Address)>),
    /// The same of what is left of a plan: some of what it was said of may be gone.
    OfWhatIsLeft(BTreeSet<(Option<StackId>, Address)>),
}

impl Consent {
    /// True when data of this resource may be lost.
    #[must_use]
    pub fn covers(&self, stack: &StackId, address: &Address) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Addresses(addresses) | Self::OfWhatIsLeft(addresses) => {
                addresses.iter().any(|(of, at)| at == address && of.as_ref().is_none_or(|of| of == stack))
            }
        }
    }

    /// The same for what is left of the plan that it was said of.
    #[must_use]
    pub fn of_what_is_left(self) -> Self {
        match self {
            Self::Addresses(addresses) => Self::OfWhatIsLeft(addresses),
            other => other,
        }
    }
}
