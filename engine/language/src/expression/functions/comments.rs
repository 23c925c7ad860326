//! Comments of database objects: `sqlComment`.

use super::arguments::{text, two};
use std::borrow::Cow;
use terrace_provider::Value;

/// `sqlComment(description, tags)`: returns the description, followed by `tags: PII, Tier=1`; null without both.
pub(super) fn sql_comment(arguments: &[Cow<'_, Value>]) -> Result<Value, String> {
    let [description, tags] = two(arguments)?;
    comment(description, tags)
}

/// Builds a comment from description and tags.
pub(super) fn comment(description: &Value, tags: &Value) -> Result<Value, String> {
    let description = match description {
        Value::Null => "",
        description => text(description)?,
    };
    let tags = match tags {
        Value::Null => Vec::new(),
        Value::List(tags) => tags.iter().map(tag).collect::<Result<_, _>>()?,
        other => return Err(format!("expected a list of tags, found {}", other.kind())),
    };
    let tags = if tags.is_empty() { String::new() } else { format!("tags: {}", tags.join(", ")) };
    Ok(match (description.is_empty(), tags.is_empty()) {
        (true, true) => Value::Null,
        (false, true) => description.into(),
        (true, false) => tags.into(),
        (false, false) => format!("{description}\n{tags}").into(),
    })
}

/// Prints a tag of the catalogue: `{tagFQN: PII}`, optionally with a `value`.
fn tag(tag: &Value) -> Result<String, String> {
    let entries = tag.as_map().ok_or_else(|| format!("expected a tag as a map with `tagFQN`, found {}", tag.kind()))?;
    let name = text(entries.get("tagFQN").ok_or("a tag without `tagFQN`")?)?;
    Ok(match entries.get("value") {
        None | Some(Value::Null) => name.to_owned(),
        Some(Value::String(value)) => format!("{name}={value}"),
        Some(Value::Bool(value)) => format!("{name}={value}"),
        Some(Value::Int(value)) => format!("{name}={value}"),
        Some(Value::Number(value)) => format!("{name}={value}"),
        Some(other) => return Err(format!("expected the value of the tag `{name}` as text, found {}", other.kind())),
    })
}
