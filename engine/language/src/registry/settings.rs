//! Digests of an instance's settings. They detect that a plan was made for another server under the same name.

use super::Registry;
use crate::digest::sha256;
use std::collections::BTreeMap;
use terrace_provider::{Attributes, Value};

impl Registry {
    /// A digest of the settings of a configured instance, in hexadecimal. Secrets are excluded, because they are
    /// rotated, and a digest would reveal weak ones. Limits are excluded too, because they do not change the result.
    #[must_use]
    pub fn settings_digest(&self, instance: &str) -> Option<String> {
        let settings = &self.instances.get(instance)?.settings.values;
        Some(sha256(Value::Map(sorted(settings)).to_json_text()))
    }
}

/// Sorts settings, because their order has no meaning.
fn sorted(settings: &Attributes) -> Attributes {
    let settings: BTreeMap<&String, &Value> = settings.iter().collect();
    settings.into_iter().map(|(name, value)| (name.clone(), sorted_within(value))).collect()
}

fn sorted_within(value: &Value) -> Value {
    match value {
        Value::Map(within) => Value::Map(sorted(within)),
        Value::List(items) => Value::List(items.iter().map(sorted_within).collect()),
        other => other.clone(),
    }
}
