//! Messages for failed evaluations, for the author of the expression. They never quote sensitive values.

use super::budget::{self, Exceeded, TooDeep};
use super::reference::Missing;
use super::variable::Use;
use cel::ExecutionError;
use terrace_provider::path::is_identifier;

/// The error of a failed evaluation.
#[derive(Debug)]
pub(super) struct Failure {
    /// The message.
    pub(super) message: String,
    /// The remedy.
    pub(super) hint: Option<String>,
}

const COUNTED: &str = "`size(…)` returns the number of items";
const DIVISOR: &str = "check the divisor first: `b == 0 ? 0 : a / b`";

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<Exceeded> for Failure {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(exceeded.to_string()).hint(exceeded.hint())
    }
}

impl From<TooDeep> for Failure {
    fn from(too_deep: TooDeep) -> Self {
        Self::new(too_deep.to_string()).hint(too_deep.hint())
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        Self { message: missing.message, hint: missing.hint }
    }
}

/// Converts CEL's error to a message. Quotes values only if no sensitive value was read.
pub(super) fn describe(
    error: &ExecutionError,
    missing: impl Fn(usize) -> Option<Missing>,
    is_sensitive: bool,
) -> Failure {
    match error {
        ExecutionError::UndeclaredReference(name) => match Use::parse(name) {
            Some(Use::Value(number) | Use::Presence(number) | Use::Optional(number, _)) => {
                missing(number).map_or_else(|| Failure::new("a path does not exist"), Failure::from)
            }
            None => Failure::new(format!("there is no `{name}`")),
        },
        ExecutionError::NoSuchKey(_) if is_sensitive => Failure::new("there is no such key"),
        ExecutionError::NoSuchKey(key) => {
            let is_name = is_identifier(key) && !key.contains('-');
            let test = if is_name { format!("has(value.{key})") } else { format!("{key:?} in value") };
            Failure::new(format!("there is no key `{key}`")).hint(format!("`{test}` tests for it"))
        }
        ExecutionError::IndexOutOfBounds(cel::Value::Int(index)) if !is_sensitive => {
            Failure::new(format!("the list has no item at {index} (the first is at 0)")).hint(COUNTED)
        }
        ExecutionError::IndexOutOfBounds(_) => {
            Failure::new("the list has no such item (the first is at 0)").hint(COUNTED)
        }
        ExecutionError::DivisionByZero(_) => Failure::new("division by zero").hint(DIVISOR),
        ExecutionError::RemainderByZero(_) => Failure::new("the remainder of a division by zero").hint(DIVISOR),
        ExecutionError::Overflow(..) => Failure::new("the result does not fit into 64 bits"),
        ExecutionError::NoSuchOverload(overload) => mismatch(overload.function(), overload.argument_types()),
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            mismatch(operator, &[left.type_of().to_string(), right.type_of().to_string()])
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            mismatch("compare", &[left.type_of().to_string(), right.type_of().to_string()])
        }
        ExecutionError::UnexpectedType { want, .. } => {
            Failure::new(format!("a value has the wrong type: expected {}", type_name(want)))
        }
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            Failure::new(format!("a function takes {expected} arguments, but got {actual}"))
        }
        ExecutionError::UnsupportedKeyType(_) => {
            Failure::new("a value cannot be a key").hint("keys are text, whole numbers or true/false")
        }
        ExecutionError::DuplicateKey(_) => Failure::new("a map has the same key twice").hint("remove one of them"),
        ExecutionError::FunctionError { function, message } if function == budget::NAME => {
            Failure::new(message.clone()).hint(Exceeded::Evaluation.hint())
        }
        ExecutionError::FunctionError { function, message } if function == budget::TOTAL_NAME => {
            Failure::new(message.clone()).hint(Exceeded::Stack.hint())
        }
        ExecutionError::FunctionError { function, .. } if is_sensitive => {
            Failure::new(format!("`{function}` does not accept its arguments"))
                .hint("the details are hidden because an argument is sensitive")
        }
        ExecutionError::FunctionError { function, message } => Failure::new(format!("`{function}`: {message}")),
        _ => Failure::new("the expression has no value"),
    }
}

/// The failure of an operator or function that does not support the given types.
fn mismatch(function: &str, types: &[String]) -> Failure {
    let has = |name: &str| types.iter().any(|ty| ty == name);
    let is_mixed = has("int") && has("uint");
    let name = |ty: &'_ String| match ty.as_str() {
        "int" if is_mixed => "a signed whole number".to_owned(),
        ty => type_name(ty).to_owned(),
    };
    let names: Vec<String> = types.iter().map(name).collect();
    let sign = function.trim_matches('_').trim_start_matches('@');
    let sign = match sign {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other,
    };
    let message = match names.as_slice() {
        [] => format!("`{sign}` is called without arguments"),
        [left, right] => format!("`{sign}` cannot be used with {left} and {right}"),
        _ => format!("`{sign}` cannot be used with {}", names.join(", ")),
    };
    let failure = Failure::new(message);
    if is_mixed {
        return failure.hint("convert it with `int(…)`: plain numbers are signed");
    }
    if has("int") && (has("double") || has("float")) {
        return failure.hint("`double(…)` converts a whole number to a decimal one, `int(…)` the reverse");
    }
    if has("string") && (has("int") || has("double") || has("float") || has("bool")) {
        return failure.hint("`string(…)` converts it to text, `int(…)` and `double(…)` convert text to a number");
    }
    failure
}

/// The name of a CEL type in messages.
fn type_name(name: &str) -> &str {
    match name {
        "string" => "text",
        "int" => "a whole number",
        "uint" => "an unsigned whole number",
        "double" | "float" => "a decimal number",
        "bool" => "true/false",
        "list" => "a list",
        "map" => "a map",
        "null" | "null_type" => "null",
        other => other,
    }
}
