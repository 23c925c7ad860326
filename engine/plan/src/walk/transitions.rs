//! Transitions of recorded objects: `moved`, `forget` and `imports` of the descriptor.

use super::Walk;
use crate::loaded::LoadedRow;
use crate::{Change, orphans};
use std::collections::BTreeSet;
use terrace_language::action::{Action, Reason};
use terrace_language::address::Address;
use terrace_language::compile::CompiledImport;
use terrace_language::compile::transitions::forgotten_but_declared;
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::{Diagnostic, did_you_mean};
use terrace_provider::schema::Timeouts;

impl Walk<'_, '_> {
    /// Reports an instance that is declared although it moved away or is to be forgotten. The compiler reports whole resources;
    /// instances are known only now.
    pub(super) fn check_not_gone(
        &self,
        declaration: &ResourceDeclaration,
        address: &Address,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let transitions = &self.compiled.transitions;
        // An object that moves itself frees its address for the declared one.
        let stated = transitions.moves.next(address).filter(|(entry, _)| !transitions.moves.is_final(entry));
        if let Some((entry, to)) = stated {
            diagnostics.push(
                Diagnostic::error("moved_and_declared", format!("`{address}` moved to `{to}` and is still declared"))
                    .at(entry.from.span)
                    .at_with(declaration.name.span, "declared here")
                    .hint("remove the instance, or this item of `moved`"),
            );
        }
        if let Some(forgotten) = transitions.forget.iter().find(|forgotten| forgotten.value.covers(address)) {
            diagnostics.push(forgotten_but_declared(forgotten, declaration.name.span));
        }
    }

    /// Takes the import of an address, which counts as planned then.
    pub(super) fn take_import(&mut self, address: &Address) -> Option<CompiledImport> {
        let import = self.compiled.transitions.imports.get(address).cloned()?;
        self.imported.insert(address.clone());
        Some(import)
    }

    /// The change of an undeclared row that is to be forgotten: the row is removed and its object stays.
    pub(super) fn forgotten(&self, address: &Address, row: LoadedRow, in_doubt: Option<String>) -> Change {
        let action = if in_doubt.is_some() { Action::NoOp } else { Action::Forget };
        let reason = if row.is_gone { Reason::Gone } else { Reason::Forgotten };
        orphans::removal(address, row, action, reason, Timeouts::default(), in_doubt)
    }

    pub(super) fn is_forgotten(&self, address: &Address) -> bool {
        self.compiled.transitions.forget.iter().any(|forgotten| forgotten.value.covers(address))
    }

    /// Reports imports of undeclared resources within the plan.
    pub(super) fn check_imports(&self, diagnostics: &mut Vec<Diagnostic>) {
        let is_covered = |address: &Address| self.targeting.covers(address) && !self.is_deferred(address);
        let imports = self.compiled.transitions.imports.iter();
        let left: Vec<_> =
            imports.filter(|(address, _)| !self.imported.contains(*address) && is_covered(address)).collect();
        if left.is_empty() {
            return;
        }
        let known: BTreeSet<(&str, String)> =
            self.changes.iter().map(|change| (change.address.ty.as_str(), change.address.to_string())).collect();
        for (address, import) in left {
            // Suggestions have the same type.
            let declared = known.iter().filter(|(ty, _)| *ty == address.ty).map(|(_, name)| name.as_str());
            diagnostics.push(
                Diagnostic::error("import_not_declared", format!("`{address}` is imported but not declared"))
                    .at(import.span)
                    .hint(format!("declare it as `terrace import --generate '{address}' ID` prints it"))
                    .maybe_hint(did_you_mean(&address.to_string(), declared)),
            );
        }
    }
}
