//! What tells the settings of an instance from others: a plan is made for one server, and not for another one under the
//! same name.

use super::Registry;
use crate::digest::sha256;
use std::collections::BTreeMap;
use terrace_provider::{Attributes, Value};

impl Registry {
    /// A digest of the settings of a configured instance, in hexadecimal. Secrets are not part of it: they are renewed,
    /// and a digest would give a weak one away. Neither are limits: they change nothing that is done.
    #[must_use]
    pub fn settings_digest(&self, instance: &str) -> Option<String> {
        let settings = &self.instances.get(instance)?.settings.values;
        Some(sha256(Value::Map(sorted(settings)).to_json_text()))
    }
}

/// Settings say the same in whatever order they are written.
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
