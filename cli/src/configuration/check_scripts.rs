//! Refusal of names that mix scripts.

use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::source::Span;
use terrace_provider::names::scripts::{ONE_SCRIPT, check_principal_scripts};

/// Refuses a role or a principal whose name mixes scripts.
pub(super) fn check_scripts(what: &str, name: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) {
    if let Err(problem) = check_principal_scripts(name) {
        let message = format!("the {what} `{name}` {problem}");
        diagnostics.push(Diagnostic::error("mixed_scripts", message).at(span).hint(ONE_SCRIPT));
    }
}
