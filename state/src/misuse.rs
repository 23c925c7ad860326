//! Reasons why a store refuses a record.

use terrace_store::address::StackId;
use uuid::Uuid;

/// The reason why a value cannot be recorded.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl From<serde_json::Error> for Misuse {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn still_in_use(stack: &StackId, component: &str) -> String {
    format!("component `{component}` of {stack} still has recorded objects")
}

pub(crate) fn never_begun(operation: Uuid) -> String {
    format!("operation {operation} was never begun")
}

pub(crate) fn begun_twice(operation: Uuid) -> String {
    format!("operation {operation} was begun before")
}

pub(crate) fn of_no_stack(operation: Uuid) -> String {
    format!("the request {operation} is about no stack")
}

pub(crate) fn opened_twice(operation: Uuid, step: u32) -> String {
    format!("step {step} of operation {operation} was opened before")
}

pub(crate) fn not_open(operation: Uuid, step: u32) -> String {
    format!("step {step} of operation {operation} is not open")
}
