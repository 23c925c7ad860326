//! Values that become sensitive with this plan. The plan hides them already, even if the state holds them in plain text.

use super::Change;
use crate::diagnostic::Diagnostic;
use crate::marks;
use crate::record::Prior;
use crate::source::Span;
use terrace_provider::{Attributes, Path, Value};

impl Prior {
    /// Hides the values that are sensitive in the planned object. Returns the attributes that keep their values and become
    /// sensitive. An adopted object has no marks yet.
    pub(super) fn hide(&mut self, planned: &Attributes, is_adopted: bool) -> Vec<Path> {
        let added = marks::newly_marked(&self.attributes, planned);
        let has_sensitive = |attributes: &Attributes| attributes.values().any(Value::has_sensitive);
        if has_sensitive(planned) {
            let hidden = if is_adopted { marks::mark_attributes_like } else { marks::add_attribute_marks };
            self.attributes = hidden(&self.attributes, planned);
            self.recorded = self.recorded.take().map(|recorded| hidden(&recorded, planned));
        }
        if has_sensitive(&self.attributes) {
            self.identity = marks::mark_attributes_like(&self.identity, &self.attributes);
        }
        added
    }
}

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
