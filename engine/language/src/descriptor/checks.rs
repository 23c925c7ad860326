//! Reading of `checks`: conditions of a resource, before or after its step, and of a stack.

use super::templates::{compile, required_plain_text};
use super::{Check, CheckTime};
use crate::decode::Fields;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use crate::yaml::Node;
use std::sync::Arc;

/// Reads one check of a resource.
pub(super) fn read_resource_check(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Check> {
    let mut fields = Fields::open(node, "a check", diagnostics)?;
    let is_given = fields.required("when").is_some();
    let when = fields.word("when", &[("pre", CheckTime::Pre), ("post", CheckTime::Post)]);
    let check = read_rest(fields, sources, when.unwrap_or(CheckTime::Pre));
    check.filter(|_| is_given && when.is_some())
}

/// Reads one check of a stack.
pub(super) fn read_stack_check(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Check> {
    let fields = Fields::open(node, "a check", diagnostics)?;
    read_rest(fields, sources, CheckTime::Post)
}

fn read_rest(mut fields: Fields<'_, '_>, sources: &Sources, when: CheckTime) -> Option<Check> {
    let assert = fields.required("assert").map(|entry| compile(&entry.value, sources, fields.diagnostics));
    let error = required_plain_text(&mut fields, "error");
    fields.finish();
    Some(Check { when, assert: Arc::new(assert?), error: error? })
}

/// The reason of a check that failed because it could not be evaluated.
pub fn undecided(problem: &str) -> String {
    format!("the check could not be decided: {problem}")
}
