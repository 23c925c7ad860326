//! Names by the rules of earlier versions.

use crate::address::{Address, ComponentKey};
use std::collections::{BTreeMap, BTreeSet};

/// The names of a stack and its components by [`NamesRule::Ascii`](crate::naming::NamesRule::Ascii).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerNames {
    /// The stack's name.
    pub stack: String,
    /// The former keys of components, by their new keys.
    pub keys: BTreeMap<ComponentKey, ComponentKey>,
    /// The attribute with which all objects of the stack name their folder, and its value. Several folders may share a
    /// former name.
    pub folder: Option<(&'static str, String)>,
    /// The id of the data product, as written or derived from its components.
    pub product: Option<String>,
    /// Shared rows that stacks of the same domain own under that rule. A new stack joins them.
    pub shared: BTreeSet<Address>,
}
