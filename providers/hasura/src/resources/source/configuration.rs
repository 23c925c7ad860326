//! Configurations of sources in Hasura's format: comparison, display and replacement.

use serde_json::Value as Json;

/// Keys that Hasura adds around the value of an agent's configuration.
const AROUND: [&str; 3] = ["template", "timeout", "template_variables"];

/// A configuration without Hasura's wrapper for agents: `{value, template: null, timeout: null}`.
pub(crate) fn canonical(configuration: &Json) -> Json {
    let Some(entries) = configuration.as_object() else { return configuration.clone() };
    let is_bare = |name: &String, value: &Json| name == "value" || (AROUND.contains(&name.as_str()) && value.is_null());
    let inner = entries.get("value").filter(|_| entries.iter().all(|(name, value)| is_bare(name, value)));
    let mut canonical = inner.unwrap_or(configuration).clone();
    // A normal form of connection strings, independent of their encoding.
    if let Some(url) = canonical.get_mut("jdbc_url")
        && let Some(parts) = url.as_str().and_then(crate::jdbc::Parts::read)
    {
        *url = parts.written().into();
    }
    canonical
}

/// The part of a configuration with the keys of a shape; other keys are unmanaged.
pub(crate) fn projected(configuration: &Json, shape: &Json) -> Json {
    match (configuration, shape) {
        (Json::Object(entries), Json::Object(shape)) => {
            let part = |(name, inner): (&String, &Json)| Some((name.clone(), projected(entries.get(name)?, inner)));
            Json::Object(shape.iter().filter_map(part).collect())
        }
        (other, _) => other.clone(),
    }
}

/// A configuration with the new values in place of the previous ones; other keys stay.
pub(crate) fn overlay(now: &Json, before: &Json, wanted: &Json) -> Json {
    let (Json::Object(now), Json::Object(wanted)) = (now, wanted) else { return wanted.clone() };
    let mut merged = now.clone();
    if let Json::Object(before) = before {
        merged.retain(|name, _| !before.contains_key(name) || wanted.contains_key(name));
    }
    for (name, value) in wanted {
        let before = before.get(name).unwrap_or(&Json::Null);
        let value = overlay(merged.get(name).unwrap_or(&Json::Null), before, value);
        merged.insert(name.clone(), value);
    }
    Json::Object(merged)
}

/// JSON without the values at these paths.
pub(crate) fn without_paths(json: &Json, paths: &[Vec<String>]) -> Json {
    let Json::Object(entries) = json else { return json.clone() };
    let below = |name: &String| -> Vec<Vec<String>> {
        let within = paths.iter().filter(|path| path.first() == Some(name));
        within.map(|path| path.iter().skip(1).cloned().collect()).collect()
    };
    let kept = entries.iter().filter_map(|(name, value)| {
        let below = below(name);
        if below.iter().any(Vec::is_empty) { None } else { Some((name.clone(), without_paths(value, &below))) }
    });
    Json::Object(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrapper_of_a_configuration_is_removed() {
        let inner = json!({"a": 1});
        assert_eq!(canonical(&json!({"value": {"a": 1}, "template": null, "timeout": null})), inner);
        assert_eq!(canonical(&inner), inner);
        let timed = json!({"value": {"a": 1}, "timeout": {"seconds": 3}});
        assert_eq!(canonical(&timed), timed);
        let plain = "jdbc:snowflake://h/?schema=S&user=a@b";
        let written = "jdbc:snowflake://h/?user=a%40b&schema=S";
        assert_eq!(canonical(&json!({"jdbc_url": plain})), json!({"jdbc_url": written}));
    }

    #[test]
    fn overlay_keeps_unmanaged_keys_and_drops_old_ones() {
        let now = json!({"url": "a", "pool": {"max": 9, "idle": 1}, "theirs": true});
        let (before, wanted) =
            (json!({"url": "a", "pool": {"max": 9}, "old": 1}), json!({"url": "b", "pool": {"idle": 2}}));
        assert_eq!(overlay(&now, &before, &wanted), json!({"url": "b", "pool": {"idle": 2}, "theirs": true}));
        assert_eq!(projected(&now, &wanted), json!({"url": "a", "pool": {"idle": 1}}));
    }

    #[test]
    fn secrets_are_removed_by_their_paths() {
        let full = json!({"connection_info": {"database_url": "postgres://u:p@h/d", "isolation": "x"}, "n": {"url": {"from_env": "V"}}});
        let secrets = terrace_provider::secret_half::likely_secrets(&full);
        assert_eq!(secrets, [["connection_info", "database_url"].map(str::to_owned)]);
        let shown = json!({"connection_info": {"isolation": "x"}, "n": {"url": {"from_env": "V"}}});
        assert_eq!(without_paths(&full, &secrets), shown);
    }
}
