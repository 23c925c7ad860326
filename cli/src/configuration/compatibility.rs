//! `compatibility: adapters`: defaults of the replaced adapters, as settings of an environment. Settings of the
//! environment have priority.

use terrace_engine::diagnostic::Diagnostic;
use terrace_provider::{Map, Value};

/// The key of an environment.
pub(super) const KEY: &str = "compatibility";

/// The source of defaults for unset settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compatibility {
    /// The replaced adapters.
    Adapters,
}

impl Compatibility {
    /// The values of the key.
    pub(super) const WORDS: [(&'static str, Self); 1] = [("adapters", Self::Adapters)];
}

/// The environments of a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Everywhere,
    /// Those of `settings.databricks.developmentEnvironments`.
    Development,
}

/// A default of an adapter: a row of the table in `docs/compatibility.md`.
struct Row {
    /// The path below `settings`.
    setting: &'static str,
    scope: Scope,
    value: fn() -> Value,
}

fn select() -> Value {
    Value::List(vec!["SELECT".into()])
}

const ROWS: [Row; 6] = [
    Row { setting: "access.foreign", scope: Scope::Everywhere, value: || "revoke".into() },
    Row { setting: "databricks.outputPort.owner", scope: Scope::Development, value: select },
    Row { setting: "databricks.outputPort.developers", scope: Scope::Development, value: select },
    Row { setting: "databricks.workflowGuard", scope: Scope::Everywhere, value: || "development".into() },
    Row { setting: "hasura.unserved", scope: Scope::Everywhere, value: || "leave".into() },
    Row { setting: "snowflake.tags.enabled", scope: Scope::Everywhere, value: || true.into() },
];

/// The settings of an environment with the defaults below them. A setting that is `null` counts as not set.
///
/// # Errors
/// When a default is below a setting that has to be a map.
pub(super) fn with_defaults(settings: Value, environment: &str) -> Result<Value, Diagnostic> {
    let is_development = is_development(&settings, environment);
    let mut settings = settings;
    for row in ROWS.iter().filter(|row| row.scope == Scope::Everywhere || is_development) {
        let keys: Vec<&str> = row.setting.split('.').collect();
        if !set_default(&mut settings, &keys, (row.value)()) {
            let message = format!("`settings.{}` cannot be set: its parent has to be a map", row.setting);
            return Err(Diagnostic::error("wrong_type", message).hint(format!("make it a map, or leave `{KEY}` out")));
        }
    }
    Ok(settings)
}

fn is_development(settings: &Value, environment: &str) -> bool {
    let named = settings.get("databricks").and_then(|it| it.get("developmentEnvironments")).and_then(Value::as_list);
    match named {
        Some(names) => names.iter().filter_map(Value::as_str).any(|name| name.eq_ignore_ascii_case(environment)),
        None => environment.eq_ignore_ascii_case("development"),
    }
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

    fn settings(json: serde_json::Value) -> Value {
        Value::from(json)
    }

    #[test]
    fn development_gets_all_defaults_and_other_environments_some() {
        for row in &ROWS {
            for (environment, is_set) in [("Development", true), ("production", row.scope == Scope::Everywhere)] {
                let defaulted = with_defaults(Value::Null, environment).unwrap();
                let found = at(&defaulted, row.setting).cloned();
                assert_eq!(found, is_set.then(|| (row.value)()), "{} in {environment}", row.setting);
            }
        }
    }

    #[test]
    fn settings_have_priority_over_defaults() {
        for row in &ROWS {
            let own =
                row.setting.rsplit('.').fold(serde_json::json!("own"), |value, key| serde_json::json!({ key: value }));
            let defaulted = with_defaults(settings(own), "development").unwrap();
            assert_eq!(at(&defaulted, row.setting), Some(&"own".into()), "{}", row.setting);
        }
    }

    #[test]
    fn settings_name_the_development_environments() {
        let named = || settings(serde_json::json!({"databricks": {"developmentEnvironments": ["DEV"]}}));
        let owner =
            |environment| at(&with_defaults(named(), environment).unwrap(), "databricks.outputPort.owner").cloned();
        assert_eq!((owner("dev"), owner("development")), (Some(select()), None));
    }

    #[test]
    fn default_below_text_is_refused() {
        let error = with_defaults(settings(serde_json::json!({"hasura": "x"})), "production").unwrap_err();
        assert!(error.message.contains("`settings.hasura.unserved`"), "{}", error.message);
    }

    /// The page has a row for each default, with its setting and its value.
    #[test]
    fn documentation_lists_every_default() {
        let page = include_str!("../../../docs/compatibility.md");
        for row in &ROWS {
            let setting = format!("`{}: {}`", row.setting, (row.value)().to_json().to_string().replace('"', ""));
            let listed = page.lines().any(|line| line.starts_with('|') && line.contains(&setting));
            assert!(listed, "docs/compatibility.md has no row with {setting}");
        }
    }
}
