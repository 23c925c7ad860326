//! How values are written down in every database: words, addresses, results of steps.

use serde::Serialize;
use std::fmt::Display;
use terrace_engine::access::Access;
use terrace_engine::address::{Address, LONGEST, StackId};
use terrace_engine::store::{Ids, Row, RowStatus, StepResult};

/// An address as it is written down: one that would not be read back as it was is refused, while that is still an error of
/// the caller and not yet an unreadable state.
pub(crate) fn address(address: &Address) -> Result<String, String> {
    let text = address.to_string();
    if text.len() > LONGEST {
        return Err(format!("an address of {} bytes cannot be recorded: {LONGEST} are the most", text.len()));
    }
    if text.parse().is_ok_and(|read: Address| read == *address) {
        Ok(text)
    } else {
        Err(format!("`{text}` cannot be recorded: it is ambiguous as an address"))
    }
}

/// A word of an enumeration.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String, String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(other) => Err(not_a_word(&other)),
        Err(error) => Err(not_a_word(&error)),
    }
}

fn not_a_word(what: &dyn Display) -> String {
    format!("`{what}` is not one word")
}

/// Who has access, as two columns: the principals, and what was said beside them if anything was.
pub(crate) fn access(access: Option<&Access>) -> Result<(Option<String>, Option<String>), String> {
    let Some(Access { principals, fields }) = access else { return Ok((None, None)) };
    let principals = serde_json::to_string(principals).map_err(|error| error.to_string())?;
    let fields = (!fields.is_empty()).then(|| serde_json::to_string(fields)).transpose();
    Ok((Some(principals), fields.map_err(|error| error.to_string())?))
}

/// The ids that a component was described by, as one column.
pub(crate) fn ids(ids: Option<&Ids>) -> Result<Option<String>, String> {
    ids.map(serde_json::to_string).transpose().map_err(|error| error.to_string())
}

/// How a step ended, as a word and what there is to say beside it.
pub(crate) fn of_step_result(result: &StepResult) -> (&'static str, Option<&str>) {
    match result {
        StepResult::Done => ("done", None),
        StepResult::Failed(message) => ("failed", Some(message)),
        StepResult::Recovered(message) => ("recovered", Some(message)),
    }
}

/// How a step ended.
pub(crate) fn step_result(word: &str, message: String) -> StepResult {
    match word {
        "failed" => StepResult::Failed(message),
        "recovered" => StepResult::Recovered(message),
        _ => StepResult::Done,
    }
}

/// A row to be filled in.
pub(crate) fn blank() -> Row {
    Row {
        stack: StackId::new("", ""),
        address: Address { component: String::new(), ty: String::new(), name: String::new(), key: None },
        deposed: None,
        status: RowStatus::Ready,
        generation: 0,
        provider: String::new(),
        provider_version: None,
        schema_version: 0,
        identity: String::new(),
        attributes: String::new(),
        private: Vec::new(),
        dependencies: Vec::new(),
        lifecycle: String::new(),
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        operation: uuid::Uuid::nil(),
    }
}

/// The stacks of which anything was ever recorded: those that were only asked about are rows, too.
pub(crate) const KNOWN_STACKS: &str = "SELECT name, environment FROM stack
     WHERE EXISTS (SELECT 1 FROM version WHERE version.stack = stack.id)
        OR EXISTS (SELECT 1 FROM component_version WHERE component_version.stack = stack.id)
        OR EXISTS (SELECT 1 FROM component WHERE component.stack = stack.id)
        OR EXISTS (SELECT 1 FROM intent WHERE intent.stack = stack.id)
        OR EXISTS (SELECT 1 FROM owner WHERE owner.stack = stack.id)
     ORDER BY name, environment";

/// The content columns of `version` and `intent`, in the order in which each store's `read::content` takes them.
macro_rules! content_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".status, ",
            $table,
            ".provider, ",
            $table,
            ".provider_version, ",
            $table,
            ".schema_version, ",
            $table,
            ".identity, ",
            $table,
            ".attributes, ",
            $table,
            ".private, ",
            $table,
            ".dependencies, ",
            $table,
            ".lifecycle"
        )
    };
}
pub(crate) use content_columns;
