//! What triggers a replacement of all instances of a declaration.

use super::super::{Change, triggers, typecheck};
use super::Walk;
use crate::descriptor::ResourceDeclaration;
use crate::diagnostic::Diagnostic;
use crate::graph::Block;

impl Walk<'_, '_> {
    /// What of a declaration's `replaceTriggeredBy` changes, as written; `None` when that cannot be told.
    pub(super) fn triggered_by(
        &self,
        block: Block,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Vec<String>> {
        let part = self.parts.get(block.component)?;
        let mut triggered = Vec::new();
        let before = diagnostics.len();
        for trigger in &declaration.replace_triggered_by {
            let Some(value) = part.values.get(&trigger.name) else { continue };
            let (key, path) = match triggers::target(trigger, value) {
                Ok(target) => target,
                Err(diagnostic) => {
                    diagnostics.push(*diagnostic);
                    continue;
                }
            };
            let named =
                part.names.get(trigger.name.as_str()).and_then(|at| part.component.declarations.resources.get(*at));
            if let Some((_, ty)) = named.and_then(|named| self.planner.registry.resource_type(&named.ty.value))
                && !typecheck::check_path(ty.name, &ty.attributes, &path, trigger.span, diagnostics)
            {
                continue;
            }
            // A shared resource may have been planned with another component.
            let changes = match part.shared.get(&trigger.name).and_then(|address| self.shared_changes.get(address)) {
                Some(at) => self.changes.get(*at..=*at),
                None => part.changes.get(&trigger.name).and_then(|range| self.changes.get(range.clone())),
            };
            let is_meant = |change: &&Change| key.is_none() || change.address.key == key;
            let mut changes = changes.unwrap_or_default().iter().filter(is_meant);
            if changes.any(|change| triggers::is_triggering(change, &path)) {
                triggered.push(trigger.text.clone());
            }
        }
        (diagnostics.len() == before).then_some(triggered)
    }
}
