//! Triggers that replace all instances of a declaration.

use super::super::{Change, triggers};
use super::Walk;
use terrace_language::address::InstanceKey;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::graph::Block;
use terrace_language::typecheck;

impl Walk<'_, '_> {
    /// The entries of a declaration's `replaceTriggeredBy` that fire, as written; `None` after an error.
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
            let is_triggering = |change: &Change| triggers::is_triggering(change, &path);
            let is_target = |of: Option<&InstanceKey>| key.is_none() || of == key.as_ref();
            // A shared resource may have been planned by another component or stack.
            let is_triggered = match part.shared.get(&trigger.name) {
                Some(shared) => shared
                    .iter()
                    .filter(|(key, _)| is_target(key.as_ref()))
                    .filter_map(|(_, address)| self.shared.change(address))
                    .any(is_triggering),
                None => part
                    .changes
                    .get(&trigger.name)
                    .and_then(|range| self.changes.get(range.clone()))
                    .unwrap_or_default()
                    .iter()
                    .filter(|change| is_target(change.address.key.as_ref()))
                    .any(is_triggering),
            };
            if is_triggered {
                triggered.push(trigger.text.clone());
            }
        }
        (diagnostics.len() == before).then_some(triggered)
    }
}
