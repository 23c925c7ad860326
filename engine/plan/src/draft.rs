//! The data that planning gathers over all stacks.

use super::lookup_dependencies::LookupDependencies;
use super::planner::Planner;
use super::refresh_cache::RefreshCache;
use super::shared::SharedRows;
use super::target_validation::TargetNames;
use terrace_language::compile::CompiledStack;
use terrace_language::diagnostic::Diagnostic;
use terrace_store::Read;

/// Data that planning gathers over all stacks.
pub(super) struct Draft {
    pub(super) shared: SharedRows,
    pub(super) lookups: LookupDependencies,
    pub(super) refresh_cache: RefreshCache,
    pub(super) named: TargetNames,
    pub(super) reads: Vec<Read>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Draft {
    pub(super) fn of(planner: &Planner<'_>, stacks: &[CompiledStack]) -> Self {
        let lookups = LookupDependencies::of(planner.registry, stacks);
        Self {
            shared: SharedRows::of(&planner.environment.name),
            refresh_cache: RefreshCache::of(&lookups, stacks),
            lookups,
            named: TargetNames::of(planner),
            reads: Vec::new(),
            diagnostics: Vec::new(),
        }
    }
}
