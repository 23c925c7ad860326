//! Functions for names: safe identifiers, the parts of URNs, principals.

use super::arguments::{technology, text};
use crate::naming::{NamesRule, distinct};
use std::collections::BTreeMap;
use terrace_provider::{IdentityRule, Principal, Value};

/// Principals by reference, then by provider: `identities.table` of the configuration.
pub type IdentityTable = BTreeMap<String, BTreeMap<String, String>>;

/// Converts a text to a safe identifier. A text beyond ASCII ends in its digest.
pub(super) fn normalize(text: &str, names: NamesRule) -> String {
    let mut lower = text.to_lowercase();
    let is_safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    // With the old rule, only texts without any safe character are transliterated: they had no name under that rule.
    if !lower.is_ascii() && (!names.is_ascii() || !lower.contains(is_safe)) {
        lower = distinct(&lower, '_', |c| c.is_ascii_alphanumeric() || c == '_').to_ascii_lowercase();
    }
    let mut name = String::with_capacity(lower.len());
    for symbol in lower.chars() {
        if is_safe(symbol) {
            name.push(symbol);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_matches('_');
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name.to_owned() }
}

/// Splits a URN such as `urn:dmb:cmp:finance:cashflows:0:storage` into its parts.
pub(super) fn urn(text: &str) -> Result<Value, String> {
    let error = || format!("`{text}` is not a URN: expected the form `urn:dmb:cmp:domain:name:0:component`");
    let mut parts = text.split(':');
    if parts.next() != Some("urn") {
        return Err(error());
    }
    let parts: Vec<&str> = parts.collect();
    if parts.len() < 3 || parts.iter().any(|part| part.is_empty()) {
        return Err(error());
    }
    let part = |at: usize| parts.get(at).map_or(Value::Null, |part| Value::from(*part));
    let component = match parts.get(5..) {
        Some([]) | None => Value::Null,
        Some(inner) => Value::from(inner.join("/")),
    };
    let entries = [
        ("namespace", part(0)),
        ("kind", part(1)),
        ("domain", part(2)),
        ("name", part(3)),
        ("major", part(4)),
        ("component", component),
        ("parts", parts.iter().map(|part| Value::from(*part)).collect::<Vec<_>>().into()),
    ];
    Ok(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Names of principals in the providers.
pub(super) struct Identities {
    /// The providers' rules, by name.
    pub(super) rules: BTreeMap<String, IdentityRule>,
    /// The identity table of the configuration.
    pub(super) table: IdentityTable,
}

impl Identities {
    /// Returns the provider's name of a principal: from the configuration, else by the provider's rule, else unchanged.
    pub(super) fn of(&self, reference: &str, provider: &str) -> Result<Principal, String> {
        let technology = technology(provider);
        let named = self.table.get(reference);
        let mapped = named.and_then(|names| names.get(provider).or_else(|| names.get(technology)));
        let kind = if reference.starts_with("user:") { "user" } else { "group" };
        match (mapped, self.rules.get(technology)) {
            (Some(name), _) => Ok(Principal { kind, name: name.clone() }),
            (None, Some(rule)) => rule(reference),
            (None, None) => Ok(Principal { kind, name: reference.to_owned() }),
        }
    }

    /// Returns the identity as a value for expressions.
    pub(super) fn identity(&self, reference: &str, provider: &str) -> Result<Value, String> {
        let principal = self.of(reference, provider)?;
        let entries = [("kind", Value::from(principal.kind)), ("name", principal.name.into())];
        Ok(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Returns the principals that the provider knows. The plan reports the others.
    pub(super) fn known(&self, references: &[Value], provider: &str) -> Result<Value, String> {
        let mut known = Vec::with_capacity(references.len());
        for reference in references {
            if self.of(text(reference)?, provider).is_ok() {
                known.push(reference.clone());
            }
        }
        Ok(Value::List(known))
    }
}
