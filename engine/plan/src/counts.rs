//! Counts of a plan's changes.

use super::refresh::INTERRUPTED;
use super::{Change, ComponentPlan, Mode, OutputChange, OwnerChange, Part, Plan, StackPlan};
use std::collections::HashSet;
use terrace_language::action::Action;
use terrace_language::address::Address;
use terrace_store::diff::changed_attributes;

/// Number of changes by action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Created, including replaced.
    pub add: usize,
    /// Updated, including updated during adoption.
    pub change: usize,
    /// Deleted, including replaced.
    pub destroy: usize,
    /// Replaced.
    pub replaced: usize,
    /// Adopted.
    pub adopted: usize,
    /// Imported.
    pub imported: usize,
    /// Moved to another address, with or without another change.
    pub moved: usize,
    /// Forgotten.
    pub forgotten: usize,
    /// Retained.
    pub retained: usize,
    /// Drifted: the object differs from its row.
    pub drifted: usize,
    /// In doubt.
    pub in_doubt: usize,
    /// Held back by a step in doubt.
    pub held_back: usize,
    /// Components with any change.
    pub components: usize,
    /// All components.
    pub components_total: usize,
}

impl StackPlan {
    /// True if applying it would change an object or the state.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.has_actions() || self.changes.iter().any(|change| change.in_doubt.is_some())
    }

    /// As [`StackPlan::has_changes`], without steps in doubt and changes that wait for them: an apply leaves these as they are.
    fn has_actions(&self) -> bool {
        let acts = |change: &Change| change.is_change() || change.changes_lifecycle() || change.is_newly_sensitive();
        self.changes.iter().any(|change| change.in_doubt.is_none() && acts(change))
            || self.outputs.iter().any(OutputChange::is_change)
            || self.owners.iter().any(OwnerChange::is_change)
    }

    /// True if the recorded dependencies of its components change. No object changes, but removals follow these dependencies.
    #[must_use]
    pub fn changes_component_order(&self) -> bool {
        self.components.iter().any(ComponentPlan::has_changed)
    }

    /// Counts the changes by action.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let components = self.counted_components();
        let mut counts = Counts { components_total: components.len(), ..Counts::default() };
        let mut touched = std::collections::BTreeSet::new();
        for change in &self.changes {
            match change.action {
                Action::Create => counts.add += 1,
                Action::Update => counts.change += 1,
                Action::Delete => counts.destroy += 1,
                Action::Replace | Action::ReplaceCreateFirst => {
                    counts.add += 1;
                    counts.destroy += 1;
                    counts.replaced += 1;
                }
                Action::Adopt if change.import_id.is_some() => counts.imported += 1,
                Action::Adopt => counts.adopted += 1,
                Action::Forget => counts.forgotten += 1,
                Action::Retain => counts.retained += 1,
                Action::NoOp | Action::Read => {}
            }
            counts.moved += usize::from(change.moves_from().is_some());
            counts.drifted += usize::from(!change.why.drift.is_empty());
            counts.in_doubt += usize::from(change.is_in_doubt());
            counts.held_back += usize::from(change.is_held_back());
            counts.change += usize::from(change.is_aligned());
            if change.is_change() {
                touched.insert(change.address.component.as_str());
            }
        }
        counts.components = touched.into_iter().filter(|key| components.contains(*key)).count();
        counts
    }

    /// The components to count. The stack's own resources and shared resources belong to no component. A component whose resources
    /// all moved counts under its new key only.
    fn counted_components(&self) -> HashSet<&str> {
        let origins: HashSet<&str> =
            self.changes.iter().filter_map(|change| Some(change.moves_from()?.component.as_str())).collect();
        let staying: HashSet<&str> = match origins.is_empty() {
            true => HashSet::new(),
            false => self.changes.iter().map(|change| change.address.component.as_str()).collect(),
        };
        let has_moved = |component: &&ComponentPlan| {
            let key = component.key.as_str();
            component.part == Part::Removed && origins.contains(key) && !staying.contains(key)
        };
        let counted = self.components.iter().filter(|component| !component.key.is_stack() && !has_moved(component));
        counted.map(|component| component.key.as_str()).collect()
    }
}

impl Change {
    /// The address that its row leaves. A row in doubt or held back does not move.
    #[must_use]
    pub fn moves_from(&self) -> Option<&Address> {
        self.moved_from.as_ref().filter(|_| self.in_doubt.is_none())
    }

    /// True if the object is adopted and updated to its declaration.
    #[must_use]
    pub fn is_aligned(&self) -> bool {
        let (Action::Adopt, Some(prior), Some(after)) = (self.action, &self.basis.prior, &self.after) else {
            return false;
        };
        let is_stored = |name: &str| !after.write_only.contains_key(name) || prior.attributes.contains_key(name);
        let mut changed = changed_attributes(&prior.attributes, &after.attributes).into_iter();
        changed.any(|path| path.first_key().is_some_and(is_stored))
    }
}

impl Plan {
    /// Counts the changes by action over all stacks.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.stacks.iter().map(StackPlan::counts).fold(Counts::default(), |sum, counts| Counts {
            add: sum.add + counts.add,
            change: sum.change + counts.change,
            destroy: sum.destroy + counts.destroy,
            replaced: sum.replaced + counts.replaced,
            adopted: sum.adopted + counts.adopted,
            imported: sum.imported + counts.imported,
            moved: sum.moved + counts.moved,
            forgotten: sum.forgotten + counts.forgotten,
            retained: sum.retained + counts.retained,
            drifted: sum.drifted + counts.drifted,
            in_doubt: sum.in_doubt + counts.in_doubt,
            held_back: sum.held_back + counts.held_back,
            components: sum.components + counts.components,
            components_total: sum.components_total + counts.components_total,
        })
    }

    /// True if an apply would do anything that needs approval. False if all changes are in doubt, or wait for a step in doubt.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        let refreshes = self.mode == Mode::RefreshOnly && self.changes().any(|(_, change)| change.has_refreshed());
        refreshes || self.stacks.iter().any(StackPlan::has_actions)
    }

    /// As [`StackPlan::changes_component_order`], for any stack.
    #[must_use]
    pub fn changes_component_order(&self) -> bool {
        self.stacks.iter().any(StackPlan::changes_component_order)
    }

    /// True if recorded dependencies of components or resources change. No object changes, but removals follow these dependencies.
    #[must_use]
    pub fn changes_order(&self) -> bool {
        self.changes_component_order() || self.changes().any(|(_, change)| change.changes_dependencies())
    }

    /// True if the plan notes an interrupted step whose outcome recovery will record. Recovery has not run since, or the step's
    /// operation was still running when it did.
    #[must_use]
    pub fn has_interrupted_steps(&self) -> bool {
        self.notes.iter().any(|note| note.code == INTERRUPTED)
    }

    /// True if applying it would change an object or the state, including refreshed values and dependencies.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let has_refreshed = || self.changes().any(|(_, change)| change.has_refreshed());
        self.has_changes() || self.changes_order() || has_refreshed()
    }
}

impl ComponentPlan {
    /// True if the plan covers it.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.part == Part::Planned
    }

    /// True if its dependencies in this stack or in others differ from the recorded ones, or its access list does.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let differs = self.depends_on != self.depended_on || self.reads != self.recorded_reads;
        self.is_planned() && (differs || self.access != self.recorded_access)
    }
}
