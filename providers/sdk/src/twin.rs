//! A vendor's JSON in two halves: an attribute that may be seen, and its twin with the parts that are secret. Both are sent
//! as one; the twin is kept nowhere, and never read back.

use crate::{Path, ProviderError, Value};
use serde_json::{Map as JsonMap, Value as Json};

/// How lists of a vendor's JSON are read.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    /// By which field the items of a list of that name are told apart; a list that has none is a value as a whole.
    pub key_of: fn(&str) -> Option<&'static str>,
    /// What an item without that field counts as.
    pub usual: fn(&str) -> Option<&'static str>,
}

/// Lists are values as a whole, all of them.
pub const WHOLE: Lists = Lists { key_of: |_| None, usual: |_| None };

/// Where a secret is likely to stand: keys that hold any of these.
const LIKELY: [&str; 14] = [
    "password",
    "pwd",
    "secret",
    "token",
    "private_key",
    "access_key",
    "api_key",
    "apikey",
    "service_account",
    "credential",
    "passphrase",
    "connection_string",
    "account.key",
    "account_key",
];

impl Lists {
    /// What an item is told apart by.
    #[must_use]
    pub fn own<'j>(&self, item: &'j Json, key: &str) -> Option<&'j str> {
        item.get(key).and_then(Json::as_str).or((self.usual)(key))
    }

    /// The item of a list that is called as another one is.
    #[must_use]
    pub fn item<'j>(&self, items: &'j [Json], key: &str, like: &Json) -> Option<&'j Json> {
        let wanted = self.own(like, key)?;
        items.iter().find(|item| self.own(item, key) == Some(wanted))
    }

    /// One half laid over the other: maps key by key, lists by what their items are told apart by.
    #[must_use]
    pub fn merged(&self, base: &Json, more: &Json) -> Json {
        self.merged_at("", base, more)
    }

    fn merged_at(&self, list: &str, base: &Json, more: &Json) -> Json {
        match (base, more) {
            (Json::Object(base), Json::Object(more)) => {
                let mut result = base.clone();
                for (name, value) in more {
                    let there = base.get(name).unwrap_or(&Json::Null);
                    result.insert(name.clone(), self.merged_at(name, there, value));
                }
                Json::Object(result)
            }
            (Json::Array(base), Json::Array(more)) => match (self.key_of)(list) {
                Some(key) => {
                    let one = |it: &Json| self.item(more, key, it).map(|more| self.merged_at("", it, more));
                    let known = base.iter().map(|it| one(it).unwrap_or_else(|| it.clone()));
                    let added = more.iter().filter(|it| self.item(base, key, it).is_none()).cloned();
                    Json::Array(known.chain(added).collect())
                }
                None => Json::Array(more.clone()),
            },
            (_, more) => more.clone(),
        }
    }

    /// Where values are: each by the keys that lead to it, an item of a list by what it is told apart by. A map without
    /// entries says nothing.
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
        but: Option<&str>,
        at: &mut Vec<String>,
        found: &mut Vec<Vec<String>>,
    ) {
        for (name, value) in entries.iter().filter(|(name, _)| Some(name.as_str()) != but) {
            at.push(name.clone());
            self.collect(name, value, at, found);
            at.pop();
        }
    }

    /// Takes away what is at a path of [`Lists::leaves`].
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
                let found = items.iter_mut().find(|it| self.own(it, key) == Some(own));
                found.into_iter().for_each(|it| self.remove(it, rest));
            }
            _ => self.remove(inner, rest),
        }
    }

    /// Refuses what both halves say, each under its name. What is not known yet says nothing.
    ///
    /// # Errors
    /// `InvalidInput` at the place in the secret half; the secret half is no map.
    pub fn check(
        &self,
        (plain_name, plain): (&str, &Value),
        (name, secret): (&str, &Value),
    ) -> Result<(), ProviderError> {
        let at = Path::attribute(name);
        match secret.exposed() {
            Value::Map(_) | Value::Null | Value::Unknown => {}
            other => {
                let message = format!("`{name}` is {}, and has to be a map", other.kind());
                return Err(ProviderError::invalid(Some(at), message));
            }
        }
        let Some(path) = self.overlap("", plain, secret, &at) else { return Ok(()) };
        let within = Path(path.0.iter().skip(1).cloned().collect());
        let message = format!("`{within}` is in `{plain_name}` and in `{name}`");
        Err(ProviderError::invalid(Some(path), message)
            .solution(format!("leave it in `{name}` alone where it is secret, else in `{plain_name}`")))
    }

    /// The first path that both say something at; maps, and lists whose items are told apart, can be shared.
    fn overlap(&self, list: &str, plain: &Value, secret: &Value, at: &Path) -> Option<Path> {
        match (plain.exposed(), secret.exposed()) {
            (Value::Null | Value::Unknown, _) | (_, Value::Null | Value::Unknown) => None,
            (Value::Map(plain), Value::Map(secret)) => {
                secret.iter().find_map(|(key, secret)| self.overlap(key, plain.get(key)?, secret, &at.key(key)))
            }
            (Value::List(plain), Value::List(secret)) => {
                let Some(key) = (self.key_of)(list) else { return Some(at.clone()) };
                let own = |item: &Value| item.get(key).and_then(Value::as_str).or((self.usual)(key)).map(str::to_owned);
                secret.iter().find_map(|item| {
                    let name = own(item)?;
                    let there = plain.iter().find(|it| own(it).as_ref() == Some(&name))?.as_map()?;
                    let mut more = item.as_map()?.iter().filter(|(field, _)| *field != key);
                    more.find_map(|(field, value)| {
                        self.overlap(field, there.get(field)?, value, &at.key(&name).key(field))
                    })
                })
            }
            _ => Some(at.clone()),
        }
    }
}

/// Where values are that look like secrets: connection strings, passwords, keys; the names of variables are none.
#[must_use]
pub fn likely_secrets(json: &Json) -> Vec<Vec<String>> {
    let names_variable = |path: &Vec<String>| path.last().is_some_and(|name| name == "env" || name == "from_env");
    let is_likely = |name: &String| is_likely(name) || name.to_lowercase().contains("url");
    let is_likely = |path: &Vec<String>| !names_variable(path) && path.iter().any(is_likely);
    WHOLE.leaves(json).into_iter().filter(is_likely).collect()
}

fn is_likely(name: &str) -> bool {
    let name = name.to_lowercase();
    LIKELY.iter().any(|likely| name.contains(likely))
}

/// JSON as a value in which texts that look like secrets are marked: by the key that they stand under, or as addresses with a
/// password in them. It is what somebody else wrote, and nobody here said anything of.
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

/// Whether a text is an address such as `postgres://somebody:password@host`.
#[must_use]
pub fn has_password(text: &str) -> bool {
    let rest = text.split_once("://").map(|(_, rest)| rest);
    let user = rest.and_then(|rest| rest.split('/').next()?.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

/// Whether a text only says where a secret is: `{{secrets/scope/key}}`.
fn is_reference(text: &str) -> bool {
    text.starts_with("{{") && text.ends_with("}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TASKS: Lists =
        Lists { key_of: |list| (list == "tasks").then_some("key"), usual: |key| (key == "key").then_some("usual") };

    #[test]
    fn halves_are_laid_over_each_other_and_taken_apart_again() {
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
    fn what_both_halves_say_is_told_at_its_place() {
        let told = |plain: Json, secret: Json| {
            let (plain, secret) = (Value::from(plain), Value::from(secret));
            TASKS.check(("plain", &plain), ("secret", &secret)).map_err(|error| error.message)
        };
        assert_eq!(told(json!({"a": {"x": 1}, "b": null}), json!({"a": {"y": 1}, "b": "p"})), Ok(()));
        assert_eq!(
            told(json!({"a": {"x": 1}}), json!({"a": {"x": 2}})),
            Err("`a.x` is in `plain` and in `secret`".to_owned())
        );
        assert_eq!(told(json!({"a": 1}), json!({"a": {"x": 2}})), Err("`a` is in `plain` and in `secret`".to_owned()));
        let tasks = |field: &str| json!({"tasks": [{"key": "t", field: 1}]});
        assert_eq!(told(tasks("x"), tasks("y")), Ok(()));
        assert_eq!(told(tasks("x"), tasks("x")), Err("`tasks.t.x` is in `plain` and in `secret`".to_owned()));
        assert_eq!(told(json!({}), json!([1])), Err("`secret` is a list, and has to be a map".to_owned()));
        assert!(TASKS.check(("plain", &Value::Unknown), ("secret", &Value::Unknown)).is_ok());
    }

    #[test]
    fn what_looks_like_a_secret_is_marked_and_what_only_names_one_is_not() {
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
