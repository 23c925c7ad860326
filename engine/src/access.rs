//! Who has access to a component, as it is asked for, planned and recorded: the principals, and what was said beside them.

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};
use terrace_provider::Value;
use terrace_provider::names::scripts::check_principal_scripts;

/// All who have access to a component, and what was said beside.
///
/// Two that mean the same are equal and are written alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// All of them, sorted: `user:ada`, `group:readers`.
    pub principals: Vec<String>,
    /// What was said beside.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

impl Access {
    /// Those principals, in any order.
    #[must_use]
    pub fn new(mut principals: Vec<String>, fields: Fields) -> Self {
        principals.sort();
        principals.dedup();
        Self { principals, fields }
    }

    /// The first of the texts that names nobody: which one it is, from 0, and why.
    ///
    /// # Errors
    /// When there is one.
    pub fn check(principals: &[String]) -> Result<(), (usize, String)> {
        for (at, principal) in principals.iter().enumerate() {
            let name = principal.split_once(':').map_or(principal.as_str(), |(_, name)| name);
            if principal.chars().any(char::is_control) {
                return Err((at, format!("the principal {principal:?} has characters that no name has")));
            }
            if let Err(problem) = check_principal_scripts(principal) {
                return Err((at, format!("the principal `{principal}` {problem}")));
            }
            if name.trim().is_empty() {
                let problem = match principal.trim() {
                    "" => "a principal has no name".to_owned(),
                    _ => format!("the principal `{principal}` has no name"),
                };
                return Err((at, problem));
            }
        }
        Ok(())
    }

    /// `acl` in expressions.
    pub(crate) fn to_value(&self) -> Value {
        let principals = self.principals.iter().map(|principal| Value::from(principal.as_str())).collect();
        let entries = [("principals", Value::List(principals)), ("fields", self.fields.to_value())];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What is said beside the principals, by name; all keys are sorted, however they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "JsonMap<String, Json>")]
pub struct Fields(JsonMap<String, Json>);

impl Fields {
    /// True where nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when it nests deeper than what is recorded may.
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        self.to_value().is_too_deep()
    }

    /// `acl.fields` in expressions.
    fn to_value(&self) -> Value {
        Value::from(Json::Object(self.0.clone()))
    }
}

impl From<JsonMap<String, Json>> for Fields {
    fn from(mut fields: JsonMap<String, Json>) -> Self {
        fields.sort_keys();
        fields.values_mut().for_each(Json::sort_all_objects);
        Self(fields)
    }
}

impl From<Fields> for Json {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Fields};

    fn fields(text: &str) -> Fields {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_means_the_same_is_written_alike() {
        let one = Access::new(
            vec!["user:b".into(), "user:a".into(), "user:b".into()],
            fields(r#"{"b": [{"d": 1, "c": 2}], "a": null}"#),
        );
        let other =
            Access::new(vec!["user:a".into(), "user:b".into()], fields(r#"{"a": null, "b": [{"c": 2, "d": 1}]}"#));
        assert_eq!(one, other);
        let written = serde_json::to_string(&one).unwrap();
        assert_eq!(written, serde_json::to_string(&other).unwrap());
        assert_eq!(written, r#"{"principals":["user:a","user:b"],"fields":{"a":null,"b":[{"c":2,"d":1}]}}"#);
        assert_eq!(one.to_value().to_json_text(), written);
        assert_eq!(serde_json::from_str::<Access>(r#"{"principals":[]}"#).unwrap(), Access::default());
    }

    #[test]
    fn fields_nest_as_deep_as_what_is_recorded() {
        let nested = |levels: usize| fields(&format!(r#"{{"a": {}{}}}"#, "[".repeat(levels), "]".repeat(levels)));
        assert!(!nested(63).is_too_deep());
        assert!(nested(64).is_too_deep());
    }
}
