//! Addresses of resources:
//! `distribution.network-status.0@local:snowflake-storage-area/sqlite_table.table["NETWORK_STATUS"]`.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// The default environment.
pub const DEFAULT_ENVIRONMENT: &str = "local";

/// One data product in one environment, the owner of state, leases and history. Printed as `name@environment`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId {
    /// The name, for example `distribution.network-status.0`.
    pub name: String,
    /// The environment, for example `production`.
    pub environment: String,
}

impl StackId {
    /// The stack of that name in that environment.
    #[must_use]
    pub fn new(name: impl Into<String>, environment: impl Into<String>) -> Self {
        Self { name: name.into(), environment: environment.into() }
    }

    /// The pseudo-stack that holds the shared resources of an environment.
    #[must_use]
    pub fn shared(environment: &str) -> Self {
        Self::new("shared", environment)
    }
}

/// The key of an instance of a `forEach`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InstanceKey {
    /// Index in a list made by `range(n)`.
    Index(i64),
    /// Key of a map, or item of a list of strings.
    Text(String),
    /// All instances. Only dependencies use it, to order a resource after every instance of another.
    All,
}

/// The key of a component within its stack.
///
/// Resources and outputs of the stack itself belong to no component. Their key is [`ComponentKey::STACK`], which is the empty
/// text in the state, in plan files and in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentKey(String);

impl ComponentKey {
    /// The stack itself.
    pub const STACK: Self = Self(String::new());

    /// True for the stack itself.
    #[must_use]
    pub const fn is_stack(&self) -> bool {
        self.0.is_empty()
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Prints the name of a thing within its stack: `component/name`, or `name` in the stack itself.
    pub fn qualified(&self, name: impl fmt::Display) -> impl fmt::Display {
        fmt::from_fn(move |f| match self.is_stack() {
            true => name.fmt(f),
            false => write!(f, "{self}/{name}"),
        })
    }
}

impl Deref for ComponentKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ComponentKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ComponentKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<String> for ComponentKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl From<&str> for ComponentKey {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

impl From<ComponentKey> for String {
    fn from(key: ComponentKey) -> Self {
        key.0
    }
}

impl PartialEq<str> for ComponentKey {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for ComponentKey {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// The name of a resource within its stack: `[component/]type.name[["key"]]`.
///
/// Shared resources have the component `shared` and an empty name: `shared/<type>["<share key>"]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The component.
    pub component: ComponentKey,
    /// The resource type.
    pub ty: String,
    /// The name within the component; empty for a shared resource.
    pub name: String,
    /// The instance, when the resource has a `forEach`.
    pub key: Option<InstanceKey>,
}

/// The name of a declaration: an address without the key of an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockName<T = String> {
    /// The component's key.
    pub component: T,
    /// The resource type.
    pub ty: T,
    /// The name within the component.
    pub name: T,
}

impl<'a> BlockName<&'a str> {
    /// The declaration of a resource.
    #[must_use]
    pub fn of(address: &'a Address) -> Self {
        Self { component: &address.component, ty: &address.ty, name: &address.name }
    }
}

impl BlockName {
    /// The declaration of a resource, as owned texts.
    #[must_use]
    pub fn owned(address: &Address) -> Self {
        Self { component: address.component.to_string(), ty: address.ty.clone(), name: address.name.clone() }
    }
}

/// Prefix of the type in a lookup's address: `data.sqlite_table.orders`.
pub const LOOKUP: &str = "data.";

/// The component key of shared resources.
pub const SHARED: &str = "shared";

/// The longest address of a row, in bytes. Databases index rows by address, and limit the length of an index key.
pub const MAX_LENGTH: usize = 1024;

impl Address {
    /// The address of a shared resource.
    #[must_use]
    pub fn shared(ty: &str, share_key: &str) -> Self {
        Self {
            component: SHARED.into(),
            ty: ty.to_owned(),
            name: String::new(),
            key: Some(InstanceKey::Text(share_key.to_owned())),
        }
    }

    /// The address of a lookup. A lookup has no row in the state.
    #[must_use]
    pub fn lookup(component: &str, ty: &str, name: &str) -> Self {
        Self { component: component.into(), ty: format!("{LOOKUP}{ty}"), name: name.to_owned(), key: None }
    }

    /// True for the address of a shared resource.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.name.is_empty() && self.component == SHARED
    }

    /// The lease that a change of the row needs: its component, or the row itself if it is shared.
    #[must_use]
    pub fn lease_key(&self) -> ComponentKey {
        if self.is_shared() { self.to_string().into() } else { self.component.clone() }
    }

    /// True when the dependencies contain this address, or all instances of its block.
    #[must_use]
    pub fn is_among(&self, dependencies: &HashSet<Self>) -> bool {
        let whole = || Self { key: Some(InstanceKey::All), ..self.clone() };
        dependencies.contains(self) || dependencies.contains(&whole())
    }

    /// The address without its component, for plans that print resources under a heading of the component.
    #[must_use]
    pub fn local(&self) -> LocalAddress<'_> {
        LocalAddress(self)
    }
}

/// Prints an address without its component.
#[derive(Debug, Clone, Copy)]
pub struct LocalAddress<'a>(&'a Address);

/// Error of parsing an address or a stack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct AddressError {
    text: String,
    expected: &'static str,
}

impl fmt::Display for StackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.environment)
    }
}

impl FromStr for StackId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.rsplit_once('@') {
            Some((name, environment)) if !name.is_empty() && !environment.is_empty() => {
                Ok(Self::new(name, environment))
            }
            _ => Err(AddressError { text: text.to_owned(), expected: "a stack: expected `name@environment`" }),
        }
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Text(text) => write!(f, "[{}]", serde_json::Value::from(text.as_str())),
            Self::All => f.write_str("[*]"),
        }
    }
}

impl fmt::Display for LocalAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.ty)?;
        if !self.0.name.is_empty() {
            write!(f, ".{}", self.0.name)?;
        }
        match &self.0.key {
            Some(key) => write!(f, "{key}"),
            None => Ok(()),
        }
    }
}

impl Address {
    /// True when the address is longer than [`MAX_LENGTH`].
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        let key = match &self.key {
            Some(InstanceKey::Text(text)) => text.len(),
            Some(InstanceKey::Index(_) | InstanceKey::All) | None => 0,
        };
        // Escaped, a character of a key takes ten bytes at most.
        let shortest = self.component.len() + self.ty.len() + self.name.len() + key;
        shortest > MAX_LENGTH / 16 && self.to_string().len() > MAX_LENGTH
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.component.qualified(self.local()).fmt(f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError {
            text: text.to_owned(),
            expected: "an address: expected `[component/]type.name` or `[component/]type.name[\"key\"]`",
        };
        let (head, key) = match text.find('[') {
            Some(start) => {
                let (head, key) = text.split_at(start);
                (head, Some(parse_key(key).ok_or_else(error)?))
            }
            None => (text, None),
        };
        let (component, rest) = head.rsplit_once('/').unwrap_or(("", head));
        let after_mode = rest.strip_prefix(LOOKUP).map_or(0, |_| LOOKUP.len());
        let split = rest.get(after_mode..).and_then(|text| text.find('.')).map(|at| rest.split_at(after_mode + at));
        let (ty, name) = match split.map(|(ty, name)| (ty, name.strip_prefix('.').unwrap_or(name))) {
            Some((ty, name)) if !name.is_empty() => (ty, name),
            None if component == SHARED && key.is_some() => (rest, ""),
            _ => return Err(error()),
        };
        if ty.is_empty() {
            return Err(error());
        }
        Ok(Self { component: component.into(), ty: ty.to_owned(), name: name.to_owned(), key })
    }
}

impl FromStr for InstanceKey {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError { text: text.to_owned(), expected: "the key of an instance: expected `[\"key\"]`" };
        parse_key(text).ok_or_else(error)
    }
}

fn parse_key(text: &str) -> Option<InstanceKey> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    if inner.starts_with('"') {
        return serde_json::from_str(inner).ok().map(InstanceKey::Text);
    }
    if inner == "*" {
        return Some(InstanceKey::All);
    }
    inner.parse().ok().map(InstanceKey::Index)
}

/// Serialises a type by its printed form.
macro_rules! serialise_as_text {
    ($($ty:ty),*) => {$(
        impl serde::Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serialise_as_text!(StackId, Address, InstanceKey);

/// Splits `STACK:ADDRESS` into stack and address. Returns `None` for a text without a stack.
#[must_use]
pub fn split_stack(text: &str) -> Option<(&str, &str)> {
    // A key may contain a colon and an `@`; the stack before the address cannot contain a bracket.
    let head = text.split_once('[').map_or(text, |(head, _)| head);
    let (stack, _) = head.split_once(':')?;
    Some((stack, text.get(stack.len() + 1..)?))
}

/// Parses `[STACK:]NAME` into the stack and the named thing.
///
/// # Errors
/// When the stack or the name is malformed.
pub fn parse_with_stack<T: FromStr<Err = AddressError>>(text: &str) -> Result<(Option<StackId>, T), AddressError> {
    match split_stack(text) {
        Some((stack, named)) => Ok((Some(stack.parse()?), named.parse()?)),
        None => Ok((None, text.parse()?)),
    }
}

/// The outputs of a component, in words.
pub fn outputs_in_words(stack: &StackId, component: &ComponentKey) -> String {
    format!("the outputs of {}", owner_in_words(stack, component))
}

/// A component of a stack, or the stack itself, in words.
#[must_use]
pub fn owner_in_words(stack: &StackId, component: &ComponentKey) -> String {
    match component.is_stack() {
        true => stack.to_string(),
        false => format!("`{component}` of {stack}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_round_trips_through_text() {
        for text in [
            "local_value.a",
            "api/local_file.part[\"x\"]",
            "local_file.part[0]",
            "local_file.part[*]",
            "parent/child/sqlite_table.table[\"a\\\"]b\"]",
            "shared/sqlite_database[\"DB.SCHEMA\"]",
            "api/data.sqlite_columns.orders",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert!("shared/sqlite_database[\"x\"]".parse::<Address>().unwrap().is_shared());
    }

    #[test]
    fn component_key_is_plain_text_in_json_and_names() {
        let (api, stack) = (ComponentKey::from("api"), ComponentKey::STACK);
        assert!(stack.is_stack() && !api.is_stack());
        assert_eq!(
            (api.qualified("url").to_string(), stack.qualified("url").to_string()),
            ("api/url".to_owned(), "url".to_owned())
        );
        for (key, json) in [(api, r#""api""#), (stack, r#""""#)] {
            assert_eq!(serde_json::to_string(&key).unwrap(), json);
            assert_eq!(serde_json::from_str::<ComponentKey>(json).unwrap(), key);
        }
    }

    #[test]
    fn malformed_address_is_refused() {
        for text in ["", "a", "a.", ".b", "a.b[", "a.b[\"x]", "c/a", "shared/x", "data.x"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn stack_splits_at_last_at_sign() {
        assert_eq!("a@b@c".parse::<StackId>().unwrap(), StackId::new("a@b", "c"));
        assert!("a@".parse::<StackId>().is_err());
    }

    #[test]
    fn stack_is_split_before_the_colon_but_not_within_a_key() {
        let split = split_stack("demo@local:api/local_file.a[\"x:y\"]");
        assert_eq!(split, Some(("demo@local", "api/local_file.a[\"x:y\"]")));
        assert_eq!(split_stack("local_file.a[\"x@y:z\"]"), None);
        let (stack, address) = parse_with_stack::<Address>("local_file.a[\"x@y:z\"]").unwrap();
        assert_eq!((stack, address.to_string()), (None, "local_file.a[\"x@y:z\"]".to_owned()));
    }
}
