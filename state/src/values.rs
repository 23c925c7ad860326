//! Representation of values in every database: words, addresses, results of steps.

use crate::misuse::Misuse;
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;
use terrace_store::access::Access;
use terrace_store::address::{Address, ComponentKey, MAX_LENGTH, StackId};
use terrace_store::{Ids, Row, RowStatus, Sealed, StepResult};

/// The text of an address. An address that cannot be parsed back is refused, before it could make the state unreadable.
pub(crate) fn address(address: &Address) -> Result<String, Misuse> {
    let text = address.to_string();
    if text.len() > MAX_LENGTH {
        let length = text.len();
        return Err(Misuse(format!(
            "an address of {length} bytes cannot be recorded: at most {MAX_LENGTH} are allowed"
        )));
    }
    if text.parse().is_ok_and(|read: Address| read == *address) {
        Ok(text)
    } else {
        Err(Misuse(format!("`{text}` cannot be recorded: it is ambiguous as an address")))
    }
}

/// The word of an enumeration.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String, Misuse> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(other) => Err(not_a_word(&other)),
        Err(error) => Err(not_a_word(&error)),
    }
}

fn not_a_word(what: &dyn Display) -> Misuse {
    Misuse(format!("`{what}` is not a single word"))
}

/// A list as one column.
pub(crate) fn list<T: Serialize>(items: &[T]) -> Result<String, Misuse> {
    Ok(serde_json::to_string(items)?)
}

/// An access list as two columns: the principals, and the further fields, if any.
pub(crate) fn access(access: Option<&Access>) -> Result<(Option<String>, Option<String>), Misuse> {
    let Some(Access { principals, fields }) = access else { return Ok((None, None)) };
    let fields = (!fields.is_empty()).then(|| serde_json::to_string(fields)).transpose();
    Ok((Some(serde_json::to_string(principals)?), fields?))
}

/// The IDs of a component's descriptor, as one column.
pub(crate) fn ids(ids: Option<&Ids>) -> Result<Option<String>, Misuse> {
    Ok(ids.map(serde_json::to_string).transpose()?)
}

/// A duration as a column of microseconds.
pub(crate) fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A deposed key as a column.
pub(crate) fn deposed(key: Option<&str>) -> &str {
    key.unwrap_or_default()
}

/// The result of a step, as a word and an optional message.
pub(crate) fn of_step_result(result: &StepResult) -> (&'static str, Option<&str>) {
    match result {
        StepResult::Done => ("done", None),
        StepResult::Failed(message) => ("failed", Some(message)),
        StepResult::Recovered(message) => ("recovered", Some(message)),
    }
}

/// The result of a step from its columns.
pub(crate) fn step_result(word: &str, message: String) -> StepResult {
    match word {
        "failed" => StepResult::Failed(message),
        "recovered" => StepResult::Recovered(message),
        _ => StepResult::Done,
    }
}

/// An empty row to fill in.
pub(crate) fn blank() -> Row {
    Row {
        stack: StackId::new("", ""),
        address: Address { component: ComponentKey::STACK, ty: String::new(), name: String::new(), key: None },
        deposed: None,
        status: RowStatus::Ready,
        generation: 0,
        provider: String::new(),
        provider_version: None,
        schema_version: 0,
        identity: Sealed::default(),
        attributes: Sealed::default(),
        private: Vec::new(),
        dependencies: Vec::new(),
        lifecycle: String::new(),
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        operation: uuid::Uuid::nil(),
    }
}
