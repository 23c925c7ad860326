//! `compatibility: adapters`: defaults of the replaced adapters, as settings of an environment. Settings of the
//! environment have priority.

use super::Providers;
use crate::configuration::COMPATIBILITY;
use terrace_engine::diagnostic::Diagnostic;
use terrace_provider::{Map, Value};

/// The settings of an environment with the defaults below them. A setting that is `null` counts as not set.
///
/// # Errors
/// When a default is below a setting that has to be a map.
pub(super) fn with_defaults(providers: &Providers, settings: &Value, environment: &str) -> Result<Value, Diagnostic> {
    let mut with_defaults = settings.clone();
    for (setting, value) in defaults(providers, settings, environment) {
        let keys: Vec<&str> = setting.split('.').collect();
        if !set_default(&mut with_defaults, &keys, value) {
            let message = format!("`settings.{setting}` cannot be set: its parent has to be a map");
            let hint = format!("make it a map, or leave `{COMPATIBILITY}` out");
            return Err(Diagnostic::error("wrong_type", message).hint(hint));
        }
    }
    Ok(with_defaults)
}

/// The defaults by path below `settings`: a row of the table in `docs/compatibility.md` each.
fn defaults(providers: &Providers, settings: &Value, environment: &str) -> Vec<(&'static str, Value)> {
    // All adapters revoked external grants.
    let mut defaults = vec![("access.foreign", Value::from("revoke"))];
    let of_providers = providers.schemas().filter_map(|schema| schema.adapter_settings);
    defaults.extend(of_providers.flat_map(|of| of(settings, environment)));
    defaults
}

/// Sets a value that is missing; false when a part of its path cannot hold keys.
fn set_default(settings: &mut Value, keys: &[&str], value: Value) -> bool {
    let Some((key, rest)) = keys.split_first() else {
        if settings.is_null() {
            *settings = value;
        }
        return true;
    };
    if settings.is_null() {
        *settings = Value::Map(Map::default());
    }
    match settings {
        Value::Map(entries) => set_default(entries.entry((*key).to_owned()).or_insert(Value::Null), rest, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'v>(settings: &'v Value, path: &str) -> Option<&'v Value> {
        path.split('.').try_fold(settings, |value, key| value.get(key))
    }

    fn of_development() -> Vec<(&'static str, Value)> {
        let defaults = defaults(&Providers::built_in(), &Value::Null, "development");
        assert!(defaults.len() > 1, "the providers have no defaults");
        defaults
    }

    #[test]
    fn every_default_is_set() {
        let set = with_defaults(&Providers::built_in(), &Value::Null, "development").unwrap();
        for (setting, value) in of_development() {
            assert_eq!(at(&set, setting), Some(&value), "{setting}");
        }
    }

    #[test]
    fn settings_have_priority_over_defaults() {
        for (setting, _) in of_development() {
            let own =
                setting.rsplit('.').fold(serde_json::json!("own"), |value, key| serde_json::json!({ key: value }));
            let set = with_defaults(&Providers::built_in(), &Value::from(own), "development").unwrap();
            assert_eq!(at(&set, setting), Some(&"own".into()), "{setting}");
        }
    }

    #[test]
    fn default_below_text_is_refused() {
        let settings = Value::from(serde_json::json!({"access": "x"}));
        let error = with_defaults(&Providers::built_in(), &settings, "production").unwrap_err();
        assert!(error.message.contains("`settings.access.foreign`"), "{}", error.message);
    }

    /// The page has a row for each default, with its setting and its value.
    #[test]
    fn documentation_lists_every_default() {
        let page = include_str!("../../../docs/compatibility.md");
        for (setting, value) in of_development() {
            let row = format!("`{setting}: {}`", value.to_json().to_string().replace('"', ""));
            let listed = page.lines().any(|line| line.starts_with('|') && line.contains(&row));
            assert!(listed, "docs/compatibility.md has no row with {row}");
        }
    }
}
