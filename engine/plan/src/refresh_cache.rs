//! Cache of refreshed rows, for stacks that may be planned again: a run reads each object once.

use super::loaded::Loaded;
use super::lookup_dependencies::LookupDependencies;
use std::collections::{BTreeSet, HashMap};
use terrace_language::address::StackId;
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::graph::templates;

/// Refreshed rows by stack.
#[derive(Default)]
pub(super) struct RefreshCache {
    /// The stacks that may be planned again.
    repeated: BTreeSet<StackId>,
    rows: HashMap<StackId, CachedRows>,
}

/// Rows of a stack, with the diagnostics of their refresh.
#[derive(Clone)]
pub(super) struct CachedRows {
    pub(super) loaded: Loaded,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl RefreshCache {
    pub(super) fn of(lookups: &LookupDependencies, stacks: &[CompiledStack]) -> Self {
        let are_many = stacks.len() > 1;
        let may_repeat =
            |component: &CompiledComponent| component.has_lookups() || are_many && depends_on_other_stacks(component);
        let repeated = stacks.iter().filter(|stack| lookups.is_any() && stack.components.iter().any(may_repeat));
        Self { repeated: repeated.map(|stack| stack.stack.clone()).collect(), rows: HashMap::new() }
    }

    /// The cached rows of a stack.
    pub(super) fn of_stack(&self, stack: &StackId) -> Option<CachedRows> {
        self.rows.get(stack).cloned()
    }

    /// Caches the rows of a stack that may be planned again.
    pub(super) fn insert(&mut self, stack: &StackId, loaded: &Loaded, diagnostics: &[Diagnostic]) {
        if self.repeated.contains(stack) {
            let cached = CachedRows { loaded: loaded.clone(), diagnostics: diagnostics.to_vec() };
            self.rows.insert(stack.clone(), cached);
        }
    }
}

/// True if the component reads another stack or declares shared resources.
fn depends_on_other_stacks(component: &CompiledComponent) -> bool {
    let declarations = &component.declarations;
    let declared = declarations.resources.iter().flat_map(templates);
    let mut all = declared.chain(declarations.outputs.iter().map(|output| &output.value));
    declarations.resources.iter().any(|resource| resource.shared.is_some())
        || all.any(|template| template.references().any(|reference| reference.root == "stacks"))
}
