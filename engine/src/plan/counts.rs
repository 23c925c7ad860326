//! How much a plan does.

use super::StackPlan;
use crate::action::Action;
use std::collections::HashSet;

/// How many of each action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Created, replaced ones included.
    pub add: usize,
    /// Updated.
    pub change: usize,
    /// Deleted, replaced ones included.
    pub destroy: usize,
    /// Replaced.
    pub replaced: usize,
    /// Adopted.
    pub adopted: usize,
    /// Imported.
    pub imported: usize,
    /// Moved to another address, whatever else is done.
    pub moved: usize,
    /// Forgotten.
    pub forgotten: usize,
    /// Retained.
    pub retained: usize,
    /// Found different from what was recorded.
    pub drifted: usize,
    /// In doubt.
    pub in_doubt: usize,
    /// Components with any change.
    pub components: usize,
    /// Components in all.
    pub components_total: usize,
}

impl StackPlan {
    /// How many of each action.
    #[must_use]
    pub fn counts(&self) -> Counts {
        // Neither a stack's own resources nor the shared ones are a component.
        let components: HashSet<&str> =
            self.components.iter().map(|component| component.key.as_str()).filter(|key| !key.is_empty()).collect();
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
            counts.moved += usize::from(change.moved_from.is_some());
            counts.drifted += usize::from(!change.drift.is_empty());
            counts.in_doubt += usize::from(change.in_doubt.is_some());
            if change.is_change() {
                touched.insert(change.address.component.as_str());
            }
        }
        counts.components = touched.into_iter().filter(|key| components.contains(*key)).count();
        counts
    }
}
