//! The resource types, and their common context.

pub(crate) mod acl;
pub(crate) mod lookup;
pub(crate) mod streams;
pub(crate) mod subject;
pub(crate) mod topic;

use crate::admin::Admin;
use crate::config::Flavor;
use crate::failure::RequestContext;
use crate::mark::Marks;
use crate::registry::Registry;
use std::collections::BTreeSet;
use tokio::sync::OnceCell;

/// Brokers return all topics, or all ACL entries, in one answer. The limit bounds the memory that one read uses.
const MAX_READ_BATCH: usize = 2_000;

/// An opened instance.
pub(crate) struct Instance {
    pub(crate) admin: Admin,
    /// The schema registry, if configured.
    pub(crate) registry: Option<Registry>,
    /// The vendor of the brokers, if configured.
    pub(crate) flavor: Option<Flavor>,
    /// Progress of this session's creates.
    pub(crate) marks: Marks,
    /// The configuration keys that topics of these brokers support, once known.
    pub(crate) known_keys: OnceCell<BTreeSet<String>>,
    /// The caller's principal as brokers name it.
    pub(crate) principal: Option<String>,
}

impl Instance {
    /// Describes a request for its error messages.
    pub(crate) fn request_context(&self, changes: bool, action: String, right: String) -> RequestContext<'_> {
        RequestContext { action, changes, right, principal: self.principal.as_deref() }
    }
}
