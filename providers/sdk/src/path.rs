//! Paths into attributes: `a.b[0]["k"].c`, and `*` for all attributes.

use crate::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// Into a list.
    Index(usize),
    /// Into a map.
    Key(String),
}

/// A path from a resource's attributes to a value. The empty path covers all attributes and is written `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Path(pub Vec<Step>);

/// A text that is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a path: expected the form `a.b[0][\"key\"].c`")]
pub struct PathError {
    text: String,
}

impl Path {
    /// The path of one attribute.
    #[must_use]
    pub fn attribute(name: &str) -> Self {
        Self(vec![Step::Key(name.to_owned())])
    }

    /// This path with one more step.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The path to an entry of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.join(Step::Key(key.to_owned()))
    }

    /// The path to an item of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.join(Step::Index(index))
    }

    /// The first attribute of the path.
    #[must_use]
    pub fn first_key(&self) -> Option<&str> {
        match self.0.first() {
            Some(Step::Key(name)) => Some(name),
            _ => None,
        }
    }

    /// True when `other` lies at or below this path.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The value at this path.
    #[must_use]
    pub fn get<'a>(&self, attributes: &'a Map) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let Step::Key(name) = first else { return None };
        rest.iter().try_fold(attributes.get(name)?, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.as_list()?.get(*index),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("*");
        }
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_identifier(key) => write!(f, "{}{key}", if position == 0 { "" } else { "." })?,
                Step::Key(key) => write!(f, "[{}]", serde_json::Value::from(key.as_str()))?,
            }
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = || PathError { text: text.to_owned() };
        if text == "*" {
            return Ok(Self::default());
        }
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (step, after) = parse_bracket(inner).ok_or_else(error)?;
                steps.push(step);
                rest = after;
                continue;
            }
            let name = match rest.strip_prefix('.') {
                Some(after) if !steps.is_empty() => after,
                Some(_) => return Err(error()),
                None if steps.is_empty() => rest,
                None => return Err(error()),
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (key, after) = name.split_at(end);
            if key.is_empty() {
                return Err(error());
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
        if steps.is_empty() { Err(error()) } else { Ok(Self(steps)) }
    }
}

/// True for names that need no quotes after a dot.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Reads the text after `[`: an index or a JSON string, and the closing bracket.
fn parse_bracket(inner: &str) -> Option<(Step, &str)> {
    if inner.starts_with('"') {
        let mut stream = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let key = stream.next()?.ok()?;
        let after = inner.get(stream.byte_offset()..)?.strip_prefix(']')?;
        return Some((Step::Key(key), after));
    }
    let (digits, after) = inner.split_once(']')?;
    Some((Step::Index(digits.parse().ok()?), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_round_trip_through_their_text() {
        for text in ["*", "a", "a.b[0][\"k x\"].c", "columns[3].name", "a[\"quote \\\" and ] bracket\"]"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_path_is_refused() {
        for text in ["", ".a", "a.", "a..b", "a[", "a[x]", "a[\"x\"", "a[0]b"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
