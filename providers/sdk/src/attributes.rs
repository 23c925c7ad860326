//! Reads attributes that the schema has already checked, and builds them. For providers whose calls take texts.

use crate::{Attributes, Map, Value};

/// A text; `None` if the attribute is absent, unknown or not a text.
#[must_use]
pub fn optional_text(attributes: &Map, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// A required text; empty if it is absent. Name checks refuse an empty name.
#[must_use]
pub fn text(attributes: &Map, name: &str) -> String {
    optional_text(attributes, name).unwrap_or_default()
}

/// True or false; false if the attribute is absent.
#[must_use]
pub fn flag(attributes: &Map, name: &str) -> bool {
    attributes.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A list of texts; empty if the attribute is absent.
#[must_use]
pub fn texts(attributes: &Map, name: &str) -> Vec<String> {
    texts_of(attributes.get(name))
}

/// The texts of a list value.
#[must_use]
pub fn texts_of(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Texts as a list value.
#[must_use]
pub fn list<T: AsRef<str>>(texts: &[T]) -> Value {
    Value::List(texts.iter().map(|text| text.as_ref().into()).collect())
}

/// Attributes by name.
#[must_use]
pub fn attributes<const N: usize>(entries: [(&str, Value); N]) -> Attributes {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_ignore_absent_unknown_and_other_values() {
        let some = attributes([("a", "x".into()), ("b", Value::Unknown), ("c", true.into()), ("d", list(&["y", "z"]))]);
        let texts_there = ["a", "b", "c", "e"].map(|name| optional_text(&some, name));
        assert_eq!(texts_there, [Some("x".to_owned()), None, None, None]);
        assert_eq!((text(&some, "b"), flag(&some, "c"), flag(&some, "a")), (String::new(), true, false));
        assert_eq!((texts(&some, "d"), texts(&some, "a")), (vec!["y".to_owned(), "z".to_owned()], Vec::new()));
    }
}
