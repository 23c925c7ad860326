//! Evaluates checks while planning; the plan carries those with unknown values for apply to evaluate.

use super::{CheckStatus, Deferred, PlannedCheck};
use std::sync::Arc;
use terrace_language::address::ComponentKey;
use terrace_language::descriptor::Check;
use terrace_language::descriptor::checks::undecided;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{Functions, Scope};
use terrace_language::scope::KEPT_ROOTS;
use terrace_language::source::Sources;
use terrace_provider::Value;

/// Evaluates a check in the scope of a component. An error of the evaluation fails the check.
pub(super) fn plan(
    check: &Check,
    component: &ComponentKey,
    scope: &dyn Scope,
    functions: &Functions,
    sources: &Sources,
) -> PlannedCheck {
    let (mut status, mut problem) = match check.assert.evaluate(scope, functions) {
        Ok(value) => decide(&value),
        Err(found) => (CheckStatus::Error, found.into_iter().next().map(|diagnostic| diagnostic.message)),
    };
    let mut deferred = None;
    if status == CheckStatus::Unknown {
        match check.assert.capture(scope, KEPT_ROOTS) {
            Ok(captured) => {
                deferred = Some(Deferred {
                    component: component.clone(),
                    template: Arc::clone(&check.assert),
                    captured: Arc::new(captured),
                });
            }
            Err(found) => {
                status = CheckStatus::Error;
                problem = found.into_iter().next().map(|diagnostic| diagnostic.message);
            }
        }
    }
    let place = sources.place(check.assert.span);
    PlannedCheck { when: check.when, error: check.error.clone(), place, status, problem, deferred }
}

/// The status for the value of a condition.
pub fn decide(value: &Value) -> (CheckStatus, Option<String>) {
    match value.exposed() {
        Value::Bool(true) => (CheckStatus::Pass, None),
        Value::Bool(false) => (CheckStatus::Fail, None),
        Value::Unknown => (CheckStatus::Unknown, None),
        other => (CheckStatus::Error, Some(format!("it has to be true or false, and is {}", other.kind()))),
    }
}

/// The diagnostic of a check that failed while planning; `about` precedes the check's own text.
pub(super) fn failure_diagnostic(check: &Check, planned: &PlannedCheck, about: &str) -> Option<Diagnostic> {
    let is_failed = matches!(planned.status, CheckStatus::Fail | CheckStatus::Error);
    let diagnostic = || Diagnostic::error("check_failed", format!("{about}: {}", check.error)).at(check.assert.span);
    is_failed.then(|| diagnostic().maybe_hint(planned.problem.as_deref().map(undecided)))
}
