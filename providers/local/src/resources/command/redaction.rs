//! Keeps sensitive values out of what a program printed for people.

use terrace_provider::{Attributes, Value};

const INSTEAD: &str = "(sensitive value)";

/// The texts that must not be shown, longest first.
#[derive(Default)]
pub(super) struct Redaction(Vec<String>);

impl Redaction {
    /// Everything in these attributes that carries a sensitive mark, and all of `secretEnvironment`.
    pub(super) fn of(attributes: &Attributes) -> Self {
        let mut texts = Vec::new();
        for (name, value) in attributes {
            collect(value, name == "secretEnvironment", &mut texts);
        }
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.dedup();
        Self(texts)
    }

    /// The text without them.
    pub(super) fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), INSTEAD))
    }
}

fn collect(value: &Value, is_marked: bool, texts: &mut Vec<String>) {
    let is_marked = is_marked || matches!(value, Value::Sensitive(_));
    match value.exposed() {
        Value::List(items) => items.iter().for_each(|item| collect(item, is_marked, texts)),
        Value::Map(entries) => entries.values().for_each(|item| collect(item, is_marked, texts)),
        Value::String(text) if is_marked => {
            // A program may print it as it got it in JSON, and one line of it (a key, a certificate) tells too much.
            let escaped = serde_json::Value::from(text.as_str()).to_string();
            let escaped = escaped.trim_matches('"');
            let parts = [text.as_str(), escaped].into_iter().chain(text.lines());
            texts.extend(parts.filter(|part| !part.trim().is_empty()).map(str::to_owned));
        }
        Value::Int(number) if is_marked => texts.push(number.to_string()),
        Value::Number(number) if is_marked => texts.push(number.as_str().to_owned()),
        _ => {}
    }
}
