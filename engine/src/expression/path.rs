//! Paths: printed, read without CEL's parser, and followed into values.
//!
//! A great many expressions are a path and nothing else. They never reach CEL: their values are handed over exactly
//! as they are, and 100,000 of them cost next to nothing.

use super::{Missing, Reference, ReferenceStep, Scope};
use crate::diagnostic::did_you_mean;
use std::borrow::Cow;
use std::fmt;
use terrace_provider::Value;
use terrace_provider::path::is_identifier;

/// Words that CEL keeps for itself, or that name one of its types: no variable begins a path with them.
const RESERVED: [&str; 33] = [
    "as",
    "bool",
    "break",
    "bytes",
    "const",
    "continue",
    "double",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "int",
    "let",
    "list",
    "loop",
    "map",
    "math",
    "namespace",
    "null",
    "null_type",
    "optional",
    "package",
    "return",
    "string",
    "true",
    "type",
    "uint",
    "var",
    "void",
    "while",
];

/// True for words that name one of CEL's types, and are no variables where they stand alone.
pub(super) fn is_type_name(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "bytes"
            | "double"
            | "int"
            | "list"
            | "map"
            | "null_type"
            | "optional_type"
            | "string"
            | "type"
            | "uint"
    )
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        self.steps.iter().try_for_each(|step| step.fmt(f))
    }
}

impl fmt::Display for ReferenceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) if is_identifier(key) && !key.contains('-') => write!(f, ".{key}"),
            Self::Key(key) => write!(f, "[{}]", serde_json::Value::from(key.as_str())),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Path(inner) => write!(f, "[{inner}]"),
        }
    }
}

/// Reads a text that is one path: `resources.part["x"].columns[0]`, `resources.a[each.key].output`. `None` for
/// anything else, which CEL's parser is to judge.
pub(super) fn parse(text: &str) -> Option<Reference> {
    let mut reader = Reader { rest: text };
    let reference = reader.reference()?;
    reader.rest.is_empty().then_some(reference)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn reference(&mut self) -> Option<Reference> {
        let root = self.name().filter(|name| !RESERVED.contains(name))?.to_owned();
        let mut steps = Vec::new();
        loop {
            if self.take('.') {
                steps.push(ReferenceStep::Key(self.name()?.to_owned()));
            } else if self.take('[') {
                steps.push(self.bracket()?);
            } else {
                steps.shrink_to_fit();
                return Some(Reference { root, steps });
            }
        }
    }

    /// What stands between brackets, and the closing one.
    fn bracket(&mut self) -> Option<ReferenceStep> {
        let first = self.rest.chars().next()?;
        let step = if first == '"' || first == '\'' {
            let inner = self.rest.get(1..)?;
            let (key, after) = inner.split_once(first)?;
            // Escapes and triple quotes are CEL's to read.
            if key.contains(['\\', '\n']) || after.starts_with(first) {
                return None;
            }
            self.rest = after;
            ReferenceStep::Key(key.to_owned())
        } else if first.is_ascii_digit() {
            let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, after) = self.rest.split_at_checked(digits)?;
            self.rest = after;
            ReferenceStep::Index(number.parse().ok()?)
        } else {
            ReferenceStep::Path(Box::new(self.reference()?))
        };
        self.take(']').then_some(step)
    }

    fn name(&mut self) -> Option<&'a str> {
        let length =
            self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        let (name, after) = self.rest.split_at_checked(length)?;
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.rest = after;
        Some(name)
    }

    fn take(&mut self, symbol: char) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }
}

/// What a path says.
pub(super) struct Read<'a> {
    /// The value.
    pub(super) value: Cow<'a, Value>,
    /// True when a step that led there is sensitive: then the value is, too.
    pub(super) is_key_sensitive: bool,
}

impl Reference {
    /// Reads the value at this path.
    ///
    /// # Errors
    /// When the path leads nowhere. The message quotes no sensitive step.
    pub(super) fn read<'a>(&self, scope: &'a dyn Scope) -> Result<Read<'a>, Missing> {
        let Some(position) = self.steps.iter().position(|step| matches!(step, ReferenceStep::Path(_))) else {
            return Ok(Read { value: scope.resolve(&self.root, &self.steps)?, is_key_sensitive: false });
        };
        let (plain, computed) = self.steps.split_at_checked(position).unwrap_or((&self.steps, &[]));
        let mut steps = plain.to_vec();
        let mut is_key_sensitive = false;
        for step in computed {
            match step.resolved(scope)? {
                Resolved::Step(step, is_sensitive) => {
                    is_key_sensitive |= is_sensitive;
                    steps.push(step);
                }
                Resolved::Unknown(is_sensitive) => {
                    let is_key_sensitive = is_key_sensitive || is_sensitive;
                    return Ok(Read { value: Cow::Owned(Value::Unknown), is_key_sensitive });
                }
            }
        }
        match scope.resolve(&self.root, &steps) {
            Ok(value) => Ok(Read { value, is_key_sensitive }),
            Err(missing) if is_key_sensitive => {
                let message = format!("`{self}` leads nowhere: there is no such key");
                Err(Missing { message, hint: None, is_sensitive: true, ..missing })
            }
            Err(missing) => Err(missing),
        }
    }
}

/// A step after the path in it was read.
pub(super) enum Resolved {
    /// A plain step, and whether it is sensitive.
    Step(ReferenceStep, bool),
    /// Known after apply only, and whether it is sensitive.
    Unknown(bool),
}

impl ReferenceStep {
    /// The step with the path in it, if any, replaced by what that says.
    ///
    /// # Errors
    /// When that path leads nowhere, or to what is no key.
    pub(super) fn resolved(&self, scope: &dyn Scope) -> Result<Resolved, Missing> {
        let Self::Path(inner) = self else { return Ok(Resolved::Step(self.clone(), false)) };
        let read = inner.read(scope)?;
        let is_sensitive = read.is_key_sensitive || read.value.has_sensitive();
        match read.value.exposed() {
            Value::String(key) => Ok(Resolved::Step(Self::Key(key.clone()), is_sensitive)),
            Value::Int(index) => Ok(Resolved::Step(Self::Index(*index), is_sensitive)),
            Value::Unknown => Ok(Resolved::Unknown(is_sensitive)),
            other => Err(Missing::new(format!(
                "`[{inner}]` cannot be a key: expected text or a whole number, found {}",
                other.kind()
            ))),
        }
    }
}

/// Follows steps from a value: below the unknown everything is unknown, below the sensitive everything is sensitive.
/// `from` is the path of the value, for messages. Whole numbers are keys of maps, too (`resources.part[0]`).
///
/// # Errors
/// When the steps lead nowhere; the message says how far they led and what is there.
pub fn descend<'a>(value: &'a Value, from: &str, steps: &[ReferenceStep]) -> Result<Cow<'a, Value>, Missing> {
    let mut value = value;
    let mut is_sensitive = false;
    for (done, step) in steps.iter().enumerate() {
        is_sensitive |= matches!(value, Value::Sensitive(_));
        let next = match (value.exposed(), step) {
            (Value::Unknown, _) => {
                value = &Value::Unknown;
                break;
            }
            (Value::Map(entries), ReferenceStep::Key(key)) => entries.get(key),
            (Value::Map(entries), ReferenceStep::Index(index)) => entries.get(index.to_string().as_str()),
            (Value::List(items), ReferenceStep::Index(index)) => {
                usize::try_from(*index).ok().and_then(|index| items.get(index))
            }
            _ => None,
        };
        let Some(next) = next else {
            let led = steps
                .get(..done)
                .unwrap_or_default()
                .iter()
                .fold(from.to_owned(), |path, step| format!("{path}{step}"));
            return Err(missing(value, &led, step, is_sensitive).led(done));
        };
        value = next;
    }
    Ok(match value {
        marked @ Value::Sensitive(_) => Cow::Borrowed(marked),
        plain if is_sensitive => Cow::Owned(Value::sensitive(plain.clone())),
        plain => Cow::Borrowed(plain),
    })
}

fn missing(value: &Value, led: &str, step: &ReferenceStep, is_sensitive: bool) -> Missing {
    let (message, hint) = match (value.exposed(), step) {
        (Value::Map(entries), ReferenceStep::Key(key)) => {
            // The keys within a sensitive map are as secret as its values.
            let hint = if is_sensitive { None } else { did_you_mean(key, entries.keys().map(String::as_str)) };
            (format!("`{led}` has no `{key}`"), hint)
        }
        (Value::Map(_), _) => (format!("`{led}` has no entry `{step}`"), None),
        (Value::List(items), ReferenceStep::Index(index)) if !is_sensitive => {
            (format!("`{led}` has {} items, none at {index} (the first is at 0)", items.len()), None)
        }
        (Value::List(_), ReferenceStep::Key(key)) => (
            format!("`{led}` is a list and has no `{key}`"),
            Some(format!("take one item (`{led}[0].{key}`) or all of them (`{led}.map(item, item.{key})`)")),
        ),
        (Value::Null, _) => (format!("`{led}` is null, so there is no `{led}{step}`"), None),
        (other, _) => (format!("`{led}` is {}, so there is no `{led}{step}`", other.kind()), None),
    };
    Missing { is_sensitive, ..Missing::new(message).hint(hint) }
}

#[cfg(test)]
mod tests;
