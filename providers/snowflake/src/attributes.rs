//! Reading attributes that the schema has checked already.

use terrace_provider::{Map, Value};

/// A text; `None` when the attribute is absent, unknown or something else.
pub(crate) fn optional_text(attributes: &Map, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// A text that the schema requires; empty when it is absent, which every check of names refuses.
pub(crate) fn text(attributes: &Map, name: &str) -> String {
    optional_text(attributes, name).unwrap_or_default()
}

/// True or false; false when it is absent.
pub(crate) fn flag(attributes: &Map, name: &str) -> bool {
    attributes.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A list of texts; empty when the attribute is absent.
pub(crate) fn texts(attributes: &Map, name: &str) -> Vec<String> {
    texts_of(attributes.get(name))
}

/// The texts of a list value.
pub(crate) fn texts_of(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Texts as a list value.
pub(crate) fn list(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| text.as_str().into()).collect())
}

/// Names in words, for messages: `A`, `B` and 3 more.
pub(crate) fn in_words(names: &[String]) -> String {
    const MOST: usize = 40;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(MOST) {
        0 if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The name that a person probably meant.
pub(crate) fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
