//! Evaluates checks during the walk: those of an instance and those of the stack.

use super::super::PlannedCheck;
use super::super::checks::{failure_diagnostic, plan};
use super::{ComponentPart, Walk};
use terrace_language::address::Address;
use terrace_language::descriptor::{CheckTime, ResourceDeclaration};
use terrace_language::diagnostic::{Diagnostic, Severity};
use terrace_language::graph::Block;
use terrace_provider::Value;

impl Walk<'_, '_> {
    /// Evaluates the checks of an instance. The plan keeps the checks with unknown values.
    pub(super) fn check(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        address: &Address,
        each: Option<&Value>,
        value: &Value,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let Some(part) = self.parts.get(block.component).filter(|_| !declaration.checks.is_empty()) else { return };
        let stack = if address.is_shared() { self.shared.stack() } else { &self.compiled.stack };
        let mut planned = Vec::with_capacity(declaration.checks.len());
        for check in &declaration.checks {
            let mut scope = self.scope(part, each);
            scope.own = (check.when == CheckTime::Post).then_some(value);
            let (functions, sources) = (self.planner.functions, self.planner.sources);
            let decided = plan(check, &part.component.key, &scope, functions, sources);
            diagnostics.extend(failure_diagnostic(check, &decided, &format!("{stack}:{address}")));
            planned.push(decided);
        }
        // A resource that could not be planned has no change; its faults are reported already.
        if address.is_shared() {
            self.shared.set_checks(address, planned);
        } else if let Some(change) = self.changes.last_mut().filter(|change| change.address == *address) {
            change.how.checks = planned;
        }
    }

    /// Evaluates the stack's own checks, which only warn.
    pub(super) fn stack_checks(
        &self,
        part: &ComponentPart<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<PlannedCheck> {
        let scope = self.scope(part, None);
        let mut planned = Vec::new();
        let checks = &part.component.declarations.checks;
        for check in checks.iter().filter(|check| !self.reads_unplanned(part, &check.assert)) {
            let (functions, sources) = (self.planner.functions, self.planner.sources);
            let decided = plan(check, &part.component.key, &scope, functions, sources);
            let failed = failure_diagnostic(check, &decided, &self.compiled.stack.to_string());
            diagnostics.extend(failed.map(|diagnostic| Diagnostic { severity: Severity::Warning, ..diagnostic }));
            planned.push(decided);
        }
        planned
    }
}
