//! Access to a component, as requested, planned and recorded: principals with further fields.

use crate::address::ComponentKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};
use terrace_provider::Value;
use terrace_provider::names::scripts::check_principal_scripts;

/// The principals with access to a component, and the further fields of the request.
///
/// Equal access lists compare equal and serialise alike, regardless of order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The principals, sorted: `user:ada`, `group:readers`.
    pub principals: Vec<String>,
    /// The further fields of the request.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

impl Access {
    /// An access list of principals in any order.
    #[must_use]
    pub fn new(mut principals: Vec<String>, fields: Fields) -> Self {
        principals.sort();
        principals.dedup();
        Self { principals, fields }
    }

    /// Checks that every text names a principal.
    ///
    /// # Errors
    /// The index of the first invalid text, and a message.
    pub fn check(principals: &[String]) -> Result<(), (usize, String)> {
        for (at, principal) in principals.iter().enumerate() {
            let name = principal.split_once(':').map_or(principal.as_str(), |(_, name)| name);
            if principal.chars().any(char::is_control) {
                return Err((at, format!("the principal {principal:?} has control characters")));
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
    pub fn to_value(&self) -> Value {
        let principals = self.principals.iter().map(|principal| Value::from(principal.as_str())).collect();
        let entries = [("principals", Value::List(principals)), ("fields", self.fields.to_value())];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The fields of a request next to the principals. All keys are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "JsonMap<String, Json>")]
pub struct Fields(JsonMap<String, Json>);

impl Fields {
    /// True when the list of fields is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the fields nest deeper than the state allows.
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

/// A new access list for a component, which replaces the recorded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantees {
    /// The component.
    pub component: ComponentKey,
    /// The principals, and the options of the request.
    pub access: Access,
}

#[cfg(test)]
mod tests {
    use super::{Access, Fields};

    fn fields(text: &str) -> Fields {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn equal_access_lists_serialise_alike() {
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
    fn fields_nest_as_deep_as_the_state_allows() {
        let nested = |levels: usize| fields(&format!(r#"{{"a": {}{}}}"#, "[".repeat(levels), "]".repeat(levels)));
        assert!(!nested(63).is_too_deep());
        assert!(nested(64).is_too_deep());
    }
}
