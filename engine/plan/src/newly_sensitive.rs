//! Values that become sensitive with this plan. The plan hides them already, even if the state holds them in plain text.

use super::Change;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::source::Span;

/// Notes that a change only records more sensitive attributes.
pub(super) fn note(change: &Change, address: &str, span: Span) -> Option<Diagnostic> {
    let after = change.after.as_ref().filter(|_| change.is_newly_sensitive())?;
    let names: Vec<String> = after.newly_sensitive.iter().map(|path| format!("`{path}`")).collect();
    let are = if names.len() == 1 { "is" } else { "are" };
    let message =
        format!("{} of {} {are} sensitive now; apply marks the stored values", names.join(", "), change.address);
    let hint = "after the apply, `terrace state prune --keep 0s` removes the plain-text values, with all history";
    Some(Diagnostic::note("sensitive_now", message).at(span).about(address).hint(hint))
}
