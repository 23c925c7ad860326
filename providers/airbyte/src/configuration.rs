//! Connector configurations: the connector's own JSON, with its secrets in a separate attribute.

use serde_json::Value as Json;
use terrace_provider::secret_half::{self, WHOLE};
use terrace_provider::{Attributes, Path, ProviderError, Value};

/// Airbyte's placeholder for a secret.
const MASK: &str = "**********";
/// The attributes of the two halves of a configuration.
pub(crate) const PLAIN: &str = "configuration";
pub(crate) const SECRET: &str = "secretConfiguration";

/// Refuses an invalid configuration, as far as its values are known.
pub(crate) fn check(attributes: &Attributes, connector: &str) -> Result<(), ProviderError> {
    for name in [PLAIN, SECRET] {
        let Some(value) = attributes.get(name).filter(|value| !value.is_null() && !value.is_unknown()) else {
            continue;
        };
        let path = Path::attribute(name);
        let Some(entries) = value.as_map() else {
            return Err(ProviderError::invalid(Some(path), format!("`{name}` must be a map, but is {}", value.kind()))
                .solution("use the connector's own keys, as listed on its page in Airbyte's documentation"));
        };
        if entries.contains_key(connector) {
            let error = ProviderError::invalid(
                Some(path.key(connector)),
                format!("`{connector}` is not part of the configuration"),
            );
            return Err(error.solution("set `connector` of the resource instead"));
        }
        if let Some(path) = masked(value, &path) {
            return Err(ProviderError::invalid(Some(path), "this is Airbyte's placeholder for a secret")
                .solution(format!("put the secret itself into `{SECRET}`, from a variable of the environment")));
        }
    }
    let (Some(plain), Some(secret)) = (attributes.get(PLAIN), attributes.get(SECRET)) else { return Ok(()) };
    WHOLE.check((PLAIN, plain), (SECRET, secret))
}

fn masked(value: &Value, at: &Path) -> Option<Path> {
    match value.exposed() {
        Value::String(text) if text == MASK => Some(at.clone()),
        Value::Map(entries) => entries.iter().find_map(|(key, value)| masked(value, &at.key(key))),
        Value::List(items) => items.iter().enumerate().find_map(|(index, value)| masked(value, &at.index(index))),
        _ => None,
    }
}

/// Returns the attributes without null keys in the configuration, which blueprints write for missing inputs.
pub(crate) fn without_null_keys(attributes: &Attributes) -> Attributes {
    let tidy = |(name, value): (&String, &Value)| match name.as_str() {
        PLAIN => (name.clone(), without_null(value)),
        _ => (name.clone(), value.clone()),
    };
    attributes.iter().map(tidy).collect()
}

fn without_null(value: &Value) -> Value {
    match value {
        Value::Map(entries) => {
            let entries = entries.iter().filter(|(_, value)| !value.is_null());
            Value::Map(entries.map(|(key, value)| (key.clone(), without_null(value))).collect())
        }
        other => other.clone(),
    }
}

/// The configuration to send: the secrets merged over the other keys.
pub(crate) fn whole(attributes: &Attributes) -> Json {
    WHOLE.merged(&sendable(attributes.get(PLAIN)), &sendable(attributes.get(SECRET)))
}

fn sendable(value: Option<&Value>) -> Json {
    match value.map(|value| without_null(&value.revealed()).to_revealed_json()) {
        Some(json @ Json::Object(_)) => json,
        _ => Json::Object(serde_json::Map::new()),
    }
}

/// Returns the observed configuration, limited to the keys of `like`. Masked or missing values keep the value of
/// `like`, because they cannot be read back. Without `like`, returns all readable keys.
pub(crate) fn observed(read: &Json, like: Option<&Value>, connector: &str) -> Value {
    match like.filter(|like| like.as_map().is_some()) {
        Some(like) => projected(read, like),
        // Unmasked values may still be secret: mark them as sensitive.
        None => {
            let mut all = readable(read).unwrap_or_else(|| Json::Object(serde_json::Map::new()));
            if let Json::Object(entries) = &mut all {
                entries.shift_remove(connector);
            }
            secret_half::marked(all)
        }
    }
}

fn projected(read: &Json, like: &Value) -> Value {
    match (read, like.exposed()) {
        (Json::Null, _) => like.clone(),
        (Json::String(text), _) if text == MASK => like.clone(),
        (Json::Object(read), Value::Map(like)) => like
            .iter()
            .map(|(key, like)| (key.clone(), read.get(key).map_or_else(|| like.clone(), |read| projected(read, like))))
            .collect(),
        (Json::Array(read), Value::List(like)) if read.len() == like.len() => {
            Value::List(read.iter().zip(like).map(|(read, like)| projected(read, like)).collect())
        }
        (read, _) => Value::from(read.clone()),
    }
}

/// Returns the readable part: without masked values and nulls.
fn readable(read: &Json) -> Option<Json> {
    match read {
        Json::Null => None,
        Json::String(text) if text == MASK => None,
        Json::Object(entries) => {
            let entries = entries.iter().filter_map(|(key, read)| Some((key.clone(), readable(read)?)));
            Some(Json::Object(entries.collect()))
        }
        Json::Array(items) => Some(Json::Array(items.iter().filter_map(readable).collect())),
        other => Some(other.clone()),
    }
}

/// Returns the removed keys. A merge would keep them, so the whole configuration must be sent.
pub(crate) fn gone(before: &Attributes, secrets_before: &[Vec<String>], after: &Attributes) -> Vec<Vec<String>> {
    let wanted = whole(after);
    let before_paths = paths(before.get(PLAIN)).into_iter().chain(secrets_before.iter().cloned());
    before_paths.filter(|path| path.iter().try_fold(&wanted, |json, key| json.get(key)).is_none()).collect()
}

/// The paths of the configured secrets.
pub(crate) fn secret_paths(attributes: &Attributes) -> Vec<Vec<String>> {
    WHOLE.leaves(&sendable(attributes.get(SECRET)))
}

/// The paths of all keys in nested maps.
fn paths(value: Option<&Value>) -> Vec<Vec<String>> {
    let Some(entries) = value.map(Value::exposed).and_then(Value::as_map) else { return Vec::new() };
    let inner = entries.iter().flat_map(|(key, value)| {
        let below = paths(Some(value)).into_iter().map(|path| [vec![key.clone()], path].concat());
        std::iter::once(vec![key.clone()]).chain(below).collect::<Vec<_>>()
    });
    inner.collect()
}

/// The configuration to send if keys are removed: the observed one without the `gone` keys, with the planned one merged
/// over it.
///
/// # Errors
/// If the observed configuration has a masked secret that is not configured: a replacement would lose it.
pub(crate) fn replacement(
    read: &Json,
    gone: &[Vec<String>],
    after: &Attributes,
    connector: &str,
) -> Result<Json, ProviderError> {
    let mut all = read.clone();
    if let Json::Object(entries) = &mut all {
        entries.shift_remove(connector);
    }
    for path in gone {
        WHOLE.remove(&mut all, path);
    }
    let all = WHOLE.merged(&all, &whole(after));
    match still_masked(&all, &Path::default()) {
        None => Ok(all),
        Some(path) => {
            let message = format!("removing keys replaces the whole `{PLAIN}`, but the secret `{path}` is unknown");
            Err(ProviderError::invalid(Some(Path::attribute(PLAIN)), message)
                .solution(format!("add `{path}` to `{SECRET}`")))
        }
    }
}

fn still_masked(json: &Json, at: &Path) -> Option<Path> {
    match json {
        Json::String(text) if text == MASK => Some(at.clone()),
        Json::Object(entries) => entries.iter().find_map(|(key, json)| still_masked(json, &at.key(key))),
        Json::Array(items) => items.iter().enumerate().find_map(|(index, json)| still_masked(json, &at.index(index))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attributes(plain: Json, secret: Json) -> Attributes {
        [(PLAIN, plain), (SECRET, secret)]
            .into_iter()
            .map(|(name, json)| (name.to_owned(), Value::from(json)))
            .collect()
    }

    #[test]
    fn added_masked_and_missing_keys_are_not_drift() {
        let configured = json!({"host": "h", "ssl": {"mode": "x"}, "list": [1, 2], "password": "p", "gone": 1});
        let read =
            json!({"host": "H", "ssl": {"mode": "x", "more": 1}, "list": [1, 3], "password": MASK, "sourceType": "a"});
        let remote = observed(&read, Some(&Value::from(configured)), "sourceType").to_json();
        assert_eq!(remote, json!({"host": "H", "ssl": {"mode": "x"}, "list": [1, 3], "password": "p", "gone": 1}));
        let all = observed(&read, None, "sourceType").to_json();
        assert_eq!(all, json!({"host": "H", "ssl": {"mode": "x", "more": 1}, "list": [1, 3]}));
    }

    #[test]
    fn null_keys_are_not_sent() {
        let configured =
            attributes(json!({"a": null, "deep": {"b": null, "c": 1}, "list": [null]}), json!({"p": null}));
        assert_eq!(without_null_keys(&configured)[PLAIN].to_json(), json!({"deep": {"c": 1}, "list": [null]}));
        assert_eq!(whole(&configured), json!({"deep": {"c": 1}, "list": [null]}));
    }

    #[test]
    fn path_in_both_halves_is_refused() {
        let both = attributes(
            json!({"credentials": {"type": "x", "password": "p"}}),
            json!({"credentials": {"password": "p"}}),
        );
        let path = |error: ProviderError| match error.kind {
            terrace_provider::ErrorKind::InvalidInput { path } => path.unwrap().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(path(check(&both, "sourceType").unwrap_err()), "secretConfiguration.credentials.password");
        let apart = attributes(json!({"credentials": {"type": "x"}}), json!({"credentials": {"password": "p"}}));
        assert!(check(&apart, "sourceType").is_ok());
        assert_eq!(whole(&apart), json!({"credentials": {"type": "x", "password": "p"}}));
        let mask = attributes(json!({"a": [{"b": MASK}]}), Json::Null);
        assert_eq!(path(check(&mask, "sourceType").unwrap_err()), "configuration.a[0].b");
        let own = attributes(json!({"sourceType": "file"}), Json::Null);
        assert_eq!(path(check(&own, "sourceType").unwrap_err()), "configuration.sourceType");
        assert_eq!(path(check(&attributes(json!("x"), Json::Null), "sourceType").unwrap_err()), "configuration");
    }

    #[test]
    fn replacement_removes_only_the_gone_keys() {
        let before = attributes(json!({"a": 1, "deep": {"x": 1, "y": 2}}), Json::Null);
        let after = attributes(json!({"a": 1, "deep": {"x": 1}}), json!({"password": "p"}));
        assert_eq!(gone(&before, &[], &after), [["deep", "y"]]);
        assert!(gone(&after, &secret_paths(&after), &after).is_empty());
        assert_eq!(gone(&after, &secret_paths(&after), &before), [["password"]]);
        let both = attributes(Json::Null, json!({"credentials": {"password": "p", "key": null}, "token": "t"}));
        assert_eq!(secret_paths(&both), [vec!["credentials", "password"], vec!["token"]]);
        let gone = gone(&before, &[], &after);
        let read = json!({"sourceType": "s", "a": 1, "deep": {"x": 1, "y": 2, "own": 3}, "password": MASK});
        let sent = replacement(&read, &gone, &after, "sourceType").unwrap();
        assert_eq!(sent, json!({"a": 1, "deep": {"x": 1, "own": 3}, "password": "p"}));
        let without = attributes(json!({"a": 1, "deep": {"x": 1}}), Json::Null);
        let error = replacement(&read, &gone, &without, "sourceType").unwrap_err();
        assert!(error.message.contains("the secret `password` is unknown"), "{error}");
    }
}
