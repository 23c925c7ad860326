//! A vendor's JSON in two halves: a visible attribute, and a secret half. The provider sends both as one
//! document. The secret half is never stored and never read back.

use crate::{Path, ProviderError, Value};
use serde_json::{Map as JsonMap, Value as Json};

/// The meaning of lists in a vendor's JSON.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    /// The field that identifies the items of a list with this name; `None` if the list is one value.
    pub key_of: fn(&str) -> Option<&'static str>,
    /// The default of that field for items that lack it.
    pub default_key: fn(&str) -> Option<&'static str>,
}

/// Every list is one value.
pub const WHOLE: Lists = Lists { key_of: |_| None, default_key: |_| None };

/// Parts of keys that probably hold a secret, in lower case and without separators.
const LIKELY: [&str; 12] = [
    "password",
    "pwd",
    "secret",
    "token",
    "privatekey",
    "accesskey",
    "apikey",
    "accountkey",
    "serviceaccount",
    "credential",
    "passphrase",
    "connectionstring",
];

impl Lists {
    /// The identifying value of an item.
    #[must_use]
    pub fn own<'j>(&self, item: &'j Json, key: &str) -> Option<&'j str> {
        item.get(key).and_then(Json::as_str).or((self.default_key)(key))
    }

    /// The item of a list that corresponds to another item.
    #[must_use]
    pub fn item<'j>(&self, items: &'j [Json], key: &str, like: &Json) -> Option<&'j Json> {
        let wanted = self.own(like, key)?;
        items.iter().find(|item| self.own(item, key) == Some(wanted))
    }

    /// Merges one half into the other: maps by key, lists by the identity of their items.
    #[must_use]
    pub fn merged(&self, base: &Json, more: &Json) -> Json {
        self.merged_at("", base, more)
    }

    fn merged_at(&self, list: &str, base: &Json, more: &Json) -> Json {
        match (base, more) {
            (Json::Object(base), Json::Object(more)) => {
                let mut result = base.clone();
                for (name, value) in more {
                    let existing = base.get(name).unwrap_or(&Json::Null);
                    result.insert(name.clone(), self.merged_at(name, existing, value));
                }
                Json::Object(result)
            }
            (Json::Array(base), Json::Array(more)) => match (self.key_of)(list) {
                Some(key) => {
                    let merge = |item: &Json| self.item(more, key, item).map(|more| self.merged_at("", item, more));
                    let known = base.iter().map(|item| merge(item).unwrap_or_else(|| item.clone()));
                    let added = more.iter().filter(|item| self.item(base, key, item).is_none()).cloned();
                    Json::Array(known.chain(added).collect())
                }
                None => Json::Array(more.clone()),
            },
            (_, more) => more.clone(),
        }
    }

    /// The paths of all values. A path holds keys of maps and identities of list items. An empty map has no path.
    #[must_use]
    pub fn leaves(&self, value: &Json) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        self.collect("", value, &mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, list: &str, value: &Json, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        let key = (self.key_of)(list);
        match (value, key) {
            (Json::Object(entries), _) => self.collect_entries(entries, None, at, found),
            (Json::Array(items), Some(key)) => {
                for item in items {
                    let (Some(own), Some(entries)) = (self.own(item, key), item.as_object()) else { continue };
                    at.push(own.to_owned());
                    self.collect_entries(entries, Some(key), at, found);
                    at.pop();
                }
            }
            _ => found.push(at.clone()),
        }
    }

    fn collect_entries(
        &self,
        entries: &JsonMap<String, Json>,
        excluded: Option<&str>,
        at: &mut Vec<String>,
        found: &mut Vec<Vec<String>>,
    ) {
        for (name, value) in entries.iter().filter(|(name, _)| Some(name.as_str()) != excluded) {
            at.push(name.clone());
            self.collect(name, value, at, found);
            at.pop();
        }
    }

    /// Removes the value at a path of [`Lists::leaves`].
    pub fn remove(&self, value: &mut Json, path: &[String]) {
        let Some((name, rest)) = path.split_first() else { return };
        let Some(entries) = value.as_object_mut() else { return };
        if rest.is_empty() {
            entries.shift_remove(name);
            return;
        }
        let Some(inner) = entries.get_mut(name) else { return };
        match (inner.as_array_mut(), (self.key_of)(name), rest.split_first()) {
            (Some(items), Some(key), Some((own, rest))) => {
                let found = items.iter_mut().find(|item| self.own(item, key) == Some(own));
                found.into_iter().for_each(|item| self.remove(item, rest));
            }
            _ => self.remove(inner, rest),
        }
    }

    /// Refuses values that both halves have; `plain_name` and `name` are their attributes. Unknown values are not
    /// compared.
    ///
    /// # Errors
    /// `InvalidInput` at the path in the secret half, or if the secret half is not a map.
    pub fn check(
        &self,
        (plain_name, plain): (&str, &Value),
        (name, secret): (&str, &Value),
    ) -> Result<(), ProviderError> {
        let at = Path::attribute(name);
        match secret.exposed() {
            Value::Map(_) | Value::Null | Value::Unknown => {}
            other => {
                let message = format!("`{name}` is {}, expected a map", other.kind());
                return Err(ProviderError::invalid(Some(at), message));
            }
        }
        let Some(path) = self.overlap("", plain, secret, &at) else { return Ok(()) };
        let within = Path(path.0.iter().skip(1).cloned().collect());
        let message = format!("`{within}` is in `{plain_name}` and in `{name}`");
        Err(ProviderError::invalid(Some(path), message)
            .solution(format!("keep it in `{name}` if it is secret, otherwise in `{plain_name}`")))
    }

    /// The first path with a value in both halves. The halves may share maps, and lists with identified items.
    fn overlap(&self, list: &str, plain: &Value, secret: &Value, at: &Path) -> Option<Path> {
        match (plain.exposed(), secret.exposed()) {
            (Value::Null | Value::Unknown, _) | (_, Value::Null | Value::Unknown) => None,
            (Value::Map(plain), Value::Map(secret)) => {
                secret.iter().find_map(|(key, secret)| self.overlap(key, plain.get(key)?, secret, &at.key(key)))
            }
            (Value::List(plain), Value::List(secret)) => {
                let Some(key) = (self.key_of)(list) else { return Some(at.clone()) };
                let own =
                    |item: &Value| item.get(key).and_then(Value::as_str).or((self.default_key)(key)).map(str::to_owned);
                secret.iter().find_map(|item| {
                    let name = own(item)?;
                    let existing = plain.iter().find(|plain| own(plain).as_ref() == Some(&name))?.as_map()?;
                    let mut more = item.as_map()?.iter().filter(|(field, _)| *field != key);
                    more.find_map(|(field, value)| {
                        self.overlap(field, existing.get(field)?, value, &at.key(&name).key(field))
                    })
                })
            }
            _ => Some(at.clone()),
        }
    }
}

/// Paths of values that look like secrets: connection strings, passwords, keys. Names of environment variables do not
/// count.
#[must_use]
pub fn likely_secrets(json: &Json) -> Vec<Vec<String>> {
    let names_variable = |path: &Vec<String>| path.last().is_some_and(|name| name == "env" || name == "from_env");
    let is_likely = |name: &String| is_likely(name) || name.to_lowercase().contains("url");
    let is_likely = |path: &Vec<String>| !names_variable(path) && path.iter().any(is_likely);
    WHOLE.leaves(json).into_iter().filter(is_likely).collect()
}

/// True if the name of a key suggests a secret, as `password`, `api_key` or `apiKey`.
#[must_use]
pub fn is_likely(name: &str) -> bool {
    let name = name.to_lowercase().replace(['_', '-', '.', ' '], "");
    LIKELY.iter().any(|likely| name.contains(likely))
}

/// Marks texts that look like secrets in JSON of unknown origin: by their key, or as URLs with a password.
#[must_use]
pub fn marked(json: Json) -> Value {
    marked_at("", json)
}

fn marked_at(name: &str, json: Json) -> Value {
    match json {
        Json::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| {
                let value = marked_at(&name, value);
                (name, value)
            })
            .collect(),
        Json::Array(items) => Value::List(items.into_iter().map(|item| marked_at(name, item)).collect()),
        Json::String(text) if has_password(&text) || (is_likely(name) && !is_reference(&text)) => {
            Value::sensitive(Value::from(text))
        }
        other => Value::from(other),
    }
}

/// True if a text is a URL with a password, such as `postgres://user:password@host`.
#[must_use]
pub fn has_password(text: &str) -> bool {
    let rest = text.split_once("://").map(|(_, rest)| rest);
    let user = rest.and_then(|rest| rest.split('/').next()?.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

/// True if a text only refers to a secret: `{{secrets/scope/key}}`.
fn is_reference(text: &str) -> bool {
    text.starts_with("{{") && text.ends_with("}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TASKS: Lists = Lists {
        key_of: |list| (list == "tasks").then_some("key"),
        default_key: |key| (key == "key").then_some("usual"),
    };

    #[test]
    fn halves_are_merged_and_split_again() {
        let plain = json!({"a": {"x": 1}, "list": [1], "tasks": [{"key": "t", "n": 1}, {"n": 2}]});
        let secret = json!({"a": {"y": 2}, "tasks": [{"key": "t", "s": "p"}, {"s": "q"}, {"key": "new", "s": "r"}]});
        let whole = TASKS.merged(&plain, &secret);
        let tasks = json!([{"key": "t", "n": 1, "s": "p"}, {"n": 2, "s": "q"}, {"key": "new", "s": "r"}]);
        assert_eq!(whole, json!({"a": {"x": 1, "y": 2}, "list": [1], "tasks": tasks}));
        let paths = TASKS.leaves(&secret);
        assert_eq!(
            paths,
            [vec!["a", "y"], vec!["tasks", "t", "s"], vec!["tasks", "usual", "s"], vec!["tasks", "new", "s"]]
        );
        let mut left = whole;
        paths.iter().for_each(|path| TASKS.remove(&mut left, path));
        assert_eq!(left["tasks"], json!([{"key": "t", "n": 1}, {"n": 2}, {"key": "new"}]));
        assert_eq!(left["a"], json!({"x": 1}));
        assert_eq!(WHOLE.merged(&plain, &secret)["tasks"], secret["tasks"]);
        assert_eq!(WHOLE.leaves(&json!({"a": {}, "b": [{"c": 1}]})), [["b"]]);
    }

    #[test]
    fn value_in_both_halves_is_refused_with_its_path() {
        let result = |plain: Json, secret: Json| {
            let (plain, secret) = (Value::from(plain), Value::from(secret));
            TASKS.check(("plain", &plain), ("secret", &secret)).map_err(|error| error.message)
        };
        assert_eq!(result(json!({"a": {"x": 1}, "b": null}), json!({"a": {"y": 1}, "b": "p"})), Ok(()));
        assert_eq!(
            result(json!({"a": {"x": 1}}), json!({"a": {"x": 2}})),
            Err("`a.x` is in `plain` and in `secret`".to_owned())
        );
        assert_eq!(
            result(json!({"a": 1}), json!({"a": {"x": 2}})),
            Err("`a` is in `plain` and in `secret`".to_owned())
        );
        let tasks = |field: &str| json!({"tasks": [{"key": "t", field: 1}]});
        assert_eq!(result(tasks("x"), tasks("y")), Ok(()));
        assert_eq!(result(tasks("x"), tasks("x")), Err("`tasks.t.x` is in `plain` and in `secret`".to_owned()));
        assert_eq!(result(json!({}), json!([1])), Err("`secret` is a list, expected a map".to_owned()));
        assert!(TASKS.check(("plain", &Value::Unknown), ("secret", &Value::Unknown)).is_ok());
    }

    #[test]
    fn name_of_a_secret_is_recognized_in_every_spelling() {
        for name in [
            "password",
            "DB_PWD",
            "clientSecret",
            "auth-token",
            "private_key",
            "privateKey",
            "access_key",
            "accessKey",
            "api_key",
            "apiKey",
            "APIKEY",
            "X-Api-Key",
            "account_key",
            "accountKey",
            "fs.azure.account.key",
            "service_account",
            "serviceAccount",
            "credentials",
            "passphrase",
            "connection_string",
            "connectionString",
        ] {
            assert!(is_likely(name), "{name}");
        }
        for name in ["key", "primaryKey", "account", "service", "connection", "region"] {
            assert!(!is_likely(name), "{name}");
        }
    }

    #[test]
    fn likely_secrets_are_marked_but_references_are_not() {
        let json = json!({"spark_env_vars": {"API_TOKEN": "one", "MODE": "fast", "NEXT_TOKEN": "{{secrets/a/b}}"},
            "list": [{"password": "two"}], "passwords": ["three"], "git_url": "https://host/a.git",
            "jdbc": "postgres://me:four@host/db", "token_count": 3});
        let value = marked(json.clone());
        let shown = value.to_json().to_string();
        assert!(!["one", "two", "three", "four"].iter().any(|secret| shown.contains(secret)), "{shown}");
        assert!(["fast", "{{secrets/a/b}}", "https://host/a.git"].iter().all(|open| shown.contains(open)), "{shown}");
        assert_eq!(value.to_revealed_json(), json);
    }
}
