//! The resource types, and what all of them need.

pub(crate) mod acl;
pub(crate) mod lookup;
pub(crate) mod streams;
pub(crate) mod subject;
pub(crate) mod topic;

use crate::admin::Admin;
use crate::config::Flavor;
use crate::failure::Asked;
use crate::mark::Marks;
use crate::registry::Registry;
use std::collections::BTreeSet;
use tokio::sync::OnceCell;

/// Brokers tell of all topics, and of all entries, by one answer; of so many at once, so that what is kept of them is bounded.
const READS_AT_ONCE: usize = 2_000;

/// An opened instance.
pub(crate) struct Instance {
    pub(crate) admin: Admin,
    /// The schema registry, where one is configured.
    pub(crate) registry: Option<Registry>,
    /// Which vendor's brokers they are, where that is set.
    pub(crate) flavor: Option<Flavor>,
    /// What became of the creates of this session.
    pub(crate) marks: Marks,
    /// The configuration keys that topics of these brokers can have, once they told them.
    pub(crate) known_keys: OnceCell<BTreeSet<String>>,
    /// Who asks, as brokers call them.
    pub(crate) principal: Option<String>,
}

impl Instance {
    /// Something that is asked for, for the error that it may end in.
    pub(crate) fn asked(&self, changes: bool, what: String, right: String) -> Asked<'_> {
        Asked { what, changes, right, principal: self.principal.as_deref() }
    }
}
