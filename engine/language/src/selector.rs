//! Selectors of resources by address: one instance, all instances of a resource, or a whole component.

use crate::address::{Address, AddressError, ComponentKey, InstanceKey};
use std::fmt;
use std::str::FromStr;

/// A selector of resources in a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// All resources of a component: `api/`.
    Component(ComponentKey),
    /// All instances of a resource (`api/local_file.a`), or one instance (`api/local_file.a["x"]`).
    Resource(Address),
}

impl Selector {
    /// True when the selector includes the address. `[*]` is included when all instances are.
    #[must_use]
    pub fn covers(&self, address: &Address) -> bool {
        match self {
            Self::Component(component) => *component == address.component,
            Self::Resource(resource) => {
                is_same_block(resource, address) && (resource.key.is_none() || resource.key == address.key)
            }
        }
    }

    /// The component of the selected resources.
    #[must_use]
    pub fn component(&self) -> &ComponentKey {
        match self {
            Self::Component(component) => component,
            Self::Resource(resource) => &resource.component,
        }
    }
}

/// True when both addresses are instances of the same declared resource.
#[must_use]
pub fn is_same_block(one: &Address, other: &Address) -> bool {
    one.component == other.component && one.ty == other.ty && one.name == other.name
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(component) => write!(f, "{component}/"),
            Self::Resource(address) => address.fmt(f),
        }
    }
}

impl FromStr for Selector {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(component) = text.strip_suffix('/').filter(|key| !key.is_empty() && !key.contains('[')) {
            return Ok(Self::Component(component.into()));
        }
        let address: Address = text.parse()?;
        // A resource without a key means all instances.
        let key = address.key.filter(|key| *key != InstanceKey::All);
        Ok(Self::Resource(Address { key, ..address }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(selector: &str, address: &str) -> bool {
        selector.parse::<Selector>().unwrap().covers(&address.parse().unwrap())
    }

    #[test]
    fn selector_without_a_key_covers_all_instances() {
        assert!(covers("local_file.a", "local_file.a") && covers("local_file.a", "local_file.a[\"x\"]"));
        assert!(covers("local_file.a[*]", "local_file.a[0]") && covers("local_file.a", "local_file.a[*]"));
        assert!(covers("local_file.a[0]", "local_file.a[0]") && !covers("local_file.a[0]", "local_file.a[1]"));
        assert!(!covers("local_file.a[0]", "local_file.a[*]") && !covers("local_file.a", "x/local_file.a"));
    }

    #[test]
    fn component_selector_ends_in_a_slash() {
        assert!(covers("api/", "api/local_file.a") && covers("parent/child/", "parent/child/local_file.a"));
        assert!(!covers("api/", "local_file.a") && !covers("parent/", "parent/child/local_file.a"));
        assert_eq!("parent/child/".parse::<Selector>().unwrap().to_string(), "parent/child/");
        for text in ["", "/", "api", "a[\"x\"]/"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
