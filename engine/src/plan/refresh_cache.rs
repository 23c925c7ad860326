//! Cache of refreshed rows, for stacks that may be planned again: a run reads each object once.

use super::lookup_dependencies::LookupDependencies;
use super::refresh::Loaded;
use crate::address::StackId;
use crate::compile::{CompiledComponent, CompiledStack};
use crate::diagnostic::Diagnostic;
use crate::graph::templates;
use std::collections::{BTreeSet, HashMap};

/// What was found of rows.
#[derive(Default)]
pub(super) struct RefreshCache {
    /// The stacks that may have to be planned again.
    repeated: BTreeSet<StackId>,
    rows: HashMap<StackId, CachedRows>,
}

/// Rows of a stack, and what was to be told of them.
#[derive(Clone)]
pub(super) struct CachedRows {
    pub(super) loaded: Loaded,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl RefreshCache {
    pub(super) fn of(looking: &LookupDependencies, stacks: &[CompiledStack]) -> Self {
        let are_many = stacks.len() > 1;
        let may_be = |it: &CompiledComponent| it.looks_up() || are_many && stands_on_others(it);
        let repeated = stacks.iter().filter(|stack| looking.is_any() && stack.components.iter().any(may_be));
        Self { repeated: repeated.map(|stack| stack.stack.clone()).collect(), rows: HashMap::new() }
    }

    /// The rows of a stack as they were found when it was planned before.
    pub(super) fn of_stack(&self, stack: &StackId) -> Option<CachedRows> {
        self.rows.get(stack).cloned()
    }

    /// Keeps what was found of the rows of a stack that may have to be planned again.
    pub(super) fn keep(&mut self, stack: &StackId, loaded: &Loaded, diagnostics: &[Diagnostic]) {
        if self.repeated.contains(stack) {
            let seen = CachedRows { loaded: loaded.clone(), diagnostics: diagnostics.to_vec() };
            self.rows.insert(stack.clone(), seen);
        }
    }
}

/// True for what reads another stack, or declares with others.
fn stands_on_others(component: &CompiledComponent) -> bool {
    let declarations = &component.declarations;
    let declared = declarations.resources.iter().flat_map(templates);
    let mut all = declared.chain(declarations.outputs.iter().map(|output| &output.value));
    declarations.resources.iter().any(|resource| resource.shared.is_some())
        || all.any(|template| template.references().any(|reference| reference.root == "stacks"))
}
