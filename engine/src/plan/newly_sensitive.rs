//! Values that become sensitive with this plan: hidden in the plan already, also if the state holds them in the clear.

use super::{Change, Prior};
use crate::diagnostic::Diagnostic;
use crate::marks;
use crate::source::Span;
use terrace_provider::{Attributes, Path, Value};

impl Prior {
    /// Hides what is sensitive in the planned object, and tells which attributes stay as they are and are sensitive only
    /// from now on. What is taken over has no marks of its own: nobody said yet what of it is sensitive.
    pub(super) fn hide(&mut self, planned: &Attributes, is_adopted: bool) -> Vec<Path> {
        let added = marks::added(&self.attributes, planned);
        let has_sensitive = |attributes: &Attributes| attributes.values().any(Value::has_sensitive);
        if has_sensitive(planned) {
            let hidden = if is_adopted { marks::found_attributes } else { marks::beside_attributes };
            self.attributes = hidden(&self.attributes, planned);
            self.recorded = self.recorded.take().map(|recorded| hidden(&recorded, planned));
        }
        if has_sensitive(&self.attributes) {
            self.identity = marks::found_attributes(&self.identity, &self.attributes);
        }
        added
    }
}

/// Says that a change records what it leaves as it is, because more of it is sensitive.
pub(super) fn note(change: &Change, address: &str, span: Span) -> Option<Diagnostic> {
    let after = change.after.as_ref().filter(|_| change.is_newly_sensitive())?;
    let names: Vec<String> = after.newly_sensitive.iter().map(|path| format!("`{path}`")).collect();
    let are = if names.len() == 1 { "is" } else { "are" };
    let message = format!("{} of {} {are} sensitive now, which is recorded", names.join(", "), change.address);
    let hint = "what was recorded in the clear stays in the history until `terrace state prune` removes it";
    Some(Diagnostic::note("sensitive_now", message).at(span).about(address).hint(hint))
}
