//! The JSON object that a program receives, and the JSON object that it prints.

use crate::project::invalid;
use crate::resources::attributes::given;
use serde_json::json;
use terrace_provider::value::DEEPEST;
use terrace_provider::{Attributes, ProviderError, Value};

/// The standard input of a program.
pub(super) struct ProgramInput<'a> {
    address: &'a str,
    input: Option<&'a Value>,
    recorded: Option<&'a Attributes>,
}

impl<'a> ProgramInput<'a> {
    /// Creates the input for the object at an address, from its attributes and its recorded attributes.
    pub(super) fn of(address: &'a str, attributes: &'a Attributes, recorded: Option<&'a Attributes>) -> Self {
        Self { address, input: given(attributes, "input"), recorded }
    }

    /// Serializes the input. Sensitive values are in plain text because the program belongs to the provider.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let clear = |value: Option<&Value>| value.map_or(serde_json::Value::Null, Value::to_revealed_json);
        let output = clear(self.recorded.and_then(|recorded| given(recorded, "output")));
        let prior =
            self.recorded.map(|recorded| json!({"input": clear(given(recorded, "input")), "output": output.clone()}));
        let program_input =
            json!({"address": self.address, "input": clear(self.input), "prior": prior, "output": output});
        format!("{program_input}\n").into_bytes()
    }
}

/// The answer of `read` and `find`.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// `null`: the object does not exist.
    Absent,
    /// The object.
    Object(Value),
}

/// The standard output of a program that ended successfully.
pub(super) struct Printed(pub(super) Vec<u8>);

impl Printed {
    /// Parses the object that `create` and `update` must print.
    ///
    /// # Errors
    ///
    /// If the output is not one JSON object.
    pub(super) fn object(&self, program: &str) -> Result<Value, ProviderError> {
        match self.parse(program, "one JSON object", "print the object, `{}` at least")? {
            object @ serde_json::Value::Object(_) => self.exact(program, object),
            other => Err(unexpected(program, kind(&other), "one JSON object")),
        }
    }

    /// Parses the object or `null` that `read` and `find` must print.
    ///
    /// # Errors
    ///
    /// If the output is anything else.
    pub(super) fn answer(&self, program: &str) -> Result<Answer, ProviderError> {
        match self.parse(program, "one JSON object or `null`", "print `null` if the object does not exist")? {
            serde_json::Value::Null => Ok(Answer::Absent),
            object @ serde_json::Value::Object(_) => self.exact(program, object).map(Answer::Object),
            other => Err(unexpected(program, kind(&other), "one JSON object or `null`")),
        }
    }

    /// Converts the parsed value, with its numbers exactly as printed.
    fn exact(&self, program: &str, parsed: serde_json::Value) -> Result<Value, ProviderError> {
        let text = std::str::from_utf8(&self.0).ok();
        let value = text.and_then(Value::from_json_text).unwrap_or_else(|| parsed.into());
        if value.is_too_deep() {
            return Err(invalid(
                program,
                format!("`{program}` printed lists and maps nested more than {DEEPEST} levels deep"),
            )
            .solution("print less, or print a part of it as a text"));
        }
        Ok(value)
    }

    fn parse(&self, program: &str, expected: &str, hint: &str) -> Result<serde_json::Value, ProviderError> {
        if self.0.iter().all(u8::is_ascii_whitespace) {
            return Err(not_printed(program, "nothing", expected).solution(hint));
        }
        // The error does not quote the output: it may contain a secret.
        serde_json::from_slice(&self.0)
            .map_err(|error| unexpected(program, "invalid JSON", expected).problem(error.to_string()))
    }
}

fn kind(json: &serde_json::Value) -> &'static str {
    match json {
        serde_json::Value::Null => "`null`",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a text",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

fn unexpected(program: &str, printed: &str, expected: &str) -> ProviderError {
    not_printed(program, printed, expected).solution("print messages for people on standard error")
}

fn not_printed(program: &str, printed: &str, expected: &str) -> ProviderError {
    invalid(program, format!("`{program}` printed {printed} on its standard output: expected {expected}"))
}
