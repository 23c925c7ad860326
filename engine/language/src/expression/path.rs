//! Paths: their printing, their parsing without CEL, and their resolution in values.
//!
//! Many expressions are only a path. They never reach CEL: their values are returned as they are, so that 100,000 of
//! them cost next to nothing.

use super::{Missing, Reference, ReferenceStep, Scope};
use crate::diagnostic::did_you_mean;
use std::borrow::Cow;
use std::fmt;
use terrace_provider::Value;
use terrace_provider::path::is_identifier;

/// Reserved words of CEL, and names of its types. No path starts with them.
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

/// True for names of CEL's types, which are not variables.
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

/// Parses a text that is a single path: `resources.part["x"].columns[0]`, `resources.a[each.key].output`. Returns
/// `None` for any other text, which CEL's parser handles.
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

    /// Parses the content of brackets, and the closing bracket.
    fn bracket(&mut self) -> Option<ReferenceStep> {
        let first = self.rest.chars().next()?;
        let step = if first == '"' || first == '\'' {
            let inner = self.rest.get(1..)?;
            let (key, after) = inner.split_once(first)?;
            // CEL's parser handles escapes and triple quotes.
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

/// The value of a path.
pub(super) struct Read<'a> {
    /// The value.
    pub(super) value: Cow<'a, Value>,
    /// True when a step of the path is sensitive, which makes the value sensitive.
    pub(super) is_key_sensitive: bool,
}

impl Reference {
    /// Reads the value at this path.
    ///
    /// # Errors
    /// When the path does not exist. The message quotes no sensitive step.
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
                let message = format!("`{self}` does not exist: there is no such key");
                Err(Missing { message, hint: None, is_sensitive: true, ..missing })
            }
            Err(missing) => Err(missing),
        }
    }
}

/// A step whose path was evaluated.
pub(super) enum Resolved {
    /// The step, and whether it is sensitive.
    Step(ReferenceStep, bool),
    /// A step that is known only after apply, and whether it is sensitive.
    Unknown(bool),
}

impl ReferenceStep {
    /// Evaluates the path in a step, if it has one.
    ///
    /// # Errors
    /// When that path does not exist, or its value cannot be a key.
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

/// Follows steps from a value. Below an unknown value everything is unknown; below a sensitive value everything is
/// sensitive. `from` is the path of the value, for messages. Whole numbers are also keys of maps (`resources.part[0]`).
///
/// # Errors
/// When a step does not exist; the message contains the existing part of the path.
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
            let existing = steps
                .get(..done)
                .unwrap_or_default()
                .iter()
                .fold(from.to_owned(), |path, step| format!("{path}{step}"));
            return Err(missing(value, &existing, step, is_sensitive).with_resolved_steps(done));
        };
        value = next;
    }
    Ok(match value {
        marked @ Value::Sensitive(_) => Cow::Borrowed(marked),
        plain if is_sensitive => Cow::Owned(Value::sensitive(plain.clone())),
        plain => Cow::Borrowed(plain),
    })
}

fn missing(value: &Value, existing: &str, step: &ReferenceStep, is_sensitive: bool) -> Missing {
    let (message, hint) = match (value.exposed(), step) {
        (Value::Map(entries), ReferenceStep::Key(key)) => {
            // The keys of a sensitive map are as secret as its values.
            let hint = if is_sensitive { None } else { did_you_mean(key, entries.keys().map(String::as_str)) };
            (format!("`{existing}` has no `{key}`"), hint)
        }
        (Value::Map(_), _) => (format!("`{existing}` has no entry `{step}`"), None),
        (Value::List(items), ReferenceStep::Index(index)) if !is_sensitive => {
            (format!("`{existing}` has {} items, none at {index} (the first is at 0)", items.len()), None)
        }
        (Value::List(_), ReferenceStep::Key(key)) => (
            format!("`{existing}` is a list and has no `{key}`"),
            Some(format!("select an item (`{existing}[0].{key}`) or all of them (`{existing}.map(item, item.{key})`)")),
        ),
        (Value::Null, _) => (format!("`{existing}` is null, so there is no `{existing}{step}`"), None),
        (other, _) => (format!("`{existing}` is {}, so there is no `{existing}{step}`", other.kind()), None),
    };
    Missing { is_sensitive, ..Missing::new(message).hint(hint) }
}

#[cfg(test)]
mod tests;
